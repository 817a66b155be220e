//! What daemons write.

use smtpgate::maillog::grammar::GRAMMARS;
use smtpgate::maillog::{dovecot, postfix};

/// A line of every form there is, as its daemon writes it. The client of all is 192.0.2.1.
pub(crate) fn sample_lines() -> Vec<String> {
    let mut lines = Vec::new();
    for program in postfix::PROGRAMS {
        let tag = format!("postfix/{}", program.name);
        lines.extend(program.forms.iter().map(|form| line(&tag, form.sample)));
    }
    for form in dovecot::LOGIN {
        lines.push(line("dovecot", &format!("imap-login: {}", form.sample)));
    }
    for form in dovecot::AUTH {
        lines.push(line("dovecot", form.sample));
        lines.push(line("dovecot", &format!("auth: {}", form.sample)));
    }
    for grammar in GRAMMARS {
        lines.extend(grammar.forms.iter().map(|form| line(grammar.program, form.sample)));
    }
    lines
}

/// A message with what its daemon writes before it, into the system's log or into its own.
fn line(program: &str, message: &str) -> String {
    match program {
        "exim" => format!("2026-11-24 12:00:00 {message}"),
        "roundcube" => format!("[24-Nov-2026 12:00:00 +0900]: {message}"),
        "kerio" => format!("[24/Nov/2026 12:00:00] {message}"),
        "groupoffice" => format!("[2026-11-24 12:00:00]{message}"),
        "domino" => format!("24-11-2026 12:00:00   {message}"),
        "squirrelmail" => format!("11/24/2026 12:00:00 {message}"),
        "assp" => format!("Nov-24-26 12:00:00 {message}"),
        "openwebmail" => format!("Tue Nov 24 12:00:00 2026 - {message}"),
        "oracleims" => format!("<co ts=\"2026-11-24T12:00:00.94\" {message}"),
        _ => format!("Nov 24 12:00:00 mx1 {program}[4711]: {message}"),
    }
}
