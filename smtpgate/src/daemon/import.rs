//! What `import` brings and `import --undo` takes away: many bans and exceptions at once, in one change of the kernel and
//! one of the ledger. And what `export` takes along.

use std::{collections::BTreeSet, time::Duration};

use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    assemble::List,
    bans::{Evidenced, is, too_wide},
    confirm::Former,
    engine::Engine,
    failure::Failure,
    protocol::Part,
    report::{Imported, NotTaken, Withdrawn},
};
use crate::{
    ledger::{Ban, Exception, Exchange, Origin},
    moving::Leaving,
};

/// What `list` shows of an import.
fn words(from: &str) -> String {
    format!("imported from {from}")
}

impl Engine {
    /// Bans and allows what can be; says what cannot. Nothing that is in force already gets less.
    pub(super) fn import(
        &mut self,
        parts: &[Part],
        dry_run: bool,
        within: Option<Duration>,
    ) -> Result<Imported, Failure> {
        self.nothing_waits()?;
        for admission in parts.iter().flat_map(|part| &part.allow) {
            self.known_gate(admission.gate.as_deref())?;
        }
        let mut imported = Imported {
            left: Vec::new(),
            in_kernel: self.plane.is_some(),
            cut: 0,
            notes: Vec::new(),
        };
        let mut come = self.what_comes(parts, &mut imported);
        if dry_run || come == Exchange::default() {
            return Ok(imported);
        }
        let former = Former::Import {
            bans: come
                .bans
                .iter()
                .map(|ban| (ban.prefix, self.bans.get(&ban.prefix).cloned()))
                .collect(),
            // Those that are there are left as they are.
            exceptions: come
                .exceptions
                .iter()
                .map(|exception| (exception.prefix, exception.gate.clone(), None))
                .collect(),
        };
        let what = format!("import of {} prefixes", come.bans.len() + come.exceptions.len());
        self.until_confirmed(
            &what,
            within,
            |_| former,
            |engine| {
                // Not before the change that waits: that is how the undo knows them.
                let now = Timestamp::now();
                come.bans.iter_mut().for_each(|ban| ban.since = now);
                engine.exchange(&come, &Exchange::default())?;
                let bans: Vec<Evidenced> = come.bans.iter().map(|ban| (ban.clone(), Vec::new())).collect();
                if !bans.is_empty() {
                    imported.cut = engine.cut(&bans);
                }
                Ok(imported)
            },
        )
    }

    fn what_comes(&self, parts: &[Part], imported: &mut Imported) -> Exchange {
        let now = Timestamp::now();
        let mut come = Exchange::default();
        let known: BTreeSet<(IpNet, Option<&str>)> = self
            .assembled
            .exceptions
            .iter()
            .map(|exception| (exception.prefix, exception.gate.as_deref()))
            .collect();
        let mut partly = 0;
        for (number, part) in parts.iter().enumerate() {
            let mut leave = |ban: bool, prefix: IpNet, gate: Option<&str>, why: String| {
                imported.left.push(NotTaken {
                    part: number,
                    ban,
                    prefix,
                    gate: gate.map(str::to_owned),
                    why,
                });
            };
            for admission in &part.allow {
                let (prefix, gate) = (admission.prefix.trunc(), admission.gate.as_deref());
                if known.contains(&(prefix, None)) || known.contains(&(prefix, gate)) {
                    leave(false, prefix, gate, "it is allowed already".to_owned());
                    continue;
                }
                come.exceptions.push(Exception {
                    prefix,
                    gate: admission.gate.clone(),
                    since: now,
                    note: words(&part.from),
                });
            }
            for refused in &part.ban {
                let prefix = refused.prefix.trunc();
                let longer = |known: &&Ban| match (known.until, refused.until) {
                    (None, _) => true,
                    (Some(known), Some(wanted)) => known >= wanted,
                    (Some(_), None) => false,
                };
                if refused.until.is_some_and(|until| until <= now) {
                    leave(true, prefix, None, "it is over".to_owned());
                } else if let Some(why) = too_wide(prefix).or_else(|| self.trusted(prefix)) {
                    leave(true, prefix, None, why);
                } else if self.bans.get(&prefix).filter(longer).is_some() {
                    leave(
                        true,
                        prefix,
                        None,
                        "it is banned already, and not for less time".to_owned(),
                    );
                } else {
                    partly += usize::from(self.assembled.trusted_within(prefix) > 0);
                    come.bans.push(Ban {
                        prefix,
                        since: now,
                        until: refused.until,
                        returns: self.bans.get(&prefix).map_or(0, |known| known.returns),
                        reason: words(&part.from),
                        rule: None,
                        origin: Origin::Operator,
                    });
                }
            }
        }
        if partly > 0 {
            imported
                .notes
                .push(format!("trusted prefixes inside of {partly} of the bans still pass"));
        }
        come
    }

    /// Has both in force and on record; what goes is taken by prefix, and by prefix and gate.
    fn exchange(&mut self, come: &Exchange, go: &Exchange) -> Result<(), Failure> {
        let before = self.bans.clone();
        for ban in &go.bans {
            self.bans.remove(&ban.prefix);
        }
        self.bans.extend(come.bans.iter().map(|ban| (ban.prefix, ban.clone())));
        let mut assembled = self.assembled.clone();
        let gone: BTreeSet<(IpNet, Option<&str>)> = go
            .exceptions
            .iter()
            .chain(&come.exceptions)
            .map(|exception| (exception.prefix, exception.gate.as_deref()))
            .collect();
        assembled
            .exceptions
            .retain(|known| !gone.contains(&(known.prefix, known.gate.as_deref())));
        assembled.exceptions.extend_from_slice(&come.exceptions);
        if let Err(failure) = self.put_in_force(self.config.clone(), assembled) {
            self.bans = before;
            return Err(failure);
        }
        self.ledger.exchange(come, go, Timestamp::now()).map_err(|error| {
            Failure::Failed(format!(
                "in force in the kernel now, but not recorded, so gone with the next load: {error}"
            ))
        })
    }

    /// Takes back what was imported from these places, and has not been replaced since.
    pub(super) fn withdraw(&mut self, from: &[String]) -> Result<Withdrawn, Failure> {
        self.nothing_waits()?;
        let words: BTreeSet<String> = from.iter().map(|from| words(from)).collect();
        let go = Exchange {
            bans: self
                .bans
                .values()
                .filter(|ban| ban.origin == Origin::Operator && words.contains(&ban.reason))
                .cloned()
                .collect(),
            exceptions: self
                .assembled
                .exceptions
                .iter()
                .filter(|exception| words.contains(&exception.note))
                .cloned()
                .collect(),
        };
        if go == Exchange::default() {
            return Err(Failure::Failed(format!(
                "nothing in force was imported from {} (`smtpgate list` shows what was); nothing was changed",
                from.join(", ")
            )));
        }
        self.exchange(&Exchange::default(), &go)?;
        Ok(Withdrawn {
            disallowed: go.exceptions.len() as u64,
            unbanned: go.bans.len() as u64,
        })
    }

    /// For the undo of an import: each ban of it that still stands gives way to what was before.
    pub(super) fn restore_import(
        &mut self,
        since: Timestamp,
        bans: &[(IpNet, Option<Ban>)],
        exceptions: &[(IpNet, Option<String>, Option<Exception>)],
    ) -> Result<Vec<String>, Failure> {
        let now = Timestamp::now();
        let (mut come, mut go) = (Exchange::default(), Exchange::default());
        (come.bans, go.bans) = self.made_since(since, bans, now);
        for (prefix, gate, former) in exceptions {
            let mut known = self.assembled.exceptions.iter();
            match former {
                Some(former) => come.exceptions.push(former.clone()),
                None => go
                    .exceptions
                    .extend(known.find(|known| is(known, *prefix, gate.as_deref())).cloned()),
            }
        }
        self.exchange(&come, &go)?;
        Ok(Vec::new())
    }

    /// What is in force, for other tools. This host's own addresses are not among it.
    pub(super) fn leaving(&self) -> Leaving {
        let of = |wanted: List| -> Vec<IpNet> {
            let listed = self.assembled.listed.iter().filter(|listed| listed.list == wanted);
            listed
                .flat_map(|listed| listed.resolved.prefixes.iter().copied())
                .collect()
        };
        let gates = self.config.gates.iter().enumerate().map(|(number, gate)| {
            let mut allow = of(List::Gate(number));
            let exceptions = self.assembled.exceptions.iter();
            allow.extend(
                exceptions
                    .filter(|exception| exception.gate.as_ref().is_none_or(|only| *only == gate.name))
                    .map(|exception| exception.prefix),
            );
            (gate.name.clone(), gate.ports.clone(), once(allow))
        });
        let now = Timestamp::now();
        Leaving {
            trust: once(of(List::Trust)),
            block: once(of(List::Block)),
            bans: self
                .bans
                .values()
                .filter(|ban| ban.in_force(now))
                .map(|ban| (ban.prefix, ban.until))
                .collect(),
            gates: gates.collect(),
        }
    }
}

fn once(nets: Vec<IpNet>) -> Vec<IpNet> {
    nets.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}
