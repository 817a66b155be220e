//! fail2ban's database: the table `bans`, of fail2ban 0.11 and later.

use std::{net::IpAddr, path::Path};

use ipnet::IpNet;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

use super::{
    Left, Place,
    ports::Ports,
    rules::{Action, Net, Rule, Who},
};

/// What a jail's name begins with when it guards mail. fail2ban keeps no ports.
const MAIL: [&str; 16] = [
    "postfix",
    "dovecot",
    "exim",
    "sendmail",
    "courier",
    "cyrus",
    "smtp",
    "submission",
    "sasl",
    "opensmtpd",
    "qmail",
    "haraka",
    "sieve",
    "imap",
    "mail",
    "recidive",
];

/// The bans, one a rule; the line is the row's number. `jails`: only these, whatever they are called.
///
/// # Errors
/// A file that is no such database.
pub(super) fn read(file: usize, path: &Path, jails: &[String], left: &mut Vec<Left>) -> Result<Vec<Rule>, String> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| error.to_string())?;
    // The newest of an address and jail counts.
    let mut query = db
        .prepare(
            "SELECT max(rowid), jail, ip, timeofban, bantime FROM bans AS ban
              WHERE timeofban = (SELECT max(timeofban) FROM bans WHERE jail = ban.jail AND ip = ban.ip)
              GROUP BY jail, ip ORDER BY 1",
        )
        .map_err(|error| format!("{error}: no database of fail2ban 0.11 or later"))?;
    let mut rows = query.query([]).map_err(|error| error.to_string())?;
    let mut rules = Vec::new();
    while let Some(row) = rows.next().map_err(|error| error.to_string())? {
        let line: i64 = row.get(0).map_err(|error| error.to_string())?;
        let place = Place {
            file,
            line: usize::try_from(line).unwrap_or_default(),
        };
        let read = || -> rusqlite::Result<(String, String, i64, i64)> {
            Ok((row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        };
        let (jail, ip, since, length) = match read() {
            Ok(read) => read,
            Err(error) => {
                left.push(Left::new(place, "", error.to_string()));
                continue;
            }
        };
        let text = format!("{ip} of jail {jail}");
        let mut leave = |why: String| left.push(Left::new(place, &text, why));
        let wanted = if jails.is_empty() {
            MAIL.iter().any(|mail| jail.starts_with(mail))
        } else {
            jails.contains(&jail)
        };
        if !wanted {
            leave(if jails.is_empty() {
                format!("the jail {jail} guards no mail, by its name: `--jail {jail}` takes it")
            } else {
                format!("it is of the jail {jail}")
            });
            continue;
        }
        let Some(net) = address(&ip) else {
            leave("it is no address or network".to_owned());
            continue;
        };
        // Below zero, it stays until somebody takes it back.
        let until = if length < 0 {
            None
        } else {
            match Timestamp::from_second(since.saturating_add(length)) {
                Ok(until) => Some(until),
                Err(error) => {
                    leave(format!("its end is no time: {error}"));
                    continue;
                }
            }
        };
        rules.push(Rule {
            place,
            text: text.clone(),
            who: Who::Nets(vec![Net { net, until, place }]),
            except: Vec::new(),
            ports: Ports::all(),
            action: Action::Refuse,
            doubt: None,
        });
    }
    Ok(rules)
}

fn address(text: &str) -> Option<IpNet> {
    let address: Option<IpAddr> = text.parse().ok();
    match address {
        Some(address) => Some(address.to_canonical().into()),
        None => super::masked(text).map(|net| net.trunc()),
    }
}
