//! How Postfix names a client: `NAME[ADDRESS]`, with `:PORT` under `smtpd_client_port_logging`.

use std::net::IpAddr;

/// The client at the start of `text`, and what follows it.
///
/// The word up to the first space is Postfix's own form: its NAME is a verified PTR name or `unknown`, and neither can
/// hold a space (`valid_hostname()`). The address is in the *last* brackets of that word, so that no name, whatever
/// else it holds, can stand in for it. An IPv4-mapped address is returned as IPv4.
pub(super) fn client(text: &[u8]) -> Option<(IpAddr, &[u8])> {
    let end = memchr::memchr(b' ', text).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end)?;
    let word = word
        .strip_suffix(b":")
        .or_else(|| word.strip_suffix(b","))
        .unwrap_or(word);
    let close = memchr::memrchr(b']', word)?;
    let (named, port) = word.split_at_checked(close)?;
    match port {
        [b']'] => {}
        [b']', b':', digits @ ..] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {}
        _ => return None,
    }
    let open = memchr::memrchr(b'[', named)?;
    if open == 0 {
        return None;
    }
    let address = std::str::from_utf8(named.get(open + 1..)?).ok()?;
    // A link-local client has its interface behind it: `fe80::1%eth0`.
    let address = address.split_once('%').map_or(address, |(address, _scope)| address);
    Some((address.parse::<IpAddr>().ok()?.to_canonical(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maillog_client_forms() {
        let cases = [
            ("unknown", "unknown[192.0.2.1]", Some(("192.0.2.1", ""))),
            (
                "named, text behind",
                "host.example[192.0.2.1]: SASL",
                Some(("192.0.2.1", " SASL")),
            ),
            (
                "listed",
                "host.example[192.0.2.1], sasl_method=PLAIN",
                Some(("192.0.2.1", " sasl_method=PLAIN")),
            ),
            ("port", "unknown[192.0.2.1]:55729: SASL", Some(("192.0.2.1", " SASL"))),
            ("IPv6", "unknown[2001:db8::25]:1024", Some(("2001:db8::25", ""))),
            ("IPv4-mapped", "unknown[::ffff:192.0.2.1]", Some(("192.0.2.1", ""))),
            ("scope", "unknown[fe80::1%eth0]", Some(("fe80::1", ""))),
            (
                "name is another address",
                "198.51.100.7.evil.example[192.0.2.1]",
                Some(("192.0.2.1", "")),
            ),
            (
                "name has brackets",
                "a[198.51.100.7][192.0.2.1]",
                Some(("192.0.2.1", "")),
            ),
            (
                "name is a finished form",
                "a[198.51.100.7]:25:[192.0.2.1]",
                Some(("192.0.2.1", "")),
            ),
            ("name not UTF-8", "\u{fffd}x[192.0.2.1]", Some(("192.0.2.1", ""))),
            ("address unknown", "unknown[unknown]", None),
            ("no name", "[192.0.2.1]", None),
            ("no brackets", "192.0.2.1", None),
            ("not closed", "unknown[192.0.2.1", None),
            ("text after the brackets", "unknown[192.0.2.1]x", None),
            ("port is no number", "unknown[192.0.2.1]:x", None),
            ("octal-like", "unknown[192.0.02.1]", None),
            ("prefix", "unknown[192.0.2.0/24]", None),
            ("the space ends it", "a [192.0.2.1]", None),
            ("empty", "", None),
        ];
        for (name, text, want) in cases {
            let want = want.map(|(address, rest)| (address.parse::<IpAddr>().unwrap(), rest.as_bytes()));
            assert_eq!(client(text.as_bytes()), want, "{name}");
        }
    }
}
