//! The file system a guest boots into: a cpio archive in the "newc" format
//! (Documentation/driver-api/early-userspace/buffer-format.rst), which the kernel unpacks into memory.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::succeed;

/// An archive that grows.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    /// Paths that are in already, without the leading `/`.
    paths: BTreeSet<String>,
}

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

impl Archive {
    /// A file at this absolute path, executable, and the folders above it.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        let path = path.trim_start_matches('/');
        for (slash, _) in path.match_indices('/') {
            self.folder(&path[..slash]);
        }
        self.entry(path, PROGRAM, content);
    }

    /// An empty folder. The folders above it are there already.
    pub fn folder(&mut self, path: &str) {
        self.entry(path.trim_start_matches('/'), FOLDER, &[]);
    }

    /// A program of this machine at `path` in the archive, without its symbols, and the libraries that it loads.
    pub fn program(&mut self, program: &Path, path: &str) -> Result<()> {
        let stripped = tempfile::NamedTempFile::new()?;
        succeed(Command::new("strip").arg("-o").arg(stripped.path()).arg(program))?;
        self.file(path, &fs::read(stripped.path())?);
        // A program that needs no library says so by failing.
        let libraries = succeed(Command::new("ldd").env("LC_ALL", "C").arg(program)).unwrap_or_default();
        for library in libraries.lines().filter_map(library) {
            self.file(
                &library,
                &fs::read(&library).with_context(|| format!("{library}: a library of {}", program.display()))?,
            );
        }
        Ok(())
    }

    /// The archive.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        if !self.paths.insert(path.to_owned()) {
            return;
        }
        let number = self.paths.len();
        // Inode, mode, owner, group, links, time, size, four device numbers, length of the name, no checksum.
        let fields = [
            number,
            mode as usize,
            0,
            0,
            1,
            0,
            content.len(),
            0,
            0,
            0,
            0,
            path.len() + 1,
            0,
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// The file in a line of ldd(1): `libc.so.6 => /lib/libc.so.6 (0x…)`, or `/lib64/ld-linux-x86-64.so.2 (0x…)`.
fn library(line: &str) -> Option<String> {
    let (before, _) = line.trim().rsplit_once(" (0x")?;
    let path = before.split_once(" => ").map_or(before, |(_, path)| path);
    path.starts_with('/').then(|| path.to_owned())
}

/// A program on `PATH`.
pub fn find(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .with_context(|| format!("{program}: not found on PATH; `cargo xtask test` installs what is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_initramfs_is_aligned_and_holds_each_path_once() {
        let mut archive = Archive::default();
        archive.file("/a/b", b"12345");
        archive.file("/a/c", b"");
        archive.file("/a/c", b"again");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(text.matches("070701").count(), 4, "{text}");
        assert!(text.starts_with("07070100000001000041ed"));
        assert!(text.contains("a/b\0") && text.contains("12345\0") && text.contains("TRAILER!!!"));
    }

    #[test]
    fn kernels_initramfs_reads_ldd() {
        for (line, expected) in [
            ("\tlinux-vdso.so.1 (0x00007ffd)", None),
            (
                "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)",
                Some("/lib/x86_64-linux-gnu/libc.so.6"),
            ),
            (
                "\t/lib64/ld-linux-x86-64.so.2 (0x00007f)",
                Some("/lib64/ld-linux-x86-64.so.2"),
            ),
            ("\tlibmissing.so => not found", None),
            ("\tstatically linked", None),
        ] {
            assert_eq!(library(line).as_deref(), expected, "{line}");
        }
    }
}
