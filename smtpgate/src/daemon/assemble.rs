//! From configuration, sources, exceptions and bans to a policy's intent, with where each prefix came from.

use std::net::IpAddr;

use ipnet::IpNet;

use super::failure::Failure;
use crate::{
    config::{Config, Mode},
    ledger::Exception,
    policy::intent::{Ban, Gate, Intent},
    sources::{Resolved, SourceError, Sources, Spec, host::Host},
};

/// What is to happen when a source fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strictness {
    /// An admin is there: refuse the whole.
    Refuse,
    /// Nobody is there: its last good copy serves.
    LastGood,
}

/// A source in its place.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) list: List,
    pub(super) resolved: Resolved,
}

/// Which list a source stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum List {
    Trust,
    Block,
    /// By the gate's number.
    Gate(usize),
}

impl List {
    pub(super) fn name<'a>(&self, config: &'a Config) -> &'a str {
        match self {
            Self::Trust => "trust",
            Self::Block => "block",
            Self::Gate(number) => config.gates.get(*number).map_or("?", |gate| gate.name.as_str()),
        }
    }
}

/// Everything that is in force, but for the bans.
#[derive(Clone, Debug, Default)]
pub(super) struct Assembled {
    pub(super) listed: Vec<Listed>,
    pub(super) host: Host,
    pub(super) exceptions: Vec<Exception>,
}

impl Assembled {
    /// Asks every source. All that fail are named together.
    pub(super) fn of(
        config: &Config,
        sources: &Sources,
        strictness: Strictness,
        host: Host,
        exceptions: Vec<Exception>,
    ) -> Result<Self, Failure> {
        let mut listed = Vec::new();
        let mut failed: Vec<SourceError> = Vec::new();
        let mut take = |list: List, spec: &Spec| {
            let resolved = match strictness {
                Strictness::Refuse => sources.resolve(spec),
                Strictness::LastGood => sources.resolve_or_last_good(spec),
            };
            match resolved {
                Ok(resolved) => listed.push(Listed { list, resolved }),
                // The same source in two lists is one mistake.
                Err(error) if failed.contains(&error) => {}
                Err(error) => failed.push(error),
            }
        };
        config.trust.iter().for_each(|spec| take(List::Trust, spec));
        config.block.iter().for_each(|spec| take(List::Block, spec));
        for (number, gate) in config.gates.iter().enumerate() {
            gate.allow.iter().for_each(|spec| take(List::Gate(number), spec));
        }
        if failed.is_empty() {
            return Ok(Self {
                listed,
                host,
                exceptions,
            });
        }
        let messages: Vec<String> = failed.iter().map(ToString::to_string).collect();
        Err(Failure::Usage(messages.join("\n")))
    }

    /// The intent, with bans given as prefix and end in ticks.
    pub(super) fn intent(&self, config: &Config, bans: Vec<Ban>) -> Intent {
        let mut gates: Vec<Gate> = config
            .gates
            .iter()
            .map(|gate| Gate {
                name: gate.name.clone(),
                ports: gate.ports.clone(),
                allow: Vec::new(),
                observe: gate.mode == Mode::Observe,
            })
            .collect();
        for exception in &self.exceptions {
            for gate in &mut gates {
                if exception.gate.as_ref().is_none_or(|only| *only == gate.name) {
                    gate.allow.push(exception.prefix);
                }
            }
        }
        let mut intent = Intent {
            gates,
            trust: self.host.nets(),
            block: Vec::new(),
            bans,
        };
        for Listed { list, resolved } in &self.listed {
            let prefixes = match list {
                List::Trust => &mut intent.trust,
                List::Block => &mut intent.block,
                List::Gate(number) => match intent.gates.get_mut(*number) {
                    Some(gate) => &mut gate.allow,
                    None => continue,
                },
            };
            prefixes.extend_from_slice(&resolved.prefixes);
        }
        intent
    }

    /// Who trusts the whole of `prefix`, in words.
    pub(super) fn trusted_by(&self, prefix: IpNet) -> Option<String> {
        if let Some(net) = self.host.nets().iter().find(|net| net.contains(&prefix)) {
            return Some(format!("{net} is this host's own, or its gateway's"));
        }
        let (listed, net) = self.trust().find(|(_, net)| net.contains(&prefix))?;
        Some(format!("{net} stands in trust by {}", listed.resolved.spec))
    }

    /// How many trusted prefixes are inside `prefix`.
    pub(super) fn trusted_within(&self, prefix: IpNet) -> usize {
        self.trust_within(prefix).count()
    }

    /// Trusted prefixes inside `prefix`.
    pub(super) fn trust_within(&self, prefix: IpNet) -> impl Iterator<Item = IpNet> {
        let listed = self.trust().map(|(_, net)| *net);
        listed.chain(self.host.nets()).filter(move |net| prefix.contains(net))
    }

    fn trust(&self) -> impl Iterator<Item = (&Listed, &IpNet)> {
        self.listed
            .iter()
            .filter(|listed| listed.list == List::Trust)
            .flat_map(|listed| listed.resolved.prefixes.iter().map(move |net| (listed, net)))
    }

    /// What the admin should know of the sources.
    pub(super) fn warnings(&self, config: &Config) -> Vec<String> {
        let mut warnings: Vec<String> = self
            .listed
            .iter()
            .filter_map(|listed| listed.resolved.warning.clone())
            .collect();
        for exception in &self.exceptions {
            if let Some(gate) = &exception.gate
                && config.gates.iter().all(|known| known.name != *gate)
            {
                warnings.push(format!(
                    "the exception for {} is for gate {gate}, which is no longer in the configuration; \
                     `smtpgate disallow {} --gate {gate}` removes it",
                    exception.prefix, exception.prefix
                ));
            }
        }
        warnings.sort();
        warnings.dedup();
        warnings
    }

    /// The narrowest prefix of a source that holds `address`.
    pub(super) fn narrowest(resolved: &Resolved, address: IpAddr) -> Option<IpNet> {
        resolved
            .prefixes
            .iter()
            .filter(|net| net.contains(&address))
            .max_by_key(|net| net.prefix_len())
            .copied()
    }
}
