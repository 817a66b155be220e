//! Any text in place of what a client chose (its login name, sender, recipient, greeting), in a line of every form there
//! is: nobody but the client is ever blamed.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use crate::samples::sample_lines;
use smtpgate::maillog::{Reader, parse};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// What clients have chosen in the samples.
const CHOSEN: [&str; 8] = [
    "bob@example.com",
    "bob@example.org",
    "eve@example.org",
    "eve@example.net",
    "from@example.com",
    "to@example.org",
    "ylmf-pc",
    "bob",
];

/// Dovecot cuts a user name in an authentication's tag (`MAX_LOG_USERNAME_LEN`), in bytes.
const TAG: usize = 64;

/// The daemon's text, and which of [`CHOSEN`] stood behind it, if one did.
type Part = (String, Option<usize>);

/// Lines taken apart at what clients have chosen.
static SAMPLES: LazyLock<Vec<Vec<Part>>> = LazyLock::new(|| {
    let parts = |line: String| {
        let mark = |number: usize| char::from(u8::try_from(number).expect("there are few"));
        let marked = CHOSEN.iter().enumerate().fold(line, |line, (number, chosen)| {
            line.replace(chosen, &mark(number).to_string())
        });
        let parts = marked.split_inclusive(|char| char < mark(CHOSEN.len()));
        let parts = parts.map(|part| match part.chars().next_back() {
            Some(last) if last < mark(CHOSEN.len()) => (part.trim_end_matches(last).to_owned(), Some(last as usize)),
            _ => (part.to_owned(), None),
        });
        parts.collect::<Vec<_>>()
    };
    sample_lines()
        .into_iter()
        .map(parts)
        .filter(|parts| parts.iter().any(|(_, chosen)| chosen.is_some()))
        .collect()
});

/// See the module.
pub(crate) fn run(input: &[u8]) {
    let [which, text @ ..] = input else { return };
    let parts = &SAMPLES[usize::from(*which) % SAMPLES.len()];
    // No daemon writes control characters, and a client's name is not empty.
    let texts: Vec<String> = text
        .split(|byte| *byte == b'\n')
        .map(|text| {
            text.iter().map(|byte| {
                if byte.is_ascii_graphic() || *byte == b' ' {
                    char::from(*byte)
                } else {
                    '?'
                }
            })
        })
        .map(|text| text.collect())
        .collect();
    let mut line = String::new();
    for (part, chosen) in parts {
        line.push_str(part);
        if let Some(chosen) = chosen {
            // What stands in a line twice is the same.
            let text = &texts[chosen % texts.len()];
            let most = if line.contains(" dovecot") && line.ends_with('(') {
                TAG
            } else {
                usize::MAX
            };
            line.extend(text.chars().take(most));
        }
    }
    let blamed = |address: Option<IpAddr>| address.is_none_or(|address| address == CLIENT);
    assert!(blamed(parse(line.as_bytes()).and_then(|event| event.address)), "{line}");
    assert!(
        blamed(Reader::default().read(line.as_bytes()).and_then(|event| event.address)),
        "{line}"
    );
}
