//! Any bytes as a packed country table, as they are and as what was compressed: it is refused or read, and what was read
//! packs to the same again.

use crate::packs;
use smtpgate::sources::packed::unpack;

/// See the module.
pub(crate) fn run(bytes: &[u8]) {
    let _ = unpack(bytes, "input");
    let compressed = zstd::bulk::compress(bytes, 1).expect("memory can be compressed");
    if let Ok(table) = unpack(&compressed, "input") {
        packs(&table);
    }
}
