//! Where the page goes. It names accounts and shows lines of the log, and root writes it, often into folders of others.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown},
    path::Path,
};

use crate::{daemon::failure::Failure, durable};

/// Puts `page` in the place of the file, whole or not at all. A new file is for its owner only; one that was there keeps
/// its mode and group.
///
/// # Errors
/// Usage, when the path is that of a symbolic link, of something that is no file, or of another user's file: whoever else
/// may write in that folder could have put it there. Failed, when the file system says so; the former file is as it was.
pub(super) fn write(path: &Path, page: &[u8]) -> Result<(), Failure> {
    let refused = |why: &str| Failure::Usage(format!("--html {}: {why}", path.display()));
    let former = match fs::symlink_metadata(path) {
        Ok(former) if former.is_symlink() => return Err(refused("is a symbolic link; name the file itself")),
        Ok(former) if former.is_dir() => return Err(refused("is a folder; name a file in it")),
        Ok(former) if !former.is_file() => return Err(refused("is no file; `--html -` is standard output")),
        Ok(former) if former.uid() != rustix::process::geteuid().as_raw() => {
            return Err(refused("belongs to another user; remove it, or name another file"));
        }
        Ok(former) => Some(former),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::Failed(format!("{}: {error}", path.display()))),
    };
    let as_former = |file: &fs::File| {
        let Some(former) = former else { return Ok(()) };
        fchown(file, None, Some(former.gid()))?;
        file.set_permissions(fs::Permissions::from_mode(former.mode() & 0o777))
    };
    durable::replace(path, page, as_former).map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_file_is_replaced_whole_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        let mode = || fs::metadata(&path).unwrap().mode() & 0o777;
        write(&path, b"first").unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), mode()), (&b"first"[..], 0o600));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let reader = fs::File::open(&path).unwrap();
        write(&path, b"second").unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), mode()), (&b"second"[..], 0o644));
        assert_eq!(
            io::read_to_string(reader).unwrap(),
            "first",
            "who reads it has one or the other"
        );
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }

    #[test]
    fn report_file_refuses_what_is_not_a_file_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let nowhere = folder.path().join("dangling");
        std::os::unix::fs::symlink(folder.path().join("not-there"), &nowhere).unwrap();
        for (path, why) in [
            (link.as_path(), "symbolic link"),
            (nowhere.as_path(), "symbolic link"),
            (folder.path(), "is a folder"),
            (Path::new("/dev/null"), "is no file"),
        ] {
            let error = write(path, b"page").unwrap_err();
            assert!(matches!(&error, Failure::Usage(text) if text.contains(why)), "{error}");
        }
        assert_eq!(fs::read(&target).unwrap(), b"precious");
        let error = write(&folder.path().join("no/such/folder"), b"page").unwrap_err();
        assert!(error.to_string().contains("no/such/folder: No such file"), "{error}");
    }
}
