//! The one shape that every format is read into: rules in chains, which are tried in order, and named sets of sources.
//! And the way from chains that lead to others to one flat list. Pure.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use jiff::Timestamp;

use super::{Left, Place, ports::Ports};
use crate::sources::ranges::Ranges;

/// A source, until when it counts, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Net {
    pub(super) net: IpNet,
    pub(super) until: Option<Timestamp>,
    pub(super) place: Place,
}

/// Whom a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Everyone,
    Nets(Vec<Net>),
    /// Those of a set.
    Set(String),
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Accept,
    Refuse,
    /// Back to the chain that led here.
    Return,
    /// Through another chain, and on here.
    Jump(String),
    /// Through another chain, and back to the chain that led here.
    Goto(String),
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) place: Place,
    /// As it stands in the file, for people.
    pub(super) text: String,
    pub(super) who: Who,
    /// Not these.
    pub(super) except: Vec<IpNet>,
    pub(super) ports: Ports,
    pub(super) action: Action,
    /// A condition that cannot be carried over.
    pub(super) doubt: Option<String>,
}

/// Chains of one kind of traffic.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    pub(super) chains: BTreeMap<String, Vec<Rule>>,
    /// Where a connection to this host comes in.
    pub(super) roots: Vec<String>,
}

/// What a set is for, where its name or heading says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ban,
    Allow(Ports),
    Trust,
}

#[derive(Clone, Debug)]
pub(super) struct Set {
    pub(super) place: Place,
    pub(super) kind: Option<Kind>,
    pub(super) nets: Vec<Net>,
    /// Not these.
    pub(super) except: Vec<IpNet>,
}

impl Set {
    pub(super) fn new(place: Place, kind: Option<Kind>) -> Self {
        Self {
            place,
            kind,
            nets: Vec::new(),
            except: Vec::new(),
        }
    }
}

/// What a file was read as.
#[derive(Clone, Debug, Default)]
pub(super) struct Parsed {
    pub(super) lists: Vec<List>,
    /// By name; that of an nft set has its table's before it.
    pub(super) sets: BTreeMap<String, Set>,
    pub(super) left: Vec<Left>,
}

/// A rule by itself: no chain, no set.
#[derive(Clone, Debug)]
pub(super) struct Flat {
    pub(super) place: Place,
    pub(super) text: String,
    /// None is everyone.
    pub(super) nets: Option<Vec<Net>>,
    pub(super) ports: Ports,
    pub(super) accept: bool,
    /// Set when it cannot be carried over.
    pub(super) doubt: Option<String>,
    /// Sources that left the chain before this rule, and at which ports.
    pub(super) minus: Vec<(Ranges, Ports)>,
}

/// Chains that lead deeper are wrong, or made to be.
const DEEPEST: usize = 16;

/// What holds for all rules of a chain on the way that led to it.
#[derive(Clone)]
struct Way {
    nets: Option<Vec<Net>>,
    ports: Ports,
    doubt: Option<String>,
    minus: Vec<(Ranges, Ports)>,
    depth: usize,
}

pub(super) struct Flattener<'a> {
    pub(super) list: &'a List,
    pub(super) sets: &'a BTreeMap<String, Set>,
    /// Sets that a rule names.
    pub(super) used: &'a mut BTreeSet<String>,
    pub(super) left: &'a mut Vec<Left>,
    flat: Vec<Flat>,
    reached: BTreeSet<&'a str>,
}

impl<'a> Flattener<'a> {
    pub(super) fn new(
        list: &'a List,
        sets: &'a BTreeMap<String, Set>,
        used: &'a mut BTreeSet<String>,
        left: &'a mut Vec<Left>,
    ) -> Self {
        Self {
            list,
            sets,
            used,
            left,
            flat: Vec::new(),
            reached: BTreeSet::new(),
        }
    }

    /// All rules that a connection to this host meets, in their order.
    pub(super) fn flatten(mut self) -> Vec<Flat> {
        for root in &self.list.roots {
            self.chain(
                root,
                &Way {
                    nets: None,
                    ports: Ports::all(),
                    doubt: None,
                    minus: Vec::new(),
                    depth: 0,
                },
            );
        }
        for (name, rules) in &self.list.chains {
            if !self.reached.contains(name.as_str()) {
                let why = format!("no rule leads to the chain {name}");
                self.left.extend(rules.iter().map(|rule| Left::of(rule, why.clone())));
                // Whoever gave the set along has given what names it.
                self.used.extend(rules.iter().filter_map(|rule| match &rule.who {
                    Who::Set(name) => Some(name.clone()),
                    _ => None,
                }));
            }
        }
        self.flat
    }

    fn chain(&mut self, name: &str, way: &Way) {
        let Some((name, rules)) = self.list.chains.get_key_value(name) else {
            return;
        };
        self.reached.insert(name);
        let mut way = way.clone();
        for rule in rules {
            let here = match self.narrowed(rule, &way) {
                Ok(here) => here,
                Err(why) => {
                    self.left.push(Left::of(rule, why));
                    continue;
                }
            };
            match &rule.action {
                Action::Accept | Action::Refuse => self.flat.push(Flat {
                    place: rule.place,
                    text: rule.text.clone(),
                    nets: here.nets,
                    ports: here.ports,
                    accept: rule.action == Action::Accept,
                    doubt: here.doubt,
                    minus: here.minus,
                }),
                Action::Return => {
                    if let Some(nets) = &here.nets {
                        way.minus
                            .push((nets.iter().map(|net| net.net).collect(), here.ports.clone()));
                    } else if here.doubt.is_none() {
                        way.ports = way.ports.without(&here.ports);
                    }
                }
                Action::Jump(to) | Action::Goto(to) => {
                    if way.depth >= DEEPEST {
                        self.left.push(Left::of(rule, "its chains lead too deep".to_owned()));
                    } else if !self.list.chains.contains_key(to) {
                        let why = format!("`{to}` is no chain of this file, and no target that lets in or refuses");
                        self.left.push(Left::of(rule, why));
                    } else {
                        self.chain(
                            to,
                            &Way {
                                depth: way.depth + 1,
                                ..here.clone()
                            },
                        );
                        if matches!(rule.action, Action::Goto(_)) && here.doubt.is_none() {
                            match here.nets {
                                Some(nets) => way.minus.push((nets.iter().map(|net| net.net).collect(), here.ports)),
                                None => way.ports = way.ports.without(&here.ports),
                            }
                        }
                    }
                }
            }
        }
    }

    /// The way with the rule's own conditions; why it has none.
    fn narrowed(&mut self, rule: &Rule, way: &Way) -> Result<Way, String> {
        let mut minus = way.minus.clone();
        if !rule.except.is_empty() {
            minus.push((rule.except.iter().copied().collect(), Ports::all()));
        }
        let own = match &rule.who {
            Who::Everyone => None,
            Who::Nets(nets) => Some(nets.clone()),
            Who::Set(name) => {
                self.used.insert(name.clone());
                let set = self
                    .sets
                    .get(name)
                    .ok_or_else(|| format!("the set `{name}` is in no file that was given: give `ipset save`, too"))?;
                if !set.except.is_empty() {
                    minus.push((set.except.iter().copied().collect(), Ports::all()));
                }
                Some(set.nets.clone())
            }
        };
        let nets = match (own, &way.nets) {
            (own, None) => own,
            (None, Some(outer)) => Some(outer.clone()),
            (Some(own), Some(outer)) => Some(both(&own, outer)),
        };
        Ok(Way {
            nets,
            ports: way.ports.and(&rule.ports),
            doubt: rule.doubt.clone().or_else(|| way.doubt.clone()),
            minus,
            depth: way.depth,
        })
    }
}

/// Sources that are in both, each as the narrower of the two.
fn both(own: &[Net], outer: &[Net]) -> Vec<Net> {
    let earlier = |a: Option<Timestamp>, b: Option<Timestamp>| match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    let mut nets = Vec::new();
    for one in own {
        for other in outer {
            let net = if other.net.contains(&one.net) {
                one.net
            } else if one.net.contains(&other.net) {
                other.net
            } else {
                continue;
            };
            nets.push(Net {
                net,
                until: earlier(one.until, other.until),
                place: one.place,
            });
        }
    }
    nets
}
