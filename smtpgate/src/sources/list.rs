//! Lists of networks in files: the grammar of `file:`.
//!
//! One entry a line: a network `192.0.2.0/24`, an address `192.0.2.7`, or a range `192.0.2.1-192.0.2.9`, IPv4 or IPv6.
//! Comments begin with `#` or `;`, on a line of their own or after an entry, and may be in any encoding. Blank lines,
//! CRLF and a byte order mark do no harm. One bad line refuses the whole list: half a list may be the wrong half.

use std::net::IpAddr;
use std::path::Path;

use super::net;
use super::ranges::Ranges;

/// Larger files are refused: 64 MiB are some four million lines, more than any gate can hold.
pub(crate) const MAX_FILE: u64 = 64 << 20;
/// So many bad lines are named; after that it is the wrong kind of file.
const MAX_NAMED: usize = 5;

/// Reads a list. The error has one line for each bad line (the first few): `FILE:LINE: what is wrong`.
pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Ranges, String> {
    let mut ranges = Ranges::default();
    let mut bad = Vec::new();
    let mut bad_count = 0;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let end = line
            .iter()
            .position(|byte| matches!(byte, b'#' | b';'))
            .unwrap_or(line.len());
        let entry = line[..end].trim_ascii();
        if entry.is_empty() {
            continue;
        }
        if let Err(why) = add_entry(&mut ranges, entry) {
            bad_count += 1;
            if bad.len() < MAX_NAMED {
                bad.push(format!("{}:{}: {why}", path.display(), index + 1));
            }
        }
    }
    if bad_count > bad.len() {
        bad.push(format!(
            "{}: and {} more bad lines",
            path.display(),
            bad_count - bad.len()
        ));
    }
    if !bad.is_empty() {
        return Err(bad.join("\n"));
    }
    ranges.normalise();
    Ok(ranges)
}

fn add_entry(ranges: &mut Ranges, entry: &[u8]) -> Result<(), String> {
    let entry = std::str::from_utf8(entry).map_err(|_| "is not text".to_owned())?;
    // The commonest way in which a download of a list goes wrong.
    if entry.starts_with('<') {
        return Err("is a line of a web page, not of a list: look at what was downloaded".to_owned());
    }
    let Some((low, high)) = entry.split_once('-') else {
        return match net::parse(entry) {
            Ok(net) => {
                ranges.add_net(net);
                Ok(())
            }
            Err(_) if entry.contains([' ', '\t', ',']) => Err(format!(
                "`{}` has more than one entry: write one a line; comments begin with #",
                shortened(entry)
            )),
            Err(_) if entry.len() > 60 => Err(format!("`{}` is no address or network", shortened(entry))),
            Err(error) => Err(error.to_string()),
        };
    };
    let shown = shortened(entry);
    let ends = net::address(low.trim()).and_then(|low| net::address(high.trim()).map(|high| (low, high)));
    let Ok((low, high)) = ends.map(|(low, high)| (net::unmapped(low), net::unmapped(high))) else {
        return Err(format!(
            "`{shown}` is no range: both ends are whole addresses, as 192.0.2.1-192.0.2.9"
        ));
    };
    if low.is_ipv4() == high.is_ipv4() && low > high {
        return Err(format!(
            "`{shown}` ends before it begins: the lower address comes first"
        ));
    }
    match (low, high) {
        (IpAddr::V4(low), IpAddr::V4(high)) => ranges.add_v4(low.into(), high.into()),
        (IpAddr::V6(low), IpAddr::V6(high)) => ranges.add_v6(low.into(), high.into()),
        _ => return Err(format!("`{shown}` joins IPv4 and IPv6")),
    }
    Ok(())
}

/// The beginning of a long entry, without control characters: it is shown on a terminal.
fn shortened(entry: &str) -> String {
    let mut start: String = entry.chars().take(40).flat_map(char::escape_debug).collect();
    if entry.chars().nth(40).is_some() {
        start.push('…');
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nets(bytes: &[u8]) -> Result<Vec<String>, String> {
        parse(Path::new("/l"), bytes).map(|ranges| ranges.to_nets().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn list_grammar_is_read() {
        for (case, text, expected) in [
            ("nothing", &b""[..], vec![]),
            ("comments and blank lines", b"# a\n\n ; b\n\t\n", vec![]),
            (
                "networks and addresses",
                b"192.0.2.0/24\n198.51.100.7\n2001:db8::/32\n2001:db9::7",
                vec!["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32", "2001:db9::7/128"],
            ),
            (
                "comment after an entry",
                b"192.0.2.0/24 # ours\n198.51.100.0/24 ; SBL1\n203.0.113.0/24#x",
                vec!["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"],
            ),
            (
                "IPv4 range",
                b"192.0.2.0-192.0.2.127\n203.0.113.1 - 203.0.113.2",
                vec!["192.0.2.0/25", "203.0.113.1/32", "203.0.113.2/32"],
            ),
            ("IPv6 range", b"2001:db8::-2001:db8::ffff", vec!["2001:db8::/112"]),
            ("range of one", b"192.0.2.1-192.0.2.1", vec!["192.0.2.1/32"]),
            (
                "mapped",
                b"::ffff:192.0.2.7\n::ffff:203.0.113.0-::ffff:203.0.113.255",
                vec!["192.0.2.7/32", "203.0.113.0/24"],
            ),
            (
                "CRLF and byte order mark",
                b"\xef\xbb\xbf192.0.2.7\r\n198.51.100.7\r\n",
                vec!["192.0.2.7/32", "198.51.100.7/32"],
            ),
            (
                "comment in Shift_JIS",
                b"192.0.2.7 # \x93\xfa\x96{\n",
                vec!["192.0.2.7/32"],
            ),
            (
                "overlaps are joined",
                b"192.0.2.128/25\n192.0.2.0/25\n192.0.2.9",
                vec!["192.0.2.0/24"],
            ),
        ] {
            assert_eq!(
                nets(text),
                Ok(expected.into_iter().map(str::to_owned).collect()),
                "{case}"
            );
        }
    }

    #[test]
    fn list_with_a_bad_line_is_refused_by_file_and_line() {
        for (case, text, expected) in [
            (
                "host bits",
                &b"# x\n192.0.2.7/24\n"[..],
                "/l:2: `192.0.2.7/24` is an address inside 192.0.2.0/24: write 192.0.2.0/24 for the network, or 192.0.2.7 for the one address",
            ),
            (
                "a word",
                b"192.0.2.0/24\n\nlocalhost\n",
                "/l:3: `localhost` is no address or network, as 192.0.2.0/24 or 2001:db8::7",
            ),
            (
                "two entries",
                b"192.0.2.1 192.0.2.2",
                "/l:1: `192.0.2.1 192.0.2.2` has more than one entry: write one a line; comments begin with #",
            ),
            (
                "two entries by comma",
                b"192.0.2.1,192.0.2.2",
                "/l:1: `192.0.2.1,192.0.2.2` has more than one entry: write one a line; comments begin with #",
            ),
            (
                "range turned round",
                b"192.0.2.9-192.0.2.1",
                "/l:1: `192.0.2.9-192.0.2.1` ends before it begins: the lower address comes first",
            ),
            (
                "range of both families",
                b"192.0.2.9-2001:db8::1",
                "/l:1: `192.0.2.9-2001:db8::1` joins IPv4 and IPv6",
            ),
            (
                "half a range",
                b"192.0.2.9-",
                "/l:1: `192.0.2.9-` is no range: both ends are whole addresses, as 192.0.2.1-192.0.2.9",
            ),
            (
                "short range",
                b"192.0.2.1-9",
                "/l:1: `192.0.2.1-9` is no range: both ends are whole addresses, as 192.0.2.1-192.0.2.9",
            ),
            ("binary", b"\xff\xfe1\x009\x00", "/l:1: is not text"),
            (
                "a web page",
                b"<!DOCTYPE html>",
                "/l:1: is a line of a web page, not of a list: look at what was downloaded",
            ),
            (
                "two bad lines",
                b"a\n192.0.2.1\nb",
                "/l:1: `a` is no address or network, as 192.0.2.0/24 or 2001:db8::7\n/l:3: `b` is no address or network, as 192.0.2.0/24 or 2001:db8::7",
            ),
            (
                "many bad lines",
                b"a\na\na\na\na\na\na",
                "/l:1: `a` is no address or network, as 192.0.2.0/24 or 2001:db8::7\n/l:2: `a` is no address or network, as 192.0.2.0/24 or 2001:db8::7\n/l:3: `a` is no address or network, as 192.0.2.0/24 or 2001:db8::7\n/l:4: `a` is no address or network, as 192.0.2.0/24 or 2001:db8::7\n/l:5: `a` is no address or network, as 192.0.2.0/24 or 2001:db8::7\n/l: and 2 more bad lines",
            ),
        ] {
            assert_eq!(nets(text), Err(expected.to_owned()), "{case}");
        }
    }

    proptest! {
        #[test]
        fn list_of_any_bytes_does_no_harm(bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"0123456789abcdef.:/-#;\n "[..])], 0..200)) {
            let _ = parse(Path::new("/l"), &bytes);
        }
    }
}
