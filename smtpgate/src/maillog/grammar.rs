//! What a grammar is made of, and all of them.

use super::event::Daemon;
use super::parse::Reading;
use super::{
    assp, courier, cyrus, domino, exim, groupware, kerio, opensmtpd, oracleims, perdition, qmail, roundcube, saslauthd,
    sendmail, solidpop3d, uwimap, zimbra,
};

/// A message form: where it comes from, a line of it, and its reader.
pub struct Form {
    /// Its name, for tests and documentation.
    pub name: &'static str,
    /// The versions that write it.
    pub versions: &'static str,
    /// A message of that form.
    pub sample: &'static str,
    pub(super) read: fn(&[u8]) -> Option<Reading<'_>>,
}

/// The grammar of one daemon.
pub struct Grammar {
    /// Who writes it.
    pub daemon: Daemon,
    /// The program's name in the samples' lines.
    pub program: &'static str,
    pub(super) writes: fn(program: &[u8]) -> bool,
    /// What it writes. The first form that fits is taken.
    pub forms: &'static [Form],
}

/// All but Postfix and Dovecot.
pub static GRAMMARS: &[&Grammar] = &[
    &exim::GRAMMAR,
    &sendmail::GRAMMAR,
    &opensmtpd::GRAMMAR,
    &saslauthd::GRAMMAR,
    &cyrus::GRAMMAR,
    &courier::GRAMMAR,
    &qmail::GRAMMAR,
    &roundcube::GRAMMAR,
    &perdition::GRAMMAR,
    &uwimap::GRAMMAR,
    &solidpop3d::GRAMMAR,
    &groupware::SOGO,
    &groupware::HORDE,
    &groupware::SQUIRRELMAIL,
    &groupware::OPENWEBMAIL,
    &groupware::GROUPOFFICE,
    &kerio::GRAMMAR,
    &domino::GRAMMAR,
    &assp::GRAMMAR,
    &oracleims::GRAMMAR,
    &zimbra::GRAMMAR,
];

/// A message of a program in a whole line: with what its daemon writes before it, into the system's log or into its own.
#[must_use]
pub fn line(program: &str, message: &str) -> String {
    match program {
        "exim" => format!("2026-11-24 12:00:00 {message}"),
        "roundcube" => format!("[24-Nov-2026 12:00:00 +0900]: {message}"),
        "kerio" => format!("[24/Nov/2026 12:00:00] {message}"),
        "groupoffice" => format!("[2026-11-24 12:00:00]{message}"),
        "domino" => format!("24-11-2026 12:00:00   {message}"),
        "squirrelmail" => format!("11/24/2026 12:00:00 {message}"),
        "assp" => format!("Nov-24-26 12:00:00 {message}"),
        "openwebmail" => format!("Tue Nov 24 12:00:00 2026 - {message}"),
        "zimbra" => format!("2026-11-24 12:00:00,123 {message}"),
        "oracleims" => format!("<co ts=\"2026-11-24T12:00:00.94\" {message}"),
        _ => format!("Nov 24 12:00:00 mx1 {program}[4711]: {message}"),
    }
}

/// Reads a message of `program`. `None` when it is nobody's, or of no known form. Several daemons have programs of one
/// name (`imapd`): then it is whose form fits.
pub(super) fn read<'a>(program: &[u8], message: &'a [u8]) -> Option<(Daemon, Reading<'a>)> {
    GRAMMARS
        .iter()
        .filter(|grammar| (grammar.writes)(program))
        .find_map(|grammar| {
            let reading = grammar.forms.iter().find_map(|form| (form.read)(message))?;
            Some((grammar.daemon, reading))
        })
}

#[cfg(test)]
mod tests;
