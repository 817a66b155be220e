//! Any bytes as a MaxMind-format database: it is refused or read, in bounded time, and what was read can be packed.

use std::sync::LazyLock;

use crate::{folder::Folder, packs};
use smtpgate::sources::mmdb::Database;

static FOLDER: LazyLock<Folder> = LazyLock::new(Folder::new);

/// See the module.
pub(crate) fn run(bytes: &[u8]) {
    let path = FOLDER.write("country.mmdb", bytes);
    let refused = match Database::open(&path).and_then(|database| database.table()) {
        Ok(table) => {
            assert!(!table.countries.is_empty());
            return packs(&table);
        }
        Err(refused) => refused,
    };
    let path = path.to_str().expect("a path of our own");
    assert!(refused.starts_with(path), "the error names no file: {refused}");
}
