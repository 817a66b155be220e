//! Cyrus SASL's saslauthd, which other daemons ask about passwords. It never learns of the client: the line that names
//! it is of the daemon that asked. So nobody is blamed here, and a failure counts once.

use super::event::{Daemon, Kind};
use super::grammar::{Form, Grammar};
use super::parse::Reading;
use super::scan::{rsplit_once, split_once};

/// saslauthd.
pub(super) static GRAMMAR: Grammar = Grammar {
    daemon: Daemon::Saslauthd,
    program: "saslauthd",
    writes: |program| program == b"saslauthd",
    forms: &[Form {
        name: "auth_failure",
        versions: "2.1 and later",
        sample: "do_auth         : auth failure: [user=bob] [service=smtp] [realm=example.com] [mech=pam] [reason=PAM auth error]",
        read: auth_failure,
    }],
};

/// `auth failure: [user=USER] [service=SERVICE] [realm=REALM] [mech=MECH] [reason=TEXT]`, behind the name of the function
/// where that is logged.
fn auth_failure(message: &[u8]) -> Option<Reading<'_>> {
    let (before, rest) = split_once(message, b"auth failure: [user=")?;
    if !(before.is_empty() || before.starts_with(b"do_auth") || before.starts_with(b":")) {
        return None;
    }
    let (user, rest) = rsplit_once(rest, b"] [service=")?;
    let service = split_once(rest, b"]")?.0;
    let smtp = matches!(service, b"smtp" | b"submission" | b"smtps");
    Some(Reading {
        user: Some(user),
        ..Reading::of(if smtp { Kind::SaslAuthFailed } else { Kind::AuthFailed })
    })
}
