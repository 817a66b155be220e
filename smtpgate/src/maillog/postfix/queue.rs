//! What a message's way through the queue tells: cleanup, qmgr and pickup. Their lines are full of text that clients
//! chose, and yield no address of their own.

use super::super::event::Kind;
use super::super::grammar::Form;
use super::super::parse::Reading;
use super::super::weight;
use super::{queue_id, reject};

/// The forms of cleanup.
pub(super) static CLEANUP: &[Form] = &[
    Form {
        name: "milter_reject",
        versions: "2.3 and later",
        sample: "4FB2C1A0D3: milter-reject: END-OF-MESSAGE from unknown[192.0.2.1]: 5.7.1 Spam message rejected; \
                 from=<from@example.com> to=<to@example.org> proto=ESMTP helo=<mail>",
        read: milter_reject,
    },
    Form {
        name: "content_reject",
        versions: "2.0 and later",
        sample: "4FB2C1A0D3: reject: header Subject: win now from unknown[192.0.2.1]; from=<from@example.com> \
                 to=<to@example.org> proto=ESMTP helo=<mail>: 5.7.1 no thanks",
        read: content_reject,
    },
];

/// The form of qmgr.
pub(super) static QMGR: &[Form] = &[Form {
    name: "active",
    versions: "2.0 and later",
    sample: "4FB2C1A0D3: from=<from@example.com>, size=1024, nrcpt=2 (queue active)",
    read: active,
}];

/// The form of pickup: a message from this host, which no client brought.
pub(super) static PICKUP: &[Form] = &[Form {
    name: "local",
    versions: "2.0 and later",
    sample: "4FB2C1A0D3: uid=1000 from=<alice>",
    read: local,
}];

/// `QUEUEID: milter-reject: WHERE from CLIENT: DSN TEXT; …`
fn milter_reject(message: &[u8]) -> Option<Reading<'_>> {
    let (queue_id, rest) = queue_id(message)?;
    let rest = rest.strip_prefix(b"milter-reject: ")?;
    // WHERE is one of cleanup's own words, and CLIENT has no space in it.
    let from = memchr::memmem::find(rest, b" from ")?;
    let rest = rest.get(from + 6..)?;
    let text = rest.get(memchr::memmem::find(rest, b": ")? + 2..)?;
    let (kind, weight) = reject::milter(text);
    Some(Reading {
        queue_id,
        ..Reading::blame(kind, weight)
    })
}

/// `QUEUEID: reject: header TEXT from CLIENT; …`, or `body TEXT`.
fn content_reject(message: &[u8]) -> Option<Reading<'_>> {
    let (queue_id, rest) = queue_id(message)?;
    rest.starts_with(b"reject: ").then(|| Reading {
        queue_id,
        ..Reading::blame(Kind::RejectedRcpt, weight::CONTENT)
    })
}

/// `QUEUEID: from=<SENDER>, size=SIZE, nrcpt=COUNT (queue active)`. SENDER is free text: the numbers are the last.
fn active(message: &[u8]) -> Option<Reading<'_>> {
    let (queue_id, rest) = queue_id(message)?;
    let rest = rest.strip_prefix(b"from=")?.strip_suffix(b" (queue active)")?;
    let size = memchr::memmem::rfind(rest, b", size=")?;
    let count = memchr::memmem::rfind(rest, b", nrcpt=")?;
    Some(Reading {
        queue_id,
        sender: Some(unquoted(rest.get(..size)?)),
        recipients: std::str::from_utf8(rest.get(count + 8..)?).ok()?.parse().ok()?,
        ..Reading::of(Kind::Received)
    })
}

fn local(message: &[u8]) -> Option<Reading<'_>> {
    let (queue_id, rest) = queue_id(message)?;
    rest.starts_with(b"uid=").then(|| Reading {
        queue_id,
        ..Reading::of(Kind::Received)
    })
}

/// `<SENDER>`; before 2.3 without the brackets.
fn unquoted(sender: &[u8]) -> &[u8] {
    sender
        .strip_prefix(b"<")
        .and_then(|sender| sender.strip_suffix(b">"))
        .unwrap_or(sender)
}
