//! Damage at any place of a ledger, and any bytes in place of one: it is refused by its name and left as it is, or what it
//! holds is read. With the damage the input says where it is, three bytes a place.

use std::net::IpAddr;
use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use smtpgate::detect::Offence;
use smtpgate::ledger::{Ban, Exception, Ledger, Origin};
use smtpgate::maillog::{Kind, Position, Reached};

use crate::folder::Folder;

static FOLDER: LazyLock<Folder> = LazyLock::new(Folder::new);

/// A ledger with some of everything in.
static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = Folder::new();
    let path = folder.path().join("ledger.db");
    fill(&mut Ledger::open(&path).expect("there is room")).expect("there is room");
    std::fs::read(path).expect("it was written")
});

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_800_000_000 + seconds)
}

fn fill(ledger: &mut Ledger) -> Result<(), smtpgate::ledger::LedgerError> {
    let address: IpAddr = "192.0.2.1".parse().expect("an address");
    let offence = Offence {
        at: at(0),
        address,
        user: Some("bob".into()),
        kind: Kind::SaslAuthFailed,
        weight: 1,
        line: "a line".into(),
    };
    let ban = Ban {
        prefix: address.into(),
        since: at(0),
        until: Some(at(3600)),
        returns: 1,
        reason: "by hand".into(),
        rule: None,
        origin: Origin::Operator,
    };
    let position = Position {
        path: "/var/log/mail.log".into(),
        device: 1,
        inode: 2,
        offset: 3,
        mark: 4,
    };
    let reached = Reached::File(position);
    ledger.record(&[offence], &[(ban, vec!["a line".into()])], Some(&reached), at(0))?;
    ledger.allow(&Exception {
        prefix: "198.51.100.0/24".parse().expect("a prefix"),
        gate: Some("mx".into()),
        since: at(0),
        note: "a customer".into(),
    })
}

/// See the module.
pub(crate) fn run(input: &[u8]) {
    let mut bytes = WHOLE.clone();
    match input.split_first() {
        // Damage: where (of the file's bytes), and what is there.
        Some((0, places)) => {
            for place in places.chunks_exact(3) {
                let at = usize::from(u16::from_be_bytes([place[0], place[1]])) % bytes.len();
                bytes[at] = place[2];
            }
        }
        Some((_, other)) => bytes = other.to_vec(),
        None => {}
    }
    let path = FOLDER.write("ledger.db", &bytes);
    for beside in ["ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(FOLDER.path().join(beside));
    }
    let refused = |error: smtpgate::ledger::LedgerError| {
        let said = error.to_string();
        assert!(said.contains("ledger.db"), "the error names no file: {said}");
    };
    let ledger = match Ledger::open(&path) {
        Ok(ledger) => ledger,
        Err(error) => {
            let left = std::fs::read(&path).expect("it was written");
            assert!(left == bytes, "a refused ledger is not as it was");
            return refused(error);
        }
    };
    let _ = ledger.check().map_err(refused);
    let _ = ledger.live_bans(at(1)).map_err(refused);
    let _ = ledger.offences_since(at(-1)).map_err(refused);
    let _ = ledger.positions().map_err(refused);
    let _ = ledger.exceptions().map_err(refused);
    let _ = ledger.past("192.0.2.1/32".parse().expect("a prefix")).map_err(refused);
    let _ = ledger
        .history("192.0.2.1/32".parse().expect("a prefix"))
        .map_err(refused);
}
