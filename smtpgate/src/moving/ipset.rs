//! `ipset save`: sets of addresses and networks, with timeouts. What a set is for stands elsewhere.

use jiff::{SignedDuration, Timestamp};

use super::{
    Left, Place, own,
    rules::{Net, Parsed, Set},
};

/// Reads one line into the sets; `saved` is when the timeouts were written down.
///
/// # Errors
/// A line that no `ipset save` has.
pub(super) fn line(place: Place, line: &str, saved: Timestamp, parsed: &mut Parsed) -> Result<(), String> {
    let wrong = || format!("`{}` is no line of ipset save", super::short(line));
    let words = shlex::split(line).ok_or_else(wrong)?;
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| *word != "-exist")
        .collect();
    match words.as_slice() {
        ["create" | "-N" | "n", name, kind, ..] => {
            let set = Set::new(place, own::ipset(name));
            if !matches!(
                *kind,
                "hash:ip" | "hash:net" | "iphash" | "nethash" | "hash:ip,mark" | "bitmap:ip" | "list:set"
            ) {
                parsed.left.push(Left::new(
                    place,
                    line,
                    format!("a set of type {kind} holds more than sources"),
                ));
            }
            parsed.sets.insert((*name).to_owned(), set);
            Ok(())
        }
        ["add" | "-A" | "a", name, entry, options @ ..] => {
            let set = parsed
                .sets
                .get_mut(*name)
                .ok_or_else(|| format!("`{}` adds to a set that was not created before", super::short(line)))?;
            let nets = match super::range(entry) {
                Some(nets) => nets,
                None => {
                    let why = "it is no address, network or range by itself".to_owned();
                    parsed.left.push(Left::new(place, line, why));
                    return Ok(());
                }
            };
            if options.contains(&"nomatch") {
                set.except.extend(nets);
                return Ok(());
            }
            let value = |name: &str| {
                let at = options.iter().position(|option| *option == name)?;
                options.get(at + 1).copied()
            };
            let timeout: Option<i64> = value("timeout").and_then(|seconds| seconds.parse().ok());
            // 0 stands for ever.
            let timeout = timeout
                .filter(|seconds| *seconds > 0)
                .and_then(|seconds| saved.checked_add(SignedDuration::from_secs(seconds)).ok());
            let until = value("comment").and_then(own::until).or(timeout);
            set.nets.extend(nets.into_iter().map(|net| Net { net, until, place }));
            Ok(())
        }
        ["flush" | "destroy" | "swap" | "rename" | "version", ..] => {
            parsed
                .left
                .push(Left::new(place, line, "it holds no source".to_owned()));
            Ok(())
        }
        _ => Err(wrong()),
    }
}
