//! Any bytes as a mail log: they are read, and what an event says stands in its line.

use std::net::IpAddr;
use std::sync::LazyLock;

use jiff::tz::TimeZone;
use memchr::memmem;
use smtpgate::maillog::{Clock, Lines, Patterns, Reader, parse, test_log, time};

static CLOCK: LazyLock<Clock> = LazyLock::new(|| Clock {
    now: "2026-11-24T12:00:00Z".parse().expect("a time"),
    zone: TimeZone::get("Asia/Tokyo").unwrap_or(TimeZone::UTC),
});

/// Whether the address stands in the line, in whatever way it may be written.
fn stands(line: &[u8], address: IpAddr) -> bool {
    if memmem::find(line, address.to_string().as_bytes()).is_some() {
        return true;
    }
    let part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let words = line.split(|byte| !part(byte)).filter(|word| word.len() >= 2);
    words
        .flat_map(|word| (0..word.len() - 1).map(|start| &word[start..]))
        .any(|word| {
            let longest = word.len().min("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".len());
            (2..=longest).any(|end| {
                let text = std::str::from_utf8(&word[..end]).expect("ASCII");
                text.parse::<IpAddr>()
                    .is_ok_and(|found| found.to_canonical() == address)
            })
        })
}

/// See the module.
pub(crate) fn run(log: &[u8]) {
    let mut reader = Reader::default();
    let mut lines = Lines::default();
    let mut from = log;
    let mut understood = 0;
    while let Some(line) = lines.next_line(&mut from).expect("memory can be read") {
        if let Some(time) = time(line) {
            let _ = CLOCK.resolve(time);
        }
        if let Some(event) = parse(line) {
            assert_eq!(event.address, event.address.map(|address| address.to_canonical()));
            if let Some(address) = event.address {
                assert!(stands(line, address), "{address} is from elsewhere");
            }
            for text in [event.user, event.mechanism, event.queue_id, event.sender]
                .into_iter()
                .flatten()
            {
                assert!(memmem::find(line, text).is_some(), "{text:?} is from elsewhere");
            }
        }
        if let Some(event) = reader.read(line) {
            understood += 1;
            if let Some(address) = event.address {
                // Or in an earlier line of the same message.
                assert!(stands(log, address), "{address} is from elsewhere");
            }
        }
    }
    let read = test_log(log, CLOCK.clone(), Patterns::default()).map(|read| read.expect("memory can be read"));
    assert_eq!(read.count(), understood);
}
