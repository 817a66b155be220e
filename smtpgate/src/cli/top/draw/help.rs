//! The keys, and what the words mean.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use super::{Look, put};

const KEYS: [(&str, &str); 9] = [
    ("Up Down, j k", "choose; also PgUp PgDn Home End"),
    ("Tab", "the other list: sources or bans"),
    ("b", "ban who is chosen (IPv6: the /64); asks first"),
    ("u", "lift a ban; asks first"),
    ("e, Enter", "explain: which rule decides, and the evidence"),
    ("?", "this help"),
    ("Ctrl-L", "draw the screen anew"),
    ("q, Ctrl-C", "quit; the gate goes on"),
    ("", ""),
];

const WORDS: [(&str, &str); 11] = [
    ("outside", "not allowed at this gate: from elsewhere"),
    ("banned", "hostile in the maillog, or banned by hand"),
    ("blocklist", "in a `block` list"),
    ("fragment", "hides its ports or flags in fragments"),
    ("header_chain", "more headers than any honest host sends"),
    ("", ""),
    ("graph", "refusals by time, each column their average"),
    ("COUNTRY, SOURCES", "the last refusals that were seen one by one:"),
    ("", "all while there are few, a sample under flood"),
    ("LAST, AGO, LEFT", "how long ago; how long the ban still lasts"),
    ("TIMES", "how often it has been banned"),
];

pub(super) fn draw(buffer: &mut Buffer, area: Rect, look: &Look) {
    for (row, (word, meaning)) in area.rows().zip(KEYS.iter().chain(&WORDS)) {
        let text = format!("  {}  {meaning}", look.marks.left(word, 16));
        put(buffer, row, Line::raw(look.marks.fit(&text, row.width.into())));
    }
}
