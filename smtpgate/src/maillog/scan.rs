//! Small steps over bytes that every grammar takes.

use std::net::IpAddr;

use memchr::memmem;

/// What stands before and after the first `mark`.
pub(super) fn split_once<'a>(text: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memmem::find(text, mark)?;
    Some((text.get(..at)?, text.get(at + mark.len()..)?))
}

/// What stands before and after the last `mark`.
pub(super) fn rsplit_once<'a>(text: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memmem::rfind(text, mark)?;
    Some((text.get(..at)?, text.get(at + mark.len()..)?))
}

/// The bytes up to the first space, and those after it; all of them when there is none.
pub(super) fn word(text: &[u8]) -> (&[u8], &[u8]) {
    split_once(text, b" ").unwrap_or((text, b""))
}

/// Whether `text` holds one of `marks`, whatever their case.
pub(super) fn mentions(text: &[u8], marks: &[&str]) -> bool {
    marks.iter().any(|mark| {
        let mark = mark.as_bytes();
        let Some(first) = mark.first() else { return true };
        memchr::memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), text).any(|at| {
            text.get(at..at + mark.len())
                .is_some_and(|found| found.eq_ignore_ascii_case(mark))
        })
    })
}

/// An address and nothing else. An IPv4-mapped one is returned as IPv4.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    // A link-local client has its interface behind it: `fe80::1%eth0`.
    let interface =
        |text: &str| text.len() < 16 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let text = match text.split_once('%') {
        Some((address, scope)) if address.contains(':') && interface(scope) => address,
        _ => text,
    };
    Some(text.parse::<IpAddr>().ok()?.to_canonical())
}

/// `[ADDRESS]` at the start of `text`, and what follows it. Sendmail writes `[IPv6:ADDRESS]`.
pub(super) fn bracketed(text: &[u8]) -> Option<(IpAddr, &[u8])> {
    let (inside, rest) = split_once(text.strip_prefix(b"[")?, b"]")?;
    let inside = inside.strip_prefix(b"IPv6:").unwrap_or(inside);
    Some((address(inside)?, rest))
}

/// `NAME [ADDRESS]` or `[ADDRESS]` at the start of `text`, and what follows it. NAME is one word: a name from DNS, in
/// which a resolver lets no space through (`dn_expand()` escapes it). What else it holds does not matter.
pub(super) fn host(text: &[u8]) -> Option<(IpAddr, &[u8])> {
    if text.starts_with(b"[") {
        return bracketed(text);
    }
    let (name, rest) = split_once(text, b" ")?;
    if name.is_empty() { None } else { bracketed(rest) }
}

/// The address after every `mark` in `text`, as `read` reads it, if all of them that can be read are the same one.
///
/// For forms in which a client's text may hold a copy of the daemon's mark, and nothing tells which is which: then
/// nobody is blamed.
pub(super) fn agreed(text: &[u8], mark: &[u8], read: impl Fn(&[u8]) -> Option<IpAddr>) -> Option<IpAddr> {
    let mut found = memmem::find_iter(text, mark).filter_map(|at| read(text.get(at + mark.len()..)?));
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn maillog_scan_hosts() {
        let cases = [
            ("name", "mx.example [192.0.2.1] x", ip("192.0.2.1")),
            ("no name", "[192.0.2.1]", ip("192.0.2.1")),
            ("IPv6", "mx.example [2001:db8::1]:25", ip("2001:db8::1")),
            ("Sendmail's IPv6", "[IPv6:2001:db8::1]", ip("2001:db8::1")),
            ("mapped", "[::ffff:192.0.2.1]", ip("192.0.2.1")),
            ("name with brackets", "a[198.51.100.7] [192.0.2.1]", ip("192.0.2.1")),
            ("name only", "mx.example", None),
            ("two words before", "a b [192.0.2.1]", None),
            ("not an address", "a [192.0.2.1x]", None),
            ("interface", "a [fe80::1%eth0]", ip("fe80::1")),
            ("no interface", "a [fe80::1%e)]", None),
            ("no interface for IPv4", "a [192.0.2.1%eth0]", None),
            ("empty", "", None),
        ];
        for (name, text, want) in cases {
            assert_eq!(host(text.as_bytes()).map(|(address, _)| address), want, "{name}");
        }
    }

    #[test]
    fn maillog_scan_mentions() {
        let cases = [
            ("as it is", "Relaying denied", &["relaying"][..], true),
            ("at the end", "was DENIED", &["denied"], true),
            ("cut off", "was denie", &["denied"], false),
            ("after a false start", "dedenied", &["denied"], true),
            ("the second", "User unknown", &["relay", "user unknown"], true),
            ("none", "", &["a"], false),
        ];
        for (name, text, marks, want) in cases {
            assert_eq!(mentions(text.as_bytes(), marks), want, "{name}");
        }
    }

    #[test]
    fn maillog_scan_blames_nobody_when_marks_disagree() {
        let read = |text: &[u8]| bracketed(text).map(|(address, _)| address);
        let cases = [
            ("one", "a=[192.0.2.1]", ip("192.0.2.1")),
            ("the same twice", "a=[192.0.2.1] a=[192.0.2.1]", ip("192.0.2.1")),
            ("two", "a=[192.0.2.1] a=[192.0.2.2]", None),
            ("one is no address", "a=[x] a=[192.0.2.2]", ip("192.0.2.2")),
            ("none", "b=[192.0.2.1]", None),
        ];
        for (name, text, want) in cases {
            assert_eq!(agreed(text.as_bytes(), b"a=", read), want, "{name}");
        }
    }
}
