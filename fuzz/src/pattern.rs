//! Any text as an admin's own message form: it is refused, or there is one way in which it can match; and any text in a
//! field of a form that was taken: nobody but the client is blamed.

use std::net::IpAddr;
use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};
use smtpgate::maillog::{Kind, Pattern, Patterns, Reader};

/// Forms as admins write them, and what stands before and behind the field in a message.
const FORMS: [(&str, &str, &str); 6] = [
    (
        r"^login of <(?<user>[^>]*)> failed from \[(?<address>[^\]]+)\]",
        "login of <",
        "> failed from [192.0.2.1]",
    ),
    (
        r"^login failed for (?<user>[^ ]+) from (?<address>\S+)",
        "login failed for ",
        " from 192.0.2.1",
    ),
    (
        r"^(?<user>\S+) failed from (?<address>\S+)$",
        "",
        " failed from 192.0.2.1",
    ),
    (
        r"^login failed from (?<address>[0-9a-f.:]+) as (?<user>.*)$",
        "login failed from 192.0.2.1 as ",
        "",
    ),
    (
        r#"^\[[0-9]+\] user="(?<user>[^"]*)" ip=(?<address>[0-9a-f.:]+), failed"#,
        "[4711] user=\"",
        "\" ip=192.0.2.1, failed",
    ),
    (
        r"(?i)^failed for [^ ]+ [(](?<address>[0-9A-F.:]+)",
        "failed for ",
        " (192.0.2.1)",
    ),
];

static READERS: LazyLock<Vec<Patterns>> = LazyLock::new(|| {
    let read = |(regex, ..): &(&str, &str, &str)| {
        pattern(regex).unwrap_or_else(|refused| panic!("{regex} is refused: {refused}"))
    };
    FORMS.iter().map(read).collect()
});

fn pattern(regex: &str) -> Result<Patterns, String> {
    let pattern = Pattern::new("mine", None, regex, Kind::AuthFailed, None).map_err(|error| error.to_string())?;
    Ok(Patterns::new(vec![pattern]))
}

/// Whom a message is read as blaming.
fn blamed(patterns: &Patterns, message: &[u8]) -> Option<IpAddr> {
    let line = [b"Nov 24 12:00:00 mx1 my-imapd[1]: ", message].concat();
    Reader::new(patterns.clone())
        .read(&line)
        .and_then(|event| event.address)
}

/// See the module.
pub(crate) fn run(input: &[u8]) {
    let [which, text @ ..] = input else { return };
    match FORMS.get(usize::from(*which)) {
        Some((_, before, behind)) => {
            let patterns = &READERS[usize::from(*which)];
            // A log has no line ends within a line.
            let text: Vec<u8> = text
                .iter()
                .map(|byte| if *byte == b'\n' { b'?' } else { *byte })
                .collect();
            let message = [before.as_bytes(), &text, behind.as_bytes()].concat();
            let blamed = blamed(patterns, &message);
            let client: IpAddr = "192.0.2.1".parse().expect("an address");
            assert!(
                blamed.is_none_or(|blamed| blamed == client),
                "{blamed:?} by {}",
                message.escape_ascii()
            );
        }
        None => of_ones_own(text),
    }
}

/// The first line is the expression, the others are messages.
fn of_ones_own(text: &[u8]) {
    let mut lines = text.split(|byte| *byte == b'\n');
    let Some(Ok(regex)) = lines.next().map(std::str::from_utf8) else {
        return;
    };
    let patterns = match pattern(regex) {
        Ok(patterns) => patterns,
        Err(refused) => {
            assert!(!refused.is_empty() && !refused.contains('\n'), "{refused:?}");
            return;
        }
    };
    // With as little as possible where it takes as much as it can, and the other way round: were there two ways to
    // match, the address would move.
    let compile = |regex: &str| RegexBuilder::new(regex).unicode(false).build().ok();
    let (Some(greedy), Some(lazy)) = (compile(regex), compile(&format!("(?U){regex}"))) else {
        return;
    };
    let place = |regex: &Regex, message: &[u8]| {
        let found = regex.captures(message)?;
        Some(found.name("address").expect("it always takes part").start())
    };
    for message in lines {
        assert_eq!(
            place(&greedy, message),
            place(&lazy, message),
            "{}",
            message.escape_ascii()
        );
        if let Some(client) = blamed(&patterns, message) {
            let text = String::from_utf8_lossy(message).to_lowercase();
            let found = greedy.captures(message).expect("it was read");
            let address = String::from_utf8_lossy(&found["address"]).to_lowercase();
            assert!(text.contains(&address), "{client} is from elsewhere");
        }
    }
}
