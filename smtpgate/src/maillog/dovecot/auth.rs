//! The auth processes: `auth-request.c`, the passdb drivers, and the PAM modules that they call.
//!
//! Before 2.4 `PASSDB(USER,ADDRESS[,master][,<SESSION>]): TEXT`; in 2.4
//! `auth(USER,ADDRESS[,sasl:MECHANISM][,master])[<PID>][<SESSION>]: [request [N]: ]PASSDB: TEXT`.

use std::net::IpAddr;

use memchr::{memchr, memmem, memrchr};

use super::super::event::{Kind, Step};
use super::super::grammar::Form;
use super::super::parse::{Reading, hash};
use super::super::weight;

/// The forms of an auth process.
pub(super) static FORMS: &[Form] = &[
    Form {
        name: "passdb",
        versions: "1.0 to 2.3 (`<session>` since 2.1)",
        sample: "passwd-file(bob,192.0.2.1,<x>): Password mismatch",
        read: passdb,
    },
    Form {
        name: "request",
        versions: "2.4",
        sample: "auth(bob,192.0.2.1,sasl:plain)<x>: passwd-file: Password mismatch",
        read: passdb,
    },
    Form {
        name: "worker",
        versions: "2.3.11 and later",
        sample: "conn unix:auth-worker (pid=7,uid=143): auth-worker<8>: sql(bob,192.0.2.1): unknown user",
        read: worker,
    },
    Form {
        name: "pam",
        versions: "Linux-PAM, under service `dovecot`",
        sample: "pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot ruser=bob \
                 rhost=192.0.2.1  user=bob",
        read: pam,
    },
];

/// What a text says, and whether it could be a client's own.
enum Verdict<'a> {
    /// The text is a whole message, without anything of the client's.
    Closed(Reading<'a>),
    /// It ends in free text.
    Open(Reading<'a>),
}

/// Every `: ` may be the one behind the tag: USER may hold copies of it, and so may free text at the end.
///
/// The last one is genuine when a whole message follows it, because no message ends in free text without a closing
/// parenthesis. Else all must agree on the address, or nobody is blamed.
fn passdb(message: &[u8]) -> Option<Reading<'_>> {
    if message.starts_with(b"pam_") {
        // A PAM module's line has no tag: all that looks like one is the client's.
        return None;
    }
    let mut found: Option<Reading<'_>> = None;
    let mut seen: Option<IpAddr> = None;
    let mut disputed = false;
    for at in memmem::find_iter(message, b": ") {
        let Some(tag) = message.get(..at).and_then(tag_of) else {
            continue;
        };
        let text = message.get(at + 2..)?;
        let complete = |reading: Reading<'static>| Reading {
            user: Some(tag.user).filter(|user| *user != b"?" && !user.is_empty()),
            ..reading.by(tag.address)
        };
        match request(&tag, text) {
            Some(Verdict::Closed(reading)) => return Some(complete(reading)),
            // Not to be forged: USER is cut at 64 bytes (`MAX_LOG_USERNAME_LEN`), and with a tag this text is longer.
            Some(Verdict::Open(reading)) if tag.user == b"?" && text.starts_with(DISALLOWED) => {
                return Some(complete(reading));
            }
            Some(Verdict::Open(reading)) if found.is_none() => found = Some(complete(reading)),
            _ => {}
        }
        disputed |= seen.is_some_and(|seen| seen != tag.address);
        seen = Some(tag.address);
    }
    match found {
        Some(reading) if disputed => Some(Reading::of(reading.kind)),
        found => found,
    }
}

/// `conn unix:auth-worker (pid=7,uid=143): auth-worker<8>: ` and then as before. Nothing of it is the client's.
fn worker(message: &[u8]) -> Option<Reading<'_>> {
    let rest = message.strip_prefix(b"conn unix:")?;
    let mut rest = rest.get(memmem::find(rest, b"): ")? + 3..)?;
    if rest.starts_with(b"auth-worker<") {
        rest = rest.get(memmem::find(rest, b">: ")? + 3..)?;
    }
    passdb(rest)
}

/// What stands between the tag and the message in Dovecot's own log file.
const LEVEL: &[u8] = b"Info: ";

/// A request of 2.4 in Dovecot's own log file, where the line's tag is the request's: `TAG: [request [N]: ]Info: PASSDB: TEXT`.
///
/// USER may end a tag of its own making. Then Dovecot's is in the text, with the level behind it: the level stands elsewhere
/// than it should, or twice.
pub(super) fn tagged<'a>(tag: &'a [u8], text: &'a [u8]) -> Option<Reading<'a>> {
    let tag = tag_of(tag)?;
    let mut levels = memmem::find_iter(text, LEVEL);
    levels.next()?;
    let genuine = unnumbered(text)?.starts_with(LEVEL);
    let reading = match request(&tag, text)? {
        Verdict::Closed(reading) if genuine => reading,
        Verdict::Open(reading) if genuine && levels.next().is_none() => reading,
        Verdict::Closed(_) | Verdict::Open(_) => return Some(Reading::of(Kind::AuthFailed)),
    };
    Some(Reading {
        user: Some(tag.user).filter(|user| *user != b"?" && !user.is_empty()),
        ..reading.by(tag.address)
    })
}

/// Behind a passdb's tag the text of its message; behind a request's `[request [N]: ]PASSDB: TEXT`.
fn request(tag: &Tag<'_>, text: &[u8]) -> Option<Verdict<'static>> {
    if !matches!(tag.name, b"auth" | b"auth-worker") {
        return failure(tag.name, text);
    }
    let text = unnumbered(text)?;
    let text = text.strip_prefix(LEVEL).unwrap_or(text);
    let (name, rest) = text.split_at_checked(memmem::find(text, b": ")?)?;
    failure(name, rest.get(2..)?)
}

/// Without the request's number, which a worker writes.
fn unnumbered(text: &[u8]) -> Option<&[u8]> {
    match text.strip_prefix(b"request [") {
        Some(rest) => rest.get(memmem::find(rest, b"]: ")? + 3..),
        None => Some(text),
    }
}

struct Tag<'a> {
    name: &'a [u8],
    user: &'a [u8],
    address: IpAddr,
}

/// Reads a tag from its end, where all is Dovecot's own.
fn tag_of(tag: &[u8]) -> Option<Tag<'_>> {
    let open = memchr(b'(', tag)?;
    let name = tag.get(..open)?;
    let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if name.is_empty() || !name.iter().all(word) {
        return None;
    }
    let mut inside = tag.get(open + 1..)?;
    // `<PID>` and `<SESSION>` behind the parenthesis (2.4).
    for _ in 0..2 {
        if let Some(rest) = inside.strip_suffix(b">") {
            inside = rest.get(..memrchr(b'<', rest)?)?;
        }
    }
    inside = inside.strip_suffix(b")")?;
    // `,<SESSION>` within (2.3), `,master`, `,sasl:MECHANISM`.
    if let Some(rest) = inside.strip_suffix(b">") {
        inside = rest.get(..memmem::rfind(rest, b",<")?)?;
    }
    inside = inside.strip_suffix(b",master").unwrap_or(inside);
    let mut comma = memrchr(b',', inside)?;
    if inside.get(comma + 1..)?.starts_with(b"sasl:") {
        inside = inside.get(..comma)?;
        comma = memrchr(b',', inside)?;
    }
    let address = std::str::from_utf8(inside.get(comma + 1..)?).ok()?;
    Some(Tag {
        name,
        user: inside.get(..comma)?,
        address: address.parse::<IpAddr>().ok()?.to_canonical(),
    })
}

const DISALLOWED: &[u8] = b"Username character disallowed by auth_username_chars: ";

/// A failed login by `backend`: a passdb, or a mechanism that failed before one was asked.
fn failure(backend: &[u8], text: &[u8]) -> Option<Verdict<'static>> {
    // Details may follow in parentheses; with `auth_verbose_passwords` the password, plain or hashed.
    const VERDICTS: [(&[u8], u16); 12] = [
        // Whole: behind them a login name would go on.
        (b"Empty username", weight::UNKNOWN_LOGIN),
        (b"empty username", weight::UNKNOWN_LOGIN),
        (b"unknown user", weight::UNKNOWN_LOGIN),
        (b"Unknown user", weight::UNKNOWN_LOGIN),
        (b"Password mismatch", weight::PASSWORD),
        (b"invalid credentials", weight::PASSWORD),
        (b"Invalid credentials", weight::PASSWORD),
        (
            b"pam_authenticate() failed: Authentication failure (password mismatch?)",
            weight::PASSWORD,
        ),
        (
            b"pam_authenticate() failed: Authentication failure (Password mismatch?)",
            weight::PASSWORD,
        ),
        (
            b"pam_authenticate() failed: User not known to the underlying authentication module",
            weight::UNKNOWN_LOGIN,
        ),
        (b"pam_authenticate() failed: Permission denied", weight::PASSWORD),
        (
            b"pam_authenticate() failed: Have exhausted maximum number of retries for service",
            weight::PASSWORD,
        ),
    ];
    // What follows these is free text, or there are several ends.
    const OPEN: [(&[u8], u16); 8] = [
        (DISALLOWED, weight::UNKNOWN_LOGIN),
        (b"Username contains too many @ characters", weight::UNKNOWN_LOGIN),
        (b"Attempted master login with no ", weight::UNKNOWN_LOGIN),
        (b"allow_nets check failed: ", weight::PASSWORD),
        (b"allow_real_nets check failed: ", weight::PASSWORD),
        (b"Authentication failure due to policy server refusal", weight::PASSWORD),
        (b"Attempted login with password having illegal chars", weight::PASSWORD),
        (b"oauth2 failed: Invalid token", weight::PASSWORD),
    ];
    let name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if backend.is_empty() || !backend.iter().all(name) {
        return None;
    }
    let (text, last) = match text.strip_suffix(b" - trying the next passdb") {
        Some(text) => (text, false),
        None => (text, true),
    };
    let reading = |weight| Reading {
        step: Some(Step::Backend(hash(backend).to_le_bytes()[0])),
        ..Reading::blame(Kind::AuthFailed, if last { weight } else { 0 })
    };
    for (verdict, weight) in VERDICTS {
        match text.strip_prefix(verdict) {
            Some(b"") => return Some(Verdict::Closed(reading(weight))),
            // `(given password: hunter2)`, `(SHA1 of given password: f638ff)`, `(for LDAP bind)`, `: 2 Time(s)`.
            Some(rest @ ([b' ', b'(', ..] | [b':', b' ', ..])) => {
                return rest.ends_with(b")").then(|| Verdict::Open(reading(weight)));
            }
            _ => {}
        }
    }
    let (_, weight) = OPEN.into_iter().find(|(start, _)| text.starts_with(start))?;
    Some(Verdict::Open(reading(weight)))
}

/// `pam_unix(dovecot:auth): authentication failure; … ruser=USER rhost=ADDRESS[  user=USER]`. USER may hold a copy of the
/// mark: then all must agree, or nobody is blamed.
fn pam(message: &[u8]) -> Option<Reading<'_>> {
    const RHOST: &[u8] = b" rhost=";
    const USER: &[u8] = b" ruser=";
    let rest = message.strip_prefix(b"pam_")?;
    let module = rest.get(..memchr(b'(', rest)?)?;
    let rest = rest
        .get(module.len()..)?
        .strip_prefix(b"(dovecot:auth): authentication failure; ")?;
    let mut found: Option<(usize, IpAddr)> = None;
    for at in memmem::find_iter(rest, RHOST) {
        let host = rest.get(at + RHOST.len()..)?;
        let host = host.get(..memchr(b' ', host).unwrap_or(host.len()))?;
        let address = std::str::from_utf8(host).ok()?.parse::<IpAddr>().ok()?.to_canonical();
        if found.is_some_and(|(_, other)| other != address) {
            return Some(Reading::of(Kind::AuthFailed));
        }
        found = Some((at, address));
    }
    let (at, address) = found?;
    let user = memmem::find(rest, USER).and_then(|from| rest.get(from + USER.len()..at));
    Some(Reading {
        user: user.filter(|user| !user.is_empty()),
        step: Some(Step::Backend(hash(module).to_le_bytes()[0])),
        ..Reading::blame(Kind::AuthFailed, weight::PASSWORD).by(address)
    })
}
