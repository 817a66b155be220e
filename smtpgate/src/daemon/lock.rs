//! One writer at a time: whoever changes the gate holds the lock in the run folder.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::failure::Failure;

/// Held until it is dropped, or the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of the run folder, which is made if it is not there.
    ///
    /// # Errors
    /// When another process has it, with its process id; or the folder cannot be used.
    pub fn take(run: &Path) -> Result<Self, Failure> {
        let path: PathBuf = run.join("lock");
        let fail = |error: io::Error| Failure::Failed(format!("{}: {error}", path.display()));
        fs::create_dir_all(run)
            .map_err(|error| Failure::Failed(format!("{}: {error}; run as root?", run.display())))?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(&path)
            .map_err(fail)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            return Err(Failure::Failed(format!(
                "{}: another smtpgate (process {}) is at work here; it was left as it is",
                path.display(),
                holder.trim()
            )));
        }
        file.set_len(0).map_err(fail)?;
        file.rewind().map_err(fail)?;
        writeln!(file, "{}", std::process::id()).map_err(fail)?;
        Ok(Self { file })
    }
}

impl Drop for Lock {
    /// Closing it would not do: a child between fork and exec has the same file open (flock(2)).
    fn drop(&mut self) {
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_with_the_firsts_process_id_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path()).unwrap();
        let refused = Lock::take(folder.path()).unwrap_err().to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(first);
        Lock::take(folder.path()).unwrap();
    }
}
