//! Passwords that daemons log when they are told to (`auth_verbose_passwords`, vpopmail's `--enable-logging=v`): a line
//! that is kept, as evidence or in the ledger, is kept without them.

use std::borrow::Cow;

use memchr::memmem;

use super::event::Daemon;

/// The line without the password that `daemon` logged in it, plain or hashed. What follows the password goes with it,
/// because nothing tells where a password ends.
pub fn redact(daemon: Daemon, line: &[u8]) -> Cow<'_, [u8]> {
    let marks: &[&[u8]] = match daemon {
        Daemon::Dovecot => &[b" (given password: ", b" (SHA1 of given password: "],
        Daemon::Qmail => &[b" (pass: "],
        _ => &[],
    };
    let Some(end) = marks
        .iter()
        .filter_map(|mark| Some(memmem::find(line, mark)? + mark.len()))
        .min()
    else {
        return Cow::Borrowed(line);
    };
    let mut kept = line.get(..end).unwrap_or(line).to_vec();
    kept.extend_from_slice(b"...)");
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maillog_secret_is_not_kept() {
        let cases = [
            (
                "plain",
                Daemon::Dovecot,
                "auth: sql(bob,192.0.2.1): Password mismatch (given password: a (b) c) - trying the next passdb",
                "auth: sql(bob,192.0.2.1): Password mismatch (given password: ...)",
            ),
            (
                "hashed",
                Daemon::Dovecot,
                "auth: sql(bob,192.0.2.1): unknown user (SHA1 of given password: f638ff)",
                "auth: sql(bob,192.0.2.1): unknown user (SHA1 of given password: ...)",
            ),
            (
                "vpopmail",
                Daemon::Qmail,
                "vchkpw-smtp: password fail (pass: 'secret') bob@example.com:192.0.2.1",
                "vchkpw-smtp: password fail (pass: ...)",
            ),
            (
                "none",
                Daemon::Dovecot,
                "auth: sql(bob,192.0.2.1): Password mismatch",
                "auth: sql(bob,192.0.2.1): Password mismatch",
            ),
            (
                "a client's words",
                Daemon::Postfix,
                "warning: non-SMTP command from unknown[192.0.2.1]: x (given password: y",
                "warning: non-SMTP command from unknown[192.0.2.1]: x (given password: y",
            ),
        ];
        for (name, daemon, line, want) in cases {
            assert_eq!(
                String::from_utf8_lossy(&redact(daemon, line.as_bytes())),
                want,
                "{name}"
            );
        }
    }
}
