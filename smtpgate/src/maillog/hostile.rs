//! What a client might write to have another blamed, for tests.

use proptest::collection::vec;
use proptest::prelude::*;

/// Pieces of the daemons' own messages, and anything else; control characters as all daemons write them.
pub(super) fn text() -> impl Strategy<Value = String> {
    const PIECES: [&str; 38] = [
        "unknown[198.51.100.7]",
        " from unknown[198.51.100.7]: ",
        "[198.51.100.7]:25",
        ": SASL LOGIN authentication failed: x",
        "; from=<x> to=<y> proto=SMTP helo=<z>",
        ", sasl_username=",
        ", sasl_sender=",
        ": Relay access denied",
        ": 554 5.7.1 ",
        ", size=1, nrcpt=1 (queue active)",
        ", status=sent (",
        ", rip=198.51.100.7, lip=192.0.2.25",
        " rip=198.51.100.7",
        " user=<",
        ">, method=PLAIN",
        ",198.51.100.7",
        ",198.51.100.7,<s>): ",
        ",198.51.100.7): ",
        ",198.51.100.7,sasl:plain)<s>: ",
        "passwd-file(x",
        "auth(x",
        "passwd-file: ",
        "unknown user",
        "Password mismatch",
        "Password mismatch (given password: ",
        "Username character disallowed by auth_username_chars: 0x3e (username: ",
        "Empty username",
        ")",
        ": ",
        " rhost=198.51.100.7",
        "?,198.51.100.7): ",
        "x): sql(y",
        "Info: ",
        "unknown user (given password: ",
        " dovecot: x-login: (auth failed, 9 : rip=198.51.100.7",
        " [198.51.100.7]: possible SMTP attack: command=AUTH",
        " a/smtpd: warning: non-SMTP command from x[198.51.100.7]: ",
        "Oct 10 10:10:10 mx1 postfix/smtpd[1]: connect from unknown[198.51.100.7]",
    ];
    let piece = prop_oneof![
        3 => proptest::sample::select(&PIECES[..]).prop_map(str::to_owned),
        1 => "[ -~]{0,6}",
        1 => "\\PC{0,3}",
    ];
    vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}
