//! The nearest known word to a mistyped one, for error messages.

/// The word of `known` that was most likely meant by `word`, if any is near enough to be worth a question.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace('_', "-");
    let meant = plain(word);
    // One slip for a short word, one more for every three letters of a long one.
    let slips = (meant.chars().count() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&meant, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= slips)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn nearest_word_is_found_or_nothing_is() {
        let known = ["maxretry", "findtime", "bantime", "bantime-max"];
        for (word, expected) in [
            ("bantimes", Some("bantime")),
            ("bantime_max", Some("bantime-max")),
            ("MaxRetry", Some("maxretry")),
            ("max-retry", Some("maxretry")),
            ("fidntime", Some("findtime")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }
}
