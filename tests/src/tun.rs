//! The far end of a tun interface: SYNs without a link-layer header.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// An open tun interface.
#[derive(Debug)]
pub struct Tun {
    device: File,
}

impl Tun {
    /// Makes the interface in the calling thread's network namespace.
    pub fn open(name: &str) -> Result<Self> {
        let device = File::options()
            .read(true)
            .write(true)
            .open("/dev/net/tun")
            .context("/dev/net/tun: modprobe tun")?;
        // struct ifreq: name, then flags (netdevice(7), linux/if_tun.h).
        let mut request = [0_u8; 40];
        request[..name.len()].copy_from_slice(name.as_bytes());
        let flags = i16::try_from(libc::IFF_TUN | libc::IFF_NO_PI)?;
        request[16..18].copy_from_slice(&flags.to_ne_bytes());
        #[allow(unsafe_code, reason = "no crate here knows TUNSETIFF")]
        // SAFETY: the kernel reads and writes a struct ifreq, which is 40 bytes long.
        let done = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, request.as_mut_ptr()) };
        anyhow::ensure!(done == 0, "TUNSETIFF: {}", std::io::Error::last_os_error());
        rustix::io::ioctl_fionbio(&device, true)?;
        Ok(Self { device })
    }

    /// Whether a SYN from `source` to 192.0.2.1 is answered by TCP.
    pub fn answered(&self, source: &str, port: u16) -> Result<bool> {
        let source: Ipv4Addr = source.parse()?;
        let mut device = &self.device;
        device.write_all(&syn(source, Ipv4Addr::new(192, 0, 2, 1), port))?;
        let until = Instant::now() + Duration::from_millis(500);
        let mut packet = [0; 2048];
        while Instant::now() < until {
            match device.read(&mut packet) {
                Ok(len) if len >= 40 && packet[0] == 0x45 && packet[9] == 6 && packet[16..20] == source.octets() => {
                    return Ok(true);
                }
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }
}

fn syn(source: Ipv4Addr, to: Ipv4Addr, port: u16) -> Vec<u8> {
    let addresses = [source.octets(), to.octets()].concat();
    let mut ip = [[0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0].as_slice(), &addresses].concat();
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    let mut tcp = vec![0; 20];
    tcp[..2].copy_from_slice(&40_000_u16.to_be_bytes());
    tcp[2..4].copy_from_slice(&port.to_be_bytes());
    tcp[12..16].copy_from_slice(&[0x50, 0x02, 0x20, 0]);
    let sum = checksum(&[addresses.as_slice(), &[0, 6, 0, 20], &tcp].concat());
    tcp[16..18].copy_from_slice(&sum);
    [ip, tcp].concat()
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let (words, _) = bytes.as_chunks::<2>();
    let mut sum: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [_, _, high, low] = (!sum).to_be_bytes();
    [high, low]
}
