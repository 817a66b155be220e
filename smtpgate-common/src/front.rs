//! The front tables' code: what one step says.
//!
//! A front table is a multibit trie: a root indexed by the first two address bytes, then nodes indexed by one byte each,
//! down to the whole address: of Japan's IPv6 prefixes one in ten is longer than a /64. A code below [`ASK_TRIE`] is the number of a class, which
//! is the answer for all addresses below; [`ASK_TRIE`] sends the reader to the LPM trie; any other code is the number of
//! the next node plus [`FIRST_NODE`].

/// Ask the LPM trie: what the front table has no room for.
pub const ASK_TRIE: u16 = 255;
/// Code of node number 0.
pub const FIRST_NODE: u16 = 256;
/// Nodes that codes can name.
pub const NODES_MAX: u32 = 65_536 - FIRST_NODE as u32;
/// Node steps below the root, IPv4: to the whole address.
pub const STEPS4: usize = 2;
/// Node steps below the root, IPv6: to the whole address.
pub const STEPS6: usize = 14;
