//! What the follower hands over: lines, and how far they bring the reading.

use jiff::Timestamp;

use super::position::Position;
use crate::maillog::{Clock, LogTime};

/// Whole lines of one file, in their order. Their effects and the position are to be committed together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Where the reading stands after these lines.
    pub position: Position,
    /// These lines were there before the follower was: their own time counts, not that of their arrival.
    pub backlog: bool,
    /// How many lines were longer than [`super::LINE_MAX`] and are cut.
    pub cut: u64,
    pub(super) bytes: Vec<u8>,
}

impl Batch {
    /// The time that counts for a line: that of its arrival, or its own, if it was there before the follower.
    pub fn when(&self, line: LogTime<'_>, clock: &Clock, arrival: Timestamp) -> Timestamp {
        let written = self.backlog.then(|| clock.resolve(line)).flatten();
        written.map_or(arrival, |written| written.min(arrival))
    }

    /// The lines, without line ends.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let whole = self.bytes.strip_suffix(b"\n");
        whole.into_iter().flat_map(|lines| lines.split(|&b| b == b'\n'))
    }
}
