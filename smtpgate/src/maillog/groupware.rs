//! Web mail and groupware beside Roundcube: SOGo, Horde, SquirrelMail, Open WebMail, Group-Office.

use std::net::IpAddr;

use memchr::memmem;

use super::event::{Daemon, Kind};
use super::grammar::{Form, Grammar};
use super::parse::Reading;
use super::scan::{address, agreed, bracketed, rsplit_once, split_once, word};
use super::weight;

/// SOGo.
pub(super) static SOGO: Grammar = Grammar {
    daemon: Daemon::Sogo,
    program: "sogod",
    writes: |program| program == b"sogod" || program == b"sogo",
    forms: &[
        Form {
            name: "login_failed",
            versions: "1.3 and later",
            sample: "SOGoRootPage Login from '192.0.2.1' for user 'bob' might not have worked - password policy: 65535  grace: -1  expire: -1  bound: 0",
            read: |message| sogo(message, b"SOGoRootPage Login from '", b"' might not have worked", true),
        },
        Form {
            name: "login",
            versions: "2.0 and later",
            sample: "SOGoRootPage successful login from '192.0.2.1' for user 'bob' - expire = -1  grace = -1",
            read: |message| sogo(message, b"SOGoRootPage successful login from '", b"' - expire", false),
        },
    ],
};

/// Horde and IMP.
pub(super) static HORDE: Grammar = Grammar {
    daemon: Daemon::Horde,
    program: "HORDE",
    writes: |program| program.eq_ignore_ascii_case(b"horde") || program.eq_ignore_ascii_case(b"imp"),
    forms: &[Form {
        name: "login_failed",
        versions: "3 and later; `USER to APP (ADDRESS)` since 5",
        sample: "[error] [imp] FAILED LOGIN for bob [192.0.2.1] to {localhost:143 [imap]} [on line 116 of \"/horde/login.php\"]",
        read: horde,
    }],
};

/// SquirrelMail, with the Squirrel Logger plugin.
pub(super) static SQUIRRELMAIL: Grammar = Grammar {
    daemon: Daemon::Squirrelmail,
    program: "squirrelmail",
    writes: |program| program == b"squirrelmail",
    forms: &[Form {
        name: "login_error",
        versions: "Squirrel Logger 2.0 and later",
        sample: "[LOGIN_ERROR] bob (example.com) from 192.0.2.1: Unknown user or password incorrect.",
        read: squirrelmail,
    }],
};

/// Open WebMail.
pub(super) static OPENWEBMAIL: Grammar = Grammar {
    daemon: Daemon::Openwebmail,
    program: "openwebmail",
    writes: |program| program == b"openwebmail",
    forms: &[Form {
        name: "login_error",
        versions: "1.8 and later",
        sample: "[4711] (192.0.2.1) bob - login error - auth_unix.pl, ret -4, Password incorrect",
        read: openwebmail,
    }],
};

/// Group-Office.
pub(super) static GROUPOFFICE: Grammar = Grammar {
    daemon: Daemon::Groupoffice,
    program: "groupoffice",
    writes: |program| program == b"groupoffice",
    forms: &[Form {
        name: "login_failed",
        versions: "3 to 6",
        sample: "LOGIN FAILED for user: \"bob\" from IP: 192.0.2.1",
        read: groupoffice,
    }],
};

fn failed<'a>(address: IpAddr, user: &'a [u8]) -> Reading<'a> {
    Reading {
        address: Some(address),
        user: Some(user).filter(|user| !user.is_empty()),
        weight: weight::PASSWORD,
        ..Reading::of(Kind::AuthFailed)
    }
}

/// `START ADDRESSES' for user 'USER END…`. ADDRESSES is `X-Forwarded-For` where there is a proxy: each proxy adds whom it
/// saw at the end, and what stands before is what the client sent. So the last one counts that is no proxy of our own, as
/// far as private ranges tell.
fn sogo<'a>(message: &'a [u8], start: &[u8], end: &[u8], is_failure: bool) -> Option<Reading<'a>> {
    const MARK: &[u8] = b"' for user '";
    let rest = message.strip_prefix(start)?;
    let (addresses, rest) = split_once(rest, MARK)?;
    if memmem::find(rest, MARK).is_some() {
        return None;
    }
    let (user, _) = rsplit_once(rest, end)?;
    let mut all = addresses.rsplit(|&b| b == b',').map(|text| address(text.trim_ascii()));
    let last = all.next()??;
    let client = if is_private(last) {
        // Not beyond what is no address: `?` ends the search.
        let mut known = Some(last);
        for seen in all {
            known = seen;
            if known.is_none_or(|seen| !is_private(seen)) {
                break;
            }
        }
        known?
    } else {
        last
    };
    let reading = failed(client, user);
    Some(if is_failure {
        reading
    } else {
        Reading {
            kind: Kind::AuthOk,
            weight: 0,
            ..reading
        }
    })
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local(),
    }
}

/// `[error] [APP] FAILED LOGIN for USER [ADDRESS] to SERVER …`, or `USER to APP (ADDRESS) …`
fn horde(message: &[u8]) -> Option<Reading<'_>> {
    let (tags, rest) = split_once(message, b"FAILED LOGIN for ")?;
    // Only `[error] [imp] ` and its like: nobody else's words.
    let tag = |word: &[u8]| word.is_empty() || (word.starts_with(b"[") && word.ends_with(b"]"));
    tags.split(|&b| b == b' ').all(tag).then_some(())?;
    let client = |text: &[u8]| match text.strip_prefix(b"(") {
        Some(text) => address(text.get(..text.iter().position(|b| b" ),".contains(b))?)?),
        None => Some(bracketed(text)?.0),
    };
    // A name may hold blanks, and with them a copy of all that follows it.
    let address = agreed(rest, b" ", client)?;
    Some(failed(address, word(rest).0))
}

/// `[LOGIN_ERROR] USER (DOMAIN) from ADDRESS: TEXT`
fn squirrelmail(message: &[u8]) -> Option<Reading<'_>> {
    let rest = message
        .strip_prefix(b"[")
        .unwrap_or(message)
        .strip_prefix(b"LOGIN_ERROR] ")?;
    let client = |text: &[u8]| address(split_once(text, b": ")?.0);
    Some(failed(agreed(rest, b") from ", client)?, rsplit_once(rest, b" (")?.0))
}

/// `[PID] (ADDRESS) USER - login error - …`
fn openwebmail(message: &[u8]) -> Option<Reading<'_>> {
    let (_pid, rest) = split_once(message.strip_prefix(b"[")?, b"] (")?;
    let (client, rest) = split_once(rest, b") ")?;
    let (user, _) = split_once(rest, b" - login error - ").or_else(|| split_once(rest, b" - userinfo error - "))?;
    Some(failed(address(client)?, user))
}

/// `LOGIN FAILED for user: "USER" from IP: ADDRESS`
fn groupoffice(message: &[u8]) -> Option<Reading<'_>> {
    let (user, client) = rsplit_once(message.strip_prefix(b"LOGIN FAILED for user: \"")?, b"\" from IP: ")?;
    Some(failed(address(client.trim_ascii_end())?, user))
}
