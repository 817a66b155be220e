//! Addresses of good logins and good mail, so that a restart forgets nobody who is to be treated with care.

use jiff::Timestamp;
use rusqlite::params;

use super::values::{maybe_time, parsed, time};
use super::{Ledger, Result};
use crate::detect::Good;

impl Ledger {
    /// Keeps what is known now of these addresses.
    pub fn keep_good(&mut self, known: &[Good]) -> Result<()> {
        self.write("record good addresses in", |tx| {
            let mut keep =
                tx.prepare_cached("INSERT OR REPLACE INTO good (address, login, seen) VALUES (?1, ?2, ?3)")?;
            let mut forget = tx.prepare_cached("DELETE FROM good WHERE address = ?1")?;
            for good in known {
                let address = good.address.to_string();
                match good.seen {
                    Some(seen) => keep.execute(params![
                        address,
                        good.login.map(Timestamp::as_millisecond),
                        seen.as_millisecond()
                    ])?,
                    None => forget.execute([address])?,
                };
            }
            Ok(())
        })
    }

    /// Those that were good since `from`; older ones are forgotten.
    pub fn good_since(&mut self, from: Timestamp) -> Result<Vec<Good>> {
        self.write("read the good addresses of", |tx| {
            tx.execute("DELETE FROM good WHERE seen < ?1", [from.as_millisecond()])?;
            let mut query = tx.prepare_cached("SELECT address, login, seen FROM good ORDER BY seen")?;
            let rows = query.query_map([], |row| {
                Ok(Good {
                    address: parsed(row, 0, |text| text.parse().ok())?,
                    login: maybe_time(row, 1)?,
                    seen: Some(time(row, 2)?),
                })
            })?;
            rows.collect()
        })
    }
}
