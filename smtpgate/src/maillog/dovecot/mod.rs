//! Dovecot 2.0 to 2.4, through syslog (`dovecot: imap-login: …`) and in its own log files (`imap-login: Info: …`).
//!
//! What a client can put into these lines: its user name (cut at 64 or 80 bytes, control characters replaced by `?`; any
//! other text where `auth_username_chars` is empty), its mechanism, and with `auth_verbose_passwords` its password,
//! which is never kept. So a login process' line is read from the end, and an auth process' line by every way in which
//! it can be taken apart: where these disagree on the address, nobody is blamed.

mod auth;
mod login;
#[cfg(test)]
mod tests;

use super::grammar::Form;
use super::parse::Reading;

/// The forms of the login processes.
pub static LOGIN: &[Form] = login::FORMS;

/// The forms of the auth processes.
pub static AUTH: &[Form] = auth::FORMS;

/// Reads a message of `program`. `None` when it is not Dovecot's, or of no known form.
pub(super) fn read<'a>(program: &'a [u8], message: &'a [u8]) -> Option<Reading<'a>> {
    if program.starts_with(b"dovecot") {
        // `dovecot`, or any other `instance_name`; also `dovecot-auth`, under which PAM modules log.
        let message = message.strip_prefix(b"dovecot: ").unwrap_or(message);
        match service(message) {
            Some((name, text)) if name.ends_with(b"-login") => find(LOGIN, level(text)?),
            Some((b"auth" | b"auth-worker", text)) => find(AUTH, level(text)?),
            // A request of 2.4, or a PAM module.
            _ if [&b"auth("[..], b"auth-worker(", b"pam_"]
                .iter()
                .any(|start| message.starts_with(start)) =>
            {
                find(AUTH, message)
            }
            _ => None,
        }
    } else if program.ends_with(b"-login") {
        find(LOGIN, level(message)?)
    } else if program.starts_with(b"auth") {
        match service(program) {
            // `auth-worker(22401)`
            Some((b"auth" | b"auth-worker", b"")) => find(AUTH, level(message)?),
            _ => auth::tagged(program, message),
        }
    } else {
        None
    }
}

fn find<'a>(forms: &[Form], message: &'a [u8]) -> Option<Reading<'a>> {
    forms.iter().find_map(|form| (form.read)(message))
}

/// `imap-login: TEXT`, `auth-worker(22401): TEXT`, `auth(default): TEXT`, `auth-worker<22401>: TEXT`: the process and its
/// text.
fn service(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = message
        .iter()
        .position(|b| !(b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-'))
        .unwrap_or(message.len());
    let (name, mut rest) = message.split_at_checked(end)?;
    if let [open @ (b'(' | b'<'), numbered @ ..] = rest {
        let close = if *open == b'(' { b')' } else { b'>' };
        let end = numbered
            .iter()
            .position(|b| !b.is_ascii_alphanumeric())
            .filter(|&end| end > 0)?;
        rest = numbered.get(end..)?.strip_prefix(&[close])?;
    }
    if rest.is_empty() {
        return Some((name, rest));
    }
    Some((name, rest.strip_prefix(b": ")?))
}

/// Drops the level, which Dovecot's own log files have on every line and syslog on all but info. Errors are the
/// server's own trouble.
fn level(text: &[u8]) -> Option<&[u8]> {
    if text.starts_with(b"Error: ") || text.starts_with(b"Debug: ") {
        return None;
    }
    let rest = text.strip_prefix(b"Info: ").or_else(|| text.strip_prefix(b"Warning: "));
    Some(rest.unwrap_or(text))
}
