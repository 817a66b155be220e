//! What is not seen in a text, and makes the rest show other than it is: for all that is shown of strangers' text.

/// Controls (C0, C1, and so every way to steer a terminal), and marks without a shape: those that turn the direction of
/// writing, join, part or hyphenate (Unicode TR 36; soft hyphen, Arabic letter mark, zero-width and bidirectional ones).
pub(crate) fn is_unseen(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}
