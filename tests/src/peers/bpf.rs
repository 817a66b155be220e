//! Kernel programs so small that they are written by hand, and the few commands of bpf(2) that they need.
//!
//! aya loads what a compiler made; a measuring instrument of thirty instructions needs no compiler.
#![allow(unsafe_code, reason = "bpf(2) takes addresses as numbers")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_map_type, bpf_prog_type};

/// linux/bpf.h: frames of a test run are real ones, which go where the program sends them.
const LIVE_FRAMES: u32 = 1 << 1;
/// linux/if_link.h: XDP on what the stack got, for interfaces that know no other.
pub(super) const SKB_MODE: u32 = 1 << 1;

/// A program's code, instruction by instruction (Documentation/bpf/standardization/instruction-set.rst).
#[derive(Default)]
pub(super) struct Code {
    words: Vec<u64>,
    /// Jumps whose way out is not known yet.
    outs: Vec<usize>,
}

/// A register; `R1` to `R5` are gone after a call.
pub(super) type Register = u8;

/// Bytes of a load or a store.
#[derive(Clone, Copy)]
pub(super) enum Size {
    Half,
    Word,
    Double,
}

impl Size {
    const fn bits(self) -> u8 {
        match self {
            Self::Word => 0x00,
            Self::Half => 0x08,
            Self::Double => 0x18,
        }
    }
}

impl Code {
    fn push(&mut self, code: u8, to: Register, from: Register, offset: i16, number: i32) {
        let [low, high] = offset.to_le_bytes();
        let [a, b, c, d] = number.to_le_bytes();
        self.words
            .push(u64::from_le_bytes([code, from << 4 | to, low, high, a, b, c, d]));
    }

    pub(super) fn copy(&mut self, to: Register, from: Register) {
        self.push(0xbf, to, from, 0, 0);
    }

    pub(super) fn set(&mut self, to: Register, number: i32) {
        self.push(0xb7, to, 0, 0, number);
    }

    pub(super) fn add(&mut self, to: Register, number: i32) {
        self.push(0x07, to, 0, 0, number);
    }

    pub(super) fn add_register(&mut self, to: Register, from: Register) {
        self.push(0x0f, to, from, 0, 0);
    }

    pub(super) fn and(&mut self, to: Register, mask: i32) {
        self.push(0x57, to, 0, 0, mask);
    }

    pub(super) fn xor(&mut self, to: Register, mask: i32) {
        self.push(0xa7, to, 0, 0, mask);
    }

    pub(super) fn left(&mut self, to: Register, bits: i32) {
        self.push(0x67, to, 0, 0, bits);
    }

    pub(super) fn right(&mut self, to: Register, bits: i32) {
        self.push(0x77, to, 0, 0, bits);
    }

    pub(super) fn load(&mut self, size: Size, to: Register, from: Register, offset: i16) {
        self.push(0x61 | size.bits(), to, from, offset, 0);
    }

    pub(super) fn store(&mut self, size: Size, to: Register, offset: i16, from: Register) {
        self.push(0x63 | size.bits(), to, from, offset, 0);
    }

    /// The map itself, as helpers take it.
    pub(super) fn map(&mut self, to: Register, map: &OwnedFd) {
        self.wide(to, 1, map);
    }

    /// The address of the first value of an array.
    pub(super) fn value(&mut self, to: Register, map: &OwnedFd) {
        self.wide(to, 2, map);
    }

    fn wide(&mut self, to: Register, kind: u8, map: &OwnedFd) {
        self.push(0x18, to, kind, 0, map.as_raw_fd());
        self.push(0, 0, 0, 0, 0);
    }

    pub(super) fn call(&mut self, helper: i32) {
        self.push(0x85, 0, 0, 0, helper);
    }

    /// Skips so many instructions if `a` is below `b`.
    pub(super) fn skip_if_below(&mut self, a: Register, b: Register, instructions: i16) {
        self.push(0xad, a, b, instructions, 0);
    }

    /// Skips so many instructions if `a` is not above the number.
    pub(super) fn skip_if_at_most(&mut self, a: Register, number: i32, instructions: i16) {
        self.push(0xb5, a, 0, instructions, number);
    }

    /// Goes to [`Code::out`] if `a` is above `b`.
    pub(super) fn out_if_above(&mut self, a: Register, b: Register) {
        self.outs.push(self.words.len());
        self.push(0x2d, a, b, 0, 0);
    }

    /// Goes to [`Code::out`] if `a` is not the number.
    pub(super) fn out_unless(&mut self, a: Register, number: i32) {
        self.outs.push(self.words.len());
        self.push(0x55, a, 0, 0, number);
    }

    /// Ends with a verdict.
    pub(super) fn end(&mut self, verdict: i32) {
        self.set(0, verdict);
        self.exit();
    }

    /// Ends with what `R0` holds.
    pub(super) fn exit(&mut self) {
        self.push(0x95, 0, 0, 0, 0);
    }

    /// Where the jumps out lead: the end of the program, with this verdict.
    pub(super) fn out(&mut self, verdict: i32) {
        for from in std::mem::take(&mut self.outs) {
            let over = u64::try_from(self.words.len() - from - 1).unwrap_or(0) & 0xffff;
            self.words[from] |= over << 16;
        }
        self.end(verdict);
    }

    /// Has the verifier take it as an XDP program for whole frames.
    pub(super) fn load_xdp(&self) -> Result<OwnedFd> {
        let mut log = vec![0_u8; 64 << 10];
        let mut attr = zeroed();
        attr.__bindgen_anon_3.prog_type = bpf_prog_type::BPF_PROG_TYPE_XDP as u32;
        attr.__bindgen_anon_3.insn_cnt = u32::try_from(self.words.len())?;
        attr.__bindgen_anon_3.insns = address(self.words.as_ptr());
        attr.__bindgen_anon_3.license = address(c"GPL".as_ptr());
        attr.__bindgen_anon_3.log_level = 1;
        attr.__bindgen_anon_3.log_size = u32::try_from(log.len())?;
        attr.__bindgen_anon_3.log_buf = address(log.as_mut_ptr());
        // A program may tail-call only those that were loaded for the same place.
        attr.__bindgen_anon_3.expected_attach_type = bpf_attach_type::BPF_XDP as u32;
        descriptor(bpf_cmd::BPF_PROG_LOAD, &mut attr)
            .with_context(|| format!("the verifier: {}", String::from_utf8_lossy(&log).trim_end_matches('\0')))
    }
}

/// A map.
pub(super) fn map(kind: bpf_map_type, value: u32, entries: u32) -> Result<OwnedFd> {
    let mut attr = zeroed();
    attr.__bindgen_anon_1.map_type = kind as u32;
    attr.__bindgen_anon_1.key_size = 4;
    attr.__bindgen_anon_1.value_size = value;
    attr.__bindgen_anon_1.max_entries = entries;
    descriptor(bpf_cmd::BPF_MAP_CREATE, &mut attr).context("bpf(2): make a map")
}

/// Replaces entry 0 of a map by a value of the map's size.
pub(super) fn put<T: Copy>(map: &OwnedFd, value: &[T]) -> Result<()> {
    first(bpf_cmd::BPF_MAP_UPDATE_ELEM, map, address(value.as_ptr())).context("bpf(2): write a map")
}

/// Reads entry 0 of a map into a value of the map's size.
pub(super) fn get<T: Copy>(map: &OwnedFd, value: &mut [T]) -> Result<()> {
    first(bpf_cmd::BPF_MAP_LOOKUP_ELEM, map, address(value.as_mut_ptr())).context("bpf(2): read a map")
}

/// A command on entry 0 of a map.
fn first(command: bpf_cmd, map: &OwnedFd, value: u64) -> io::Result<()> {
    let key = 0_u32;
    let mut attr = zeroed();
    attr.__bindgen_anon_2.map_fd = map.as_raw_fd().cast_unsigned();
    attr.__bindgen_anon_2.key = address(&raw const key);
    attr.__bindgen_anon_2.__bindgen_anon_1.value = value;
    bpf(command, &mut attr).map(drop)
}

/// Attaches an XDP program to an interface of the calling thread's namespace, for as long as the link is open. `mode` is
/// 0 or [`SKB_MODE`].
pub(super) fn attach(program: BorrowedFd<'_>, interface: u32, mode: u32) -> Result<OwnedFd> {
    let mut attr = zeroed();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd().cast_unsigned();
    attr.link_create.__bindgen_anon_2.target_ifindex = interface;
    attr.link_create.attach_type = bpf_attach_type::BPF_XDP as u32;
    attr.link_create.flags = mode;
    descriptor(bpf_cmd::BPF_LINK_CREATE, &mut attr).context("bpf(2): attach an XDP program")
}

/// linux/bpf.h: `struct xdp_md`, as far as a test run is told it.
#[repr(C)]
struct Context {
    data: u32,
    end: u32,
    meta: u32,
    interface: u32,
    queue: u32,
    out: u32,
}

/// Runs the program on so many copies of the frame, as if they had come in on `interface`, if one is named; each then goes
/// where the program sends it, and its page is used again as a driver's is.
pub(super) fn run_live(program: &OwnedFd, frame: &[u8], interface: Option<u32>, repeat: u32, batch: u32) -> Result<()> {
    let length = u32::try_from(frame.len())?;
    let context = Context {
        data: 0,
        end: length,
        meta: 0,
        interface: interface.unwrap_or(0),
        queue: 0,
        out: 0,
    };
    let mut attr = zeroed();
    attr.test.prog_fd = program.as_raw_fd().cast_unsigned();
    attr.test.data_in = address(frame.as_ptr());
    attr.test.data_size_in = length;
    attr.test.repeat = repeat;
    attr.test.batch_size = batch;
    attr.test.flags = LIVE_FRAMES;
    if interface.is_some() {
        attr.test.ctx_in = address(&raw const context);
        attr.test.ctx_size_in = u32::try_from(size_of::<Context>())?;
    }
    match bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr) {
        // By a signal, such as that which stops a process for a while: so many frames less.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        done => done.map(drop).context("bpf(2): run on live frames (Linux 5.18)"),
    }
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

fn zeroed() -> bpf_attr {
    // SAFETY: a union of structs of integers.
    unsafe { std::mem::zeroed() }
}

fn descriptor(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    // SAFETY: the callers above fill `attr` with addresses of what lives until they return, and with its true sizes.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            std::ptr::from_mut(attr),
            size_of::<bpf_attr>(),
        )
    };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        i32::try_from(done).map_err(io::Error::other)
    }
}
