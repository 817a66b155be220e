//! The ledger under kill -9: what was committed is there, whole, and nothing twice.
#![allow(
    clippy::unwrap_used,
    reason = "a test; clippy sees only its #[test] functions as such"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::Timestamp;
use smtpgate::detect::{Offence, Rule};
use smtpgate::ledger::{Ban, Ledger, Origin};
use smtpgate::maillog::{Kind, Position, Reached};

const FILE: &str = "LEDGER_KILL_FILE";

/// One stretch of log, as the engine commits it: two offences, the ban they led to, and the position behind them.
fn commit(ledger: &mut Ledger, number: u32) {
    let address = std::net::Ipv4Addr::from_bits(0xc633_6400 | number);
    let at = Timestamp::from_second(1_800_000_000 + i64::from(number)).unwrap();
    let offence = Offence {
        at,
        address: address.into(),
        user: None,
        kind: Kind::SaslAuthFailed,
        weight: 1,
        line: "a line of evidence ".repeat(10),
    };
    let ban = Ban {
        prefix: ipnet::IpNet::from(std::net::IpAddr::from(address)),
        since: at,
        until: None,
        returns: 0,
        reason: "2 offences".into(),
        rule: Some(Rule::Maxretry),
        origin: Origin::Detect,
    };
    let evidence = vec![offence.line.clone(); 2];
    let position = Position {
        path: PathBuf::from("/var/log/mail.log"),
        device: 1,
        inode: 2,
        offset: u64::from(number),
        mark: 0,
    };
    ledger
        .record(
            &[offence.clone(), offence],
            &[(ban, evidence)],
            Some(&Reached::File(position)),
            at,
        )
        .unwrap();
}

fn committed(path: &Path) -> u32 {
    let ledger = Ledger::open(path).unwrap();
    ledger.check().unwrap();
    let positions = ledger.positions().unwrap();
    let number = positions
        .first()
        .map_or(0, |position| u32::try_from(position.offset).unwrap());
    let bans = ledger.live_bans(Timestamp::MAX).unwrap();
    let offences = ledger.offences_since(Timestamp::MIN).unwrap();
    assert_eq!(
        bans.len(),
        usize::try_from(number).unwrap(),
        "bans go with the position"
    );
    assert_eq!(offences.len(), 2 * bans.len(), "offences go with the position");
    number
}

#[test]
#[ignore = "the process that ledger_survives_kill_9 starts and kills"]
fn ledger_writer() {
    let path = std::env::var_os(FILE).expect("the ledger's path in LEDGER_KILL_FILE");
    let mut ledger = Ledger::open(Path::new(&path)).unwrap();
    let from = ledger
        .positions()
        .unwrap()
        .first()
        .map_or(0, |position| u32::try_from(position.offset).unwrap());
    for number in from + 1.. {
        commit(&mut ledger, number);
        println!("committed {number}");
    }
}

#[test]
fn ledger_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let mut before = 0;
    for round in 1..=5 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "ledger_writer", "--nocapture"])
            .env(FILE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let numbers = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("committed ")?.parse::<u32>().ok());
        let told = numbers.take(50 * round).last().expect("the writer commits");
        // std sends SIGKILL.
        writer.kill().unwrap();
        writer.wait().unwrap();
        let number = committed(&path);
        assert!(
            number >= told && number > before,
            "told {told}, found {number}, before {before}"
        );
        before = number;
    }
}
