//! On real files.

use std::fs;
use std::io::{Seek, SeekFrom, Write};

use jiff::SignedDuration;
use tempfile::TempDir;

use super::*;
use crate::detect::{Good, Past, Rule};
use crate::maillog::{Cursor, Kind, Position, Reached};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn ban(prefix: &str, since: i64, until: Option<i64>) -> Ban {
    Ban {
        prefix: prefix.parse().unwrap(),
        since: at(since),
        until: until.map(at),
        returns: 0,
        reason: "5 offences within 10m".into(),
        rule: Some(Rule::Maxretry),
        origin: Origin::Detect,
    }
}

fn offence(address: &str, seconds: i64) -> Offence {
    Offence {
        at: at(seconds),
        address: address.parse().unwrap(),
        user: Some("bob".into()),
        kind: Kind::SaslAuthFailed,
        weight: 1,
        line: "a line".into(),
    }
}

fn position(path: &str, inode: u64, offset: u64) -> Position {
    Position {
        path: path.into(),
        device: u64::MAX,
        inode,
        offset,
        mark: 0xffff_0000_ffff_0000,
    }
}

fn fresh() -> (TempDir, PathBuf, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let ledger = Ledger::open(&path).unwrap();
    (folder, path, ledger)
}

#[test]
fn ledger_keeps_everything_over_a_restart() {
    let (_folder, path, mut ledger) = fresh();
    let evidence = vec!["one \\\"x\\\"".to_owned(), "二".to_owned()];
    let (v4, v6, forever) = (
        ban("192.0.2.1/32", 0, Some(60)),
        ban("2001:db8::/64", 1, Some(60)),
        ban("198.51.100.0/24", 2, None),
    );
    let offences = [offence("192.0.2.1", 0), offence("2001:db8::1", 1)];
    let read = position("/var/log/mail.log", 7, 100);
    ledger
        .record(
            &offences,
            &[(v4.clone(), evidence.clone()), (v6.clone(), vec![])],
            Some(&Reached::File(read.clone())),
            at(1),
        )
        .unwrap();
    ledger.ban(&forever, &[]).unwrap();
    let exception = Exception {
        prefix: "203.0.113.0/24".parse().unwrap(),
        gate: Some("mx".into()),
        since: at(3),
        note: "a partner".into(),
    };
    ledger.allow(&exception).unwrap();
    drop(ledger);

    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.live_bans(at(59)).unwrap(), [v4.clone(), v6, forever.clone()]);
    assert_eq!(ledger.live_bans(at(60)).unwrap(), [forever], "a ban ends at its time");
    assert_eq!(
        ledger.history(v4.prefix).unwrap(),
        [Record {
            ban: v4,
            lifted: None,
            evidence
        }]
    );
    assert_eq!(ledger.offences_since(at(0)).unwrap(), offences);
    assert_eq!(ledger.offences_since(at(1)).unwrap(), offences[1..]);
    assert_eq!(
        ledger.offences_of("::ffff:192.0.2.1".parse().unwrap(), 9).unwrap(),
        offences[..1]
    );
    assert_eq!(ledger.positions().unwrap(), [read]);
    assert_eq!(ledger.exceptions().unwrap(), [exception]);
    ledger.check().unwrap();
}

#[test]
fn ledger_knows_a_prefix_in_every_spelling() {
    let (_folder, _, mut ledger) = fresh();
    for (name, banned, lifted) in [
        ("host bits", "192.0.2.77/24", "192.0.2.0/24"),
        ("IPv4-mapped", "::ffff:192.0.2.1/128", "192.0.2.1/32"),
        ("IPv6 host bits", "2001:DB8:0:0::1/64", "2001:db8::/64"),
    ] {
        ledger.ban(&ban(banned, 0, None), &[]).unwrap();
        assert!(ledger.unban(lifted.parse().unwrap(), at(1)).unwrap(), "{name}");
        assert!(ledger.live_bans(at(1)).unwrap().is_empty(), "{name}");
        assert!(!ledger.unban(lifted.parse().unwrap(), at(2)).unwrap(), "{name}: twice");
    }
}

#[test]
fn ledger_new_ban_takes_the_place_of_the_old() {
    let (_folder, _, mut ledger) = fresh();
    ledger.ban(&ban("192.0.2.1/32", 0, Some(100)), &[]).unwrap();
    let second = ban("192.0.2.1/32", 10, Some(50));
    ledger.ban(&second, &[]).unwrap();
    assert_eq!(ledger.live_bans(at(20)).unwrap(), [second]);
    assert!(ledger.live_bans(at(60)).unwrap().is_empty());
    let history = ledger.history("192.0.2.1/32".parse().unwrap()).unwrap();
    assert_eq!(
        history.iter().map(|record| record.ban.until).collect::<Vec<_>>(),
        [Some(at(50)), Some(at(10))]
    );
}

#[test]
fn ledger_remembers_returns_but_not_pardoned_ones() {
    let (_folder, _, mut ledger) = fresh();
    let prefix = "192.0.2.1/32".parse().unwrap();
    assert_eq!(ledger.past(prefix).unwrap(), None);
    ledger
        .ban(
            &Ban {
                returns: 3,
                ..ban("192.0.2.1/32", 0, Some(60))
            },
            &[],
        )
        .unwrap();
    let past = Some(Past {
        returns: 3,
        ended: at(60),
    });
    assert_eq!(ledger.past(prefix).unwrap(), past);
    let by_hand = Ban {
        origin: Origin::Operator,
        rule: None,
        ..ban("192.0.2.1/32", 70, Some(80))
    };
    ledger.ban(&by_hand, &[]).unwrap();
    assert_eq!(ledger.past(prefix).unwrap(), past, "an operator's ban is no return");
    ledger.ban(&ban("192.0.2.1/32", 90, Some(200)), &[]).unwrap();
    ledger.unban(prefix, at(100)).unwrap();
    assert_eq!(ledger.past(prefix).unwrap(), None, "taken back: it was a mistake");
}

#[test]
fn ledger_exceptions_are_per_gate() {
    let (_folder, _, mut ledger) = fresh();
    let all = Exception {
        prefix: "203.0.113.0/24".parse().unwrap(),
        gate: None,
        since: at(0),
        note: String::new(),
    };
    let mx = Exception {
        gate: Some("mx".into()),
        ..all.clone()
    };
    ledger.allow(&all).unwrap();
    ledger.allow(&mx).unwrap();
    ledger
        .allow(&Exception {
            note: "again".into(),
            ..mx.clone()
        })
        .unwrap();
    assert_eq!(
        ledger.exceptions().unwrap(),
        [
            all.clone(),
            Exception {
                note: "again".into(),
                ..mx
            }
        ]
    );
    assert!(ledger.disallow(all.prefix, Some("mx")).unwrap());
    assert!(!ledger.disallow(all.prefix, Some("mx")).unwrap());
    assert_eq!(ledger.exceptions().unwrap(), [all]);
}

#[test]
fn ledger_positions_are_per_file() {
    let (_folder, _, mut ledger) = fresh();
    let day = SignedDuration::from_hours(24);
    let put = |ledger: &mut Ledger, position: &Position, now| {
        ledger
            .record(&[], &[], Some(&Reached::File(position.clone())), now)
            .unwrap()
    };
    let (old, new, other) = (position("/a", 1, 10), position("/a", 2, 20), position("/b", 1, 30));
    put(&mut ledger, &old, at(0));
    put(&mut ledger, &new, at(1));
    put(&mut ledger, &other, at(2));
    let on = Position {
        offset: 15,
        ..old.clone()
    };
    put(&mut ledger, &on, at(3));
    assert_eq!(ledger.positions().unwrap(), [new.clone(), other.clone(), on]);
    put(&mut ledger, &new, at(4) + day * 31);
    assert_eq!(
        ledger.positions().unwrap(),
        [other, new],
        "a file that was rotated away a month ago is forgotten"
    );
}

#[test]
fn ledger_positions_come_in_the_order_of_their_reading() {
    let (_folder, _, mut ledger) = fresh();
    let mut read = Vec::new();
    // The inodes are in no order; the clock stands still, and is put back by an hour.
    for (inode, now) in [
        (9, at(5)),
        (2, at(5)),
        (7, at(5)),
        (1, at(5) - SignedDuration::from_hours(1)),
        (3, at(6)),
    ] {
        read.push(position("/a", inode, 10));
        let reached = Reached::File(read[read.len() - 1].clone());
        ledger.record(&[], &[], Some(&reached), now).unwrap();
        assert_eq!(ledger.positions().unwrap(), read);
    }
}

#[test]
fn ledger_cursors_are_per_journal() {
    let (_folder, _, mut ledger) = fresh();
    let mut put = |journal: &str, cursor: &str| {
        let reached = Reached::Journal(Cursor {
            journal: journal.into(),
            cursor: cursor.into(),
        });
        ledger
            .record(&[offence("192.0.2.1", 0)], &[], Some(&reached), at(0))
            .unwrap();
    };
    for (journal, cursor) in [("journal", "a"), ("journal:/j", "b"), ("journal", "c")] {
        put(journal, cursor);
    }
    assert_eq!(ledger.cursor(Path::new("journal")).unwrap().as_deref(), Some("c"));
    assert_eq!(ledger.cursor(Path::new("journal:/j")).unwrap().as_deref(), Some("b"));
    assert_eq!(ledger.cursor(Path::new("journal:/k")).unwrap(), None);
}

#[test]
fn ledger_prunes_what_is_over() {
    let (_folder, path, mut ledger) = fresh();
    let offences = [offence("192.0.2.1", 0), offence("192.0.2.1", 100)];
    let evidence = vec!["a line".to_owned()];
    let bans = [
        ban("192.0.2.1/32", 0, Some(10)),
        ban("192.0.2.2/32", 0, None),
        ban("192.0.2.3/32", 0, Some(200)),
    ];
    ledger
        .record(&offences, &bans.clone().map(|ban| (ban, evidence.clone())), None, at(0))
        .unwrap();
    assert_eq!(ledger.prune(at(50), at(50)).unwrap(), 2);
    assert_eq!(ledger.prune(at(50), at(50)).unwrap(), 0);
    assert_eq!(ledger.offences_since(at(0)).unwrap(), offences[1..]);
    assert_eq!(ledger.live_bans(at(0)).unwrap(), bans[1..]);
    drop(ledger);
    let kept: i64 = Connection::open(path)
        .unwrap()
        .query_row("SELECT count(*) FROM evidence", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept, 2, "evidence goes with its ban");
}

/// The next batch's position must not be recorded before what the one before held.
#[test]
fn ledger_what_could_not_be_recorded_goes_first_into_the_next_write() {
    let (_folder, path, mut ledger) = fresh();
    let (first, second) = (position("/a", 1, 10), position("/a", 1, 20));
    ledger
        .record(&[], &[], Some(&Reached::File(first.clone())), at(0))
        .unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    ledger.db.busy_timeout(Duration::from_millis(10)).unwrap();
    let (offences, bans) = (
        vec![offence("192.0.2.1", 1)],
        vec![(ban("192.0.2.1/32", 1, None), vec!["line".into()])],
    );
    let reached = Reached::File(second.clone());
    ledger.record(&offences, &bans, Some(&reached), at(1)).unwrap_err();
    assert_eq!(ledger.waiting(), None, "the caller says whether it is to be kept");
    ledger.keep(offences, bans, Some(reached), at(1));
    assert_eq!(ledger.waiting(), Some((1, 1)));
    // Fails as well, and loses nothing.
    ledger.retry().unwrap_err();
    assert_eq!(ledger.positions().unwrap(), [first]);
    other.execute_batch("ROLLBACK").unwrap();

    // An operator lifts the ban before anything else is written: it stays lifted.
    assert!(ledger.unban("192.0.2.1/32".parse().unwrap(), at(2)).unwrap());
    assert_eq!(ledger.waiting(), None);
    assert_eq!(ledger.positions().unwrap(), [second]);
    assert_eq!(ledger.offences_since(at(0)).unwrap(), [offence("192.0.2.1", 1)]);
    assert_eq!(ledger.live_bans(at(3)).unwrap(), []);
    ledger.retry().unwrap();
    assert_eq!(ledger.offences_since(at(0)).unwrap().len(), 1);
}

#[test]
fn ledger_what_waits_is_bounded() {
    let (_folder, _, mut ledger) = fresh();
    for second in 0..60_000_u32 {
        let reached = Reached::File(position("/a", 1, second.into()));
        ledger.keep(vec![offence("192.0.2.1", second.into())], vec![], Some(reached), at(1));
    }
    let (waiting, _) = ledger.waiting().unwrap();
    assert!((37_500..=50_000).contains(&waiting), "{waiting}");
    ledger.retry().unwrap();
    let kept = ledger.offences_since(at(0)).unwrap();
    assert_eq!(kept.len(), waiting);
    assert_eq!(kept.last(), Some(&offence("192.0.2.1", 59_999)), "the newest");
    assert_eq!(ledger.positions().unwrap(), [position("/a", 1, 59_999)]);
}

#[test]
fn ledger_full_disk_changes_nothing() {
    let (_folder, path, mut ledger) = fresh();
    let read = position("/var/log/mail.log", 7, 100);
    ledger
        .record(
            &[offence("192.0.2.1", 0)],
            &[],
            Some(&Reached::File(read.clone())),
            at(0),
        )
        .unwrap();
    let pages: i64 = ledger.db.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    ledger.db.pragma_update(None, "max_page_count", pages).unwrap();
    let many: Vec<_> = (0..1000).map(|second| offence("192.0.2.2", second)).collect();
    let further = Position {
        offset: 200,
        ..read.clone()
    };
    let error = ledger
        .record(
            &many,
            &[(ban("192.0.2.2/32", 0, None), vec![])],
            Some(&Reached::File(further.clone())),
            at(1),
        )
        .unwrap_err();
    assert!(matches!(error, LedgerError::Full { .. }), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert_eq!(ledger.positions().unwrap(), [read]);
    assert!(ledger.live_bans(at(1)).unwrap().is_empty());
    assert_eq!(ledger.offences_since(at(0)).unwrap().len(), 1);
    ledger
        .db
        .pragma_update(None, "max_page_count", i64::from(u32::MAX - 1))
        .unwrap();
    ledger
        .record(&many, &[], Some(&Reached::File(further.clone())), at(1))
        .unwrap();
    assert_eq!(
        ledger.positions().unwrap(),
        [further],
        "and goes on when there is space again"
    );
}

#[test]
fn ledger_locked_by_another_process_says_so() {
    let (_folder, path, mut ledger) = fresh();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    ledger.db.busy_timeout(Duration::from_millis(10)).unwrap();
    let error = ledger.ban(&ban("192.0.2.1/32", 0, None), &[]).unwrap_err();
    assert!(matches!(error, LedgerError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    other.execute_batch("COMMIT").unwrap();
    ledger.ban(&ban("192.0.2.1/32", 0, None), &[]).unwrap();
}

/// What `open`, or the first reading, says of a file, which must be left as it was.
fn refused(path: &Path) -> LedgerError {
    let before = fs::read(path).unwrap();
    let error = Ledger::open(path).and_then(|ledger| ledger.check()).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert_eq!(fs::read(path).unwrap(), before, "{error}: the file was touched");
    error
}

#[test]
fn ledger_damaged_file_is_named_and_kept() {
    type Damage = fn(&mut fs::File);
    let damages: [(&str, Damage); 4] = [
        ("text", |file| {
            file.set_len(0).unwrap();
            file.write_all(&b"this is no database\n".repeat(100)).unwrap();
        }),
        ("header overwritten", |file| file.write_all(&[0xaa; 100]).unwrap()),
        ("cut in the middle", |file| {
            file.set_len(file.metadata().unwrap().len() / 2).unwrap()
        }),
        ("pages overwritten", |file| {
            file.seek(SeekFrom::Start(4096)).unwrap();
            file.write_all(&[0xaa; 8192]).unwrap();
        }),
    ];
    for (name, damage) in damages {
        let (_folder, path, mut ledger) = fresh();
        for second in 0..500 {
            ledger
                .ban(&ban("192.0.2.1/32", second, None), &["evidence".to_owned()])
                .unwrap();
        }
        drop(ledger);
        damage(&mut fs::OpenOptions::new().write(true).open(&path).unwrap());
        let error = refused(&path);
        assert!(matches!(error, LedgerError::Damaged { .. }), "{name}: {error}");
        assert!(error.to_string().contains("move it away"), "{name}: {error}");
    }
}

#[test]
fn ledger_senseless_row_is_damage() {
    let (_folder, path, mut ledger) = fresh();
    ledger.ban(&ban("192.0.2.1/32", 0, None), &[]).unwrap();
    Connection::open(&path)
        .unwrap()
        .execute("UPDATE bans SET prefix = '192.0.2.1/99'", [])
        .unwrap();
    let error = ledger.live_bans(at(1)).unwrap_err();
    assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("192.0.2.1/99"), "{error}");
}

#[test]
fn ledger_of_the_first_version_is_brought_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let first = Connection::open(&path).unwrap();
    first.execute_batch(schema::MIGRATIONS[0]).unwrap();
    first
        .pragma_update(None, "application_id", schema::APPLICATION)
        .unwrap();
    first.pragma_update(None, "user_version", 1).unwrap();
    first
        .execute("INSERT INTO positions VALUES (CAST('/a' AS BLOB), 1, 2, 3, 4, 5)", [])
        .unwrap();
    drop(first);
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.positions().unwrap().len(), 1, "what it held is kept");
    assert_eq!(ledger.cursor(Path::new("journal")).unwrap(), None);
}

#[test]
fn ledger_of_others_and_of_the_future_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = folder.path().join("foreign.sqlite");
    Connection::open(&foreign)
        .unwrap()
        .execute_batch("CREATE TABLE cookies (name)")
        .unwrap();
    assert!(matches!(refused(&foreign), LedgerError::Foreign { .. }));

    let (_folder, path, ledger) = fresh();
    drop(ledger);
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = refused(&path);
    assert!(matches!(error, LedgerError::Newer { found: 99, .. }), "{error}");
}

#[test]
fn ledger_cannot_be_opened_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("missing/ledger.sqlite");
    let error = Ledger::open(&nowhere).unwrap_err().to_string();
    assert!(
        error.contains(nowhere.to_str().unwrap()) && error.contains("folder does not exist"),
        "{error}"
    );
    let error = Ledger::open(folder.path()).unwrap_err();
    assert!(matches!(error, LedgerError::Open { .. }), "{error}");
}

#[test]
fn ledger_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path, mut ledger) = fresh();
    ledger.ban(&ban("192.0.2.1/32", 0, None), &[]).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", path.display());
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600,
            "{file}"
        );
    }
}

#[test]
fn ledger_keeps_good_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&folder.path().join("ledger.db")).unwrap();
    let at = |second| Some(Timestamp::from_second(second).unwrap());
    let good = |address: &str, login, seen| Good {
        address: address.parse().unwrap(),
        login,
        seen,
    };
    let known = [
        good("192.0.2.1", at(5), at(10)),
        good("2001:db8::1", None, at(20)),
        good("192.0.2.2", None, at(1)),
    ];
    ledger.keep_good(&known).unwrap();
    assert_eq!(ledger.good_since(at(2).unwrap()).unwrap(), known[..2]);
    ledger
        .keep_good(&[good("192.0.2.1", None, None), good("2001:db8::1", at(30), at(30))])
        .unwrap();
    assert_eq!(
        ledger.good_since(at(2).unwrap()).unwrap(),
        [good("2001:db8::1", at(30), at(30))]
    );
}

fn stretch(since: i64, until: i64, packets: &[(&str, u64)]) -> Stretch {
    let fate = |reason: &str| Fate {
        gate: (reason != "fragment").then(|| "mx".to_owned()),
        verdict: "drop".to_owned(),
        reason: reason.to_owned(),
        family: "ipv4".to_owned(),
    };
    Stretch {
        since: at(since),
        until: at(until),
        packets: packets
            .iter()
            .map(|(reason, packets)| (fate(reason), *packets))
            .collect(),
    }
}

fn mark(seconds: i64) -> Mark {
    Mark {
        counters: "boot/7".to_owned(),
        at: at(seconds),
        totals: [(3, u64::MAX)].into(),
    }
}

#[test]
fn ledger_traffic_is_kept_with_where_the_counters_stood() {
    let (_folder, path, mut ledger) = fresh();
    assert_eq!(ledger.mark().unwrap(), None);
    let first = stretch(0, 60, &[("outside", 5), ("fragment", 1)]);
    let second = stretch(60, 120, &[("outside", 7)]);
    ledger.count(&first, &mark(60)).unwrap();
    ledger.count(&second, &mark(120)).unwrap();
    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.mark().unwrap(), Some(mark(120)));
    assert_eq!(ledger.traffic(at(0), at(120)).unwrap(), [first.clone(), second.clone()]);
    assert_eq!(ledger.traffic(at(59), at(60)).unwrap(), [first]);
    assert_eq!(ledger.traffic(at(60), at(999)).unwrap(), [second]);
}

#[test]
fn ledger_old_traffic_is_joined_to_hours_and_then_forgotten() {
    let (_folder, _path, mut ledger) = fresh();
    let (hour, day) = (3600, 86_400);
    // at(0) is a whole hour.
    for minute in 0..120 {
        let counted = stretch(minute * 60, (minute + 1) * 60, &[("outside", 1), ("banned", 2)]);
        ledger.count(&counted, &mark(minute)).unwrap();
    }
    let absence = stretch(2 * hour, 9 * hour, &[("outside", 700)]);
    ledger.count(&absence, &mark(0)).unwrap();
    let seen = |ledger: &Ledger| ledger.traffic(at(0), at(100 * day)).unwrap();
    let sum = |stretches: &[Stretch]| stretches.iter().flat_map(|part| part.packets.values()).sum::<u64>();

    assert_eq!(ledger.prune_traffic(at(day)).unwrap(), 0, "a day is told by the minute");
    assert_eq!(seen(&ledger).len(), 121);
    for _ in 0..2 {
        ledger.prune_traffic(at(2 * day)).unwrap();
        let hours = [0, hour].map(|since| stretch(since, since + hour, &[("outside", 60), ("banned", 120)]));
        assert_eq!(
            seen(&ledger),
            [hours.as_slice(), std::slice::from_ref(&absence)].concat()
        );
        assert_eq!(sum(&seen(&ledger)), 2 * 180 + 700);
    }
    ledger.prune_traffic(at(2 * day) + KEPT).unwrap();
    assert_eq!(seen(&ledger), []);
}

#[test]
fn ledger_sampled_networks_are_summed_and_the_small_ones_of_an_hour_joined() {
    let (_folder, _path, mut ledger) = fresh();
    let sampled = |country: Option<&str>, network: Option<&str>, packets| Sampled {
        country: country.map(str::to_owned),
        network: network.map(|network| network.parse().unwrap()),
        packets,
    };
    let big = sampled(Some("RU"), Some("192.0.2.0/24"), 1000);
    ledger.sample(std::slice::from_ref(&big), at(0)).unwrap();
    ledger.sample(std::slice::from_ref(&big), at(10)).unwrap();
    let small: Vec<Sampled> = (0..150)
        .map(|n| sampled(Some("US"), Some(&format!("10.0.{n}.0/24")), 1))
        .chain([sampled(None, None, 5)])
        .collect();
    ledger.sample(&small, at(20)).unwrap();
    let before = ledger.sampled(at(0)).unwrap();
    assert_eq!(before[0], Sampled { packets: 2000, ..big });
    assert_eq!(before.len(), 152);

    ledger.prune_traffic(at(30)).unwrap();
    assert_eq!(ledger.sampled(at(0)).unwrap(), before, "the hour is not over");
    ledger.prune_traffic(at(3600)).unwrap();
    let after = ledger.sampled(at(0)).unwrap();
    assert_eq!(after.len(), 100 + 2, "the largest, and a sum a country");
    assert!(after.contains(&sampled(Some("US"), None, 51)), "{after:?}");
    assert_eq!(after.iter().map(|part| part.packets).sum::<u64>(), 2000 + 150 + 5);
    assert_eq!(ledger.sampled(at(3600)).unwrap(), []);
}
