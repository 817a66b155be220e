//! What daemons write.

use smtpgate::maillog::grammar::{GRAMMARS, line};
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
