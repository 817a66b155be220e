//! Any bytes as a list of networks (`file:`): it is refused by file and line, or read, and what was read is, written as a
//! list, the same list.

use std::sync::LazyLock;

use crate::folder::Folder;
use smtpgate::config::Database;
use smtpgate::sources::{Sources, Spec};

static FOLDER: LazyLock<Folder> = LazyLock::new(Folder::new);

/// See the module.
pub(crate) fn run(bytes: &[u8]) {
    let path = FOLDER.write("list", bytes);
    let sources = Sources::new(&Database::BuiltIn, FOLDER.path());
    let spec = Spec::File(path.clone());
    match sources.resolve(&spec) {
        Ok(first) => {
            let written: String = first.prefixes.iter().map(|net| format!("{net}\n")).collect();
            FOLDER.write("list", written.as_bytes());
            let again = sources.resolve(&spec).expect("a written list is one");
            assert_eq!(again.prefixes, first.prefixes);
            assert_eq!(again.fingerprint, first.fingerprint);
            assert_eq!(again.coverage, first.coverage);
        }
        Err(refused) => {
            let path = path.to_str().expect("a path of our own");
            for line in refused.message.lines() {
                assert!(line.starts_with(path), "a line names no file: {line:?}");
            }
        }
    }
}
