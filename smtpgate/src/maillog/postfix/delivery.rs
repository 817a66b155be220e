//! The delivery agents: smtp, lmtp, local, virtual and pipe, all by `log_adhoc.c`.

use super::super::event::Kind;
use super::super::grammar::Form;
use super::super::parse::Reading;
use super::queue_id;

/// The form of all of them.
pub(super) static FORMS: &[Form] = &[Form {
    name: "sent",
    versions: "2.0 and later",
    sample: "4FB2C1A0D3: to=<to@example.org>, relay=virtual, delay=0.1, delays=0.06/0/0/0.04, dsn=2.0.0, \
             status=sent (delivered to maildir)",
    read: sent,
}];

/// `QUEUEID: to=<RECIPIENT>, relay=…, …, status=sent (TEXT)`. The recipient and the other server's reply are free text;
/// the worst that they can do is to have a message taken for delivered.
fn sent(message: &[u8]) -> Option<Reading<'_>> {
    let (queue_id, rest) = queue_id(message)?;
    if !rest.starts_with(b"to=") {
        return None;
    }
    let relay = rest.get(memchr::memmem::find(rest, b", relay=")?..)?;
    let status = relay.get(memchr::memmem::find(relay, b", status=")? + 9..)?;
    status.starts_with(b"sent ").then(|| Reading {
        queue_id,
        ..Reading::of(Kind::Delivered)
    })
}
