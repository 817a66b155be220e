//! For what is only read from files.

use std::path::{Path, PathBuf};

/// A folder in memory for what is only read from files.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// A new one; gone with the process.
    pub(crate) fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = tempfile::Builder::new().prefix("smtpgate-fuzz-").tempdir_in(memory);
        Self(folder.expect("/dev/shm can be written"))
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        let folder = path.parent().expect("a file is in a folder");
        std::fs::create_dir_all(folder).expect("/dev/shm can be written");
        std::fs::write(&path, bytes).expect("/dev/shm can be written");
        path
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}
