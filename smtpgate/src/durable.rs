//! Small files that are whole or not there at all, also when the power fails.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};

/// Replaces the file at `path`, whose folder is made if it is not there. Readable for its owner only.
///
/// # Errors
/// What the file system says; the former file is as it was then.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    replace(path, bytes, |_| Ok(()))?;
    File::open(folder)?.sync_all()
}

/// Replaces the file at `path`, whose folder is there. The new one is readable for its owner only, unless `dress` gives it
/// another mode or owner.
///
/// # Errors
/// As [`write()`].
pub(crate) fn replace(path: &Path, bytes: &[u8], dress: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    dress(file.as_file())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// [`write()`], of a value as JSON.
///
/// # Errors
/// As [`write()`].
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    write(path, &serde_json::to_vec_pretty(value)?)
}

/// What [`write_json`] has written; none where there is no such file, and none that is damaged, which is logged together
/// with what comes of it.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path, so: &str) -> Option<T> {
    let bytes = fs::read(path).ok()?;
    serde_json::from_slice(&bytes)
        .inspect_err(|error| tracing::error!("{}: is damaged ({error}); {so}", path.display()))
        .ok()
}
