//! Tables whose columns give way when the window is narrow.

use super::super::words::Marks;

/// A column.
pub(super) struct Column {
    /// Its heading.
    pub(super) name: &'static str,
    /// Its width; the last column takes what is left.
    pub(super) width: usize,
    /// Numbers stand at the right.
    pub(super) right: bool,
    /// The higher, the sooner it goes; 0 stays.
    pub(super) goes: u8,
}

/// A gap between columns.
const GAP: usize = 2;

/// Takes columns away until the last one has `least` columns of the terminal, as far as that is possible.
pub(super) fn narrowed(columns: &mut Vec<Column>, width: usize, least: usize) {
    loop {
        let taken: usize = columns.iter().rev().skip(1).map(|column| column.width + GAP).sum();
        if taken + least > width {
            let goes = (0..columns.len())
                .filter(|place| columns[*place].goes > 0)
                .max_by_key(|place| columns[*place].goes);
            if let Some(place) = goes {
                columns.remove(place);
                continue;
            }
        }
        if let Some(last) = columns.last_mut() {
            last.width = width.saturating_sub(taken);
        }
        return;
    }
}

/// A line of cells; `cell` gives the text of a column.
pub(super) fn line(columns: &[Column], marks: &Marks, cell: impl Fn(&Column) -> String) -> String {
    let cells: Vec<String> = columns
        .iter()
        .map(|column| {
            let text = cell(column);
            if column.right {
                marks.right(&text, column.width)
            } else {
                marks.left(&text, column.width)
            }
        })
        .collect();
    cells.join(&" ".repeat(GAP))
}

/// The widest of some texts, within bounds.
pub(super) fn widest<'t>(texts: impl Iterator<Item = &'t str>, least: usize, most: usize) -> usize {
    use unicode_width::UnicodeWidthStr as _;
    texts.map(|text| text.width()).max().unwrap_or(0).clamp(least, most)
}
