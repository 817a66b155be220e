//! From rules in order to what smtpgate can say: who is allowed, at which gate, and who is banned. Pure.
//!
//! smtpgate refuses at every gate or at none, and a ban beats what is allowed. So a source is banned only where the rules
//! refuse it at every port of every gate, and it is allowed at a gate where they let it in at one of its ports. Of both, what
//! an earlier rule decides the other way is taken out: nobody is refused whom the rules would have let in.

use ipnet::IpNet;

use super::{
    Gate, Left, Taken, What,
    ports::Ports,
    rules::{Flat, Net},
};
use crate::sources::ranges::Ranges;

/// What the rules, tried in order, say at each port of a gate.
struct Port {
    port: u16,
    gate: usize,
    seen: Ranges,
    accepted: Ranges,
    refused: Ranges,
    /// Refused without an end, whatever else refuses it for a time.
    lasting: Ranges,
}

pub(super) fn decide(rules: &[Flat], gates: &[Gate], taken: &mut Vec<Taken>, left: &mut Vec<Left>) {
    let ports = gates.iter().enumerate().flat_map(|(gate, given)| {
        given.ports.iter().map(move |port| Port {
            port: *port,
            gate,
            seen: Ranges::default(),
            accepted: Ranges::default(),
            refused: Ranges::default(),
            lasting: Ranges::default(),
        })
    });
    let mut ports: Vec<Port> = ports.collect();
    for group in rules.chunk_by(|one, next| {
        one.accept == next.accept
            && one.ports == next.ports
            && one.minus == next.minus
            && one.doubt.is_some() == next.doubt.is_some()
    }) {
        group_decides(group, &mut ports);
    }

    let everywhere = |of: fn(&Port) -> &Ranges| {
        let mut all = ports.iter().map(of);
        let first = all.next().cloned().unwrap_or_default();
        all.fold(first, |all, one| and(&all, one))
    };
    let banned = everywhere(|port| &port.refused);
    let lasting = everywhere(|port| &port.lasting);
    let allowed: Vec<Ranges> = (0..gates.len())
        .map(|gate| joined(ports.iter().filter(|port| port.gate == gate).map(|port| &port.accepted)))
        .collect();
    // Where a ban will hold, it does no harm to be allowed, and the prefix stays whole. Nobody is banned for being among
    // everyone else.
    let named = |whole: bool| -> Ranges {
        let rules = rules.iter().filter(|rule| !rule.accept && rule.doubt.is_none());
        let rules = rules.filter(|rule| ports.iter().all(|port| rule.ports.contains(port.port)) == whole);
        rules
            .flat_map(|rule| rule.nets.iter().flatten())
            .map(|net| net.net)
            .collect()
    };
    let bans = joined([&and(&named(true), &banned), &and(&named(false), &lasting)]);
    let within: Vec<Ranges> = allowed.iter().map(|allowed| joined([allowed, &bans])).collect();
    let any_accepted = joined(&allowed);
    let none = Ranges::default();

    for rule in rules {
        let at: Vec<&Port> = ports.iter().filter(|port| rule.ports.contains(port.port)).collect();
        let why = if at.is_empty() {
            Some(format!("it is about port {}, which is in no gate", rule.ports.shown()))
        } else {
            rule.doubt.clone()
        };
        let Some(nets) = rule.nets.as_ref().filter(|_| why.is_none()) else {
            let why = why.unwrap_or_else(|| everyone(rule, &at, gates));
            left.push(Left::rule(rule, why));
            continue;
        };
        for net in nets {
            let mut leave = |why: String| left.push(Left::net(rule, net, why));
            if net.net.prefix_len() == 0 {
                leave(everyone(rule, &at, gates));
            } else if rule.accept {
                allow(net, rule, gates, &allowed, &within, taken, &mut leave);
            } else {
                // Rules for some of the ports are a ban together only, and as long as all of them last.
                let some = at.len() < ports.len();
                let banned = match (some, net.until) {
                    (false, _) => &banned,
                    (true, None) => &lasting,
                    (true, Some(_)) => &none,
                };
                if banned.holds(net.net) {
                    taken.push(ban(net, net.net));
                    continue;
                }
                let pieces = and(&Ranges::from_iter([net.net]), banned).to_nets();
                let partly = !pieces.is_empty();
                taken.extend(pieces.into_iter().map(|piece| ban(net, piece)));
                leave(if any_accepted.holds(net.net) {
                    "an earlier rule lets it in".to_owned()
                } else if some {
                    format!(
                        "it refuses at port {} only, and smtpgate refuses at every gate or at none: `smtpgate ban {}`, \
                         if that is wanted",
                        shown(&at),
                        shown_net(net.net)
                    )
                } else if partly {
                    "in part only: the rest is let in, or excepted".to_owned()
                } else {
                    "other rules decide before it".to_owned()
                });
            }
        }
    }
}

fn group_decides(group: &[Flat], ports: &mut [Port]) {
    let Some(rule) = group.first() else { return };
    // What cannot be carried over is no reason to refuse anybody whom it might let in; that it might refuse is none to
    // refuse, either.
    if rule.doubt.is_some() && !rule.accept {
        return;
    }
    let everyone = || {
        ["0.0.0.0/0", "::/0"]
            .into_iter()
            .filter_map(|net| net.parse().ok())
            .collect()
    };
    let nets = || group.iter().flat_map(|rule| rule.nets.iter().flatten());
    let (whom, whom_lasting): (Ranges, Ranges) = if group.iter().any(|rule| rule.nets.is_none()) {
        if rule.doubt.is_some() {
            return;
        }
        (everyone(), everyone())
    } else {
        let lasting = nets().filter(|net| net.until.is_none());
        (
            nets().map(|net| net.net).collect(),
            lasting.map(|net| net.net).collect(),
        )
    };
    for port in ports.iter_mut().filter(|port| rule.ports.contains(port.port)) {
        let less = |whom: &Ranges| {
            let mut less = whom.clone();
            for (minus, at) in &rule.minus {
                if at.contains(port.port) {
                    less.remove_all(minus);
                }
            }
            less
        };
        let met = less(&whom);
        let mut new = met.clone();
        new.remove_all(&port.seen);
        if rule.accept {
            add(&mut port.accepted, &new);
        } else {
            let mut lasting = less(&whom_lasting);
            lasting.remove_all(&port.accepted);
            add(&mut port.lasting, &lasting);
            add(&mut port.refused, &new);
        }
        add(&mut port.seen, &met);
    }
}

fn add(to: &mut Ranges, more: &Ranges) {
    to.add_all(more);
    to.normalise();
}

fn ban(net: &Net, prefix: IpNet) -> Taken {
    Taken {
        place: net.place,
        prefix,
        what: What::Ban { until: net.until },
    }
}

fn allow(
    net: &Net,
    rule: &Flat,
    gates: &[Gate],
    allowed: &[Ranges],
    within: &[Ranges],
    taken: &mut Vec<Taken>,
    leave: &mut impl FnMut(String),
) {
    if net.until.is_some() {
        leave("it is let in until a time only, and what is allowed has no end here".to_owned());
        return;
    }
    let concerned = |gate: &Gate| gate.ports.iter().any(|port| rule.ports.contains(*port));
    let at = |number: usize| -> Vec<IpNet> {
        let (Some(allowed), Some(within)) = (allowed.get(number), within.get(number)) else {
            return Vec::new();
        };
        let pieces = and(&Ranges::from_iter([net.net]), allowed);
        if pieces == Ranges::default() || within.holds(net.net) {
            return if pieces == Ranges::default() {
                Vec::new()
            } else {
                vec![net.net]
            };
        }
        pieces.to_nets()
    };
    let found: Vec<(usize, Vec<IpNet>)> = gates
        .iter()
        .enumerate()
        .filter(|(_, gate)| concerned(gate))
        .map(|(number, _)| (number, at(number)))
        .collect();
    let whole = |(_, pieces): &(usize, Vec<IpNet>)| *pieces == [net.net];
    let mut take = |prefix: IpNet, gate: Option<&Gate>| {
        taken.push(Taken {
            place: net.place,
            prefix,
            what: What::Allow {
                gate: gate.map(|gate| gate.name.clone()),
            },
        });
    };
    let mut lists = found.iter().map(|(_, pieces)| pieces);
    let first = lists.next();
    if found.len() == gates.len() && lists.all(|pieces| Some(pieces) == first) {
        first.into_iter().flatten().for_each(|piece| take(*piece, None));
    } else {
        for (number, pieces) in &found {
            pieces.iter().for_each(|piece| take(*piece, gates.get(*number)));
        }
    }
    if found.iter().all(|(_, pieces)| pieces.is_empty()) {
        leave("an earlier rule refuses it".to_owned());
    } else if !found.iter().all(whole) {
        leave("in part only: the rest is refused, or excepted".to_owned());
    }
}

/// Rules without a source.
fn everyone(rule: &Flat, at: &[&Port], gates: &[Gate]) -> String {
    if !rule.accept {
        return "it refuses everyone else: so does smtpgate".to_owned();
    }
    let mut names: Vec<&str> = at
        .iter()
        .filter_map(|port| gates.get(port.gate))
        .map(|gate| gate.name.as_str())
        .collect();
    names.dedup();
    format!(
        "it lets in everyone at port {}: that is said by the configuration, allow = [\"world\"] in [gate.{}]",
        shown(at),
        names.join("] and [gate.")
    )
}

fn shown_net(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}

fn shown(at: &[&Port]) -> String {
    Ports::of(&at.iter().map(|port| port.port).collect::<Vec<_>>()).shown()
}

fn joined<'a>(all: impl IntoIterator<Item = &'a Ranges>) -> Ranges {
    let mut joined = Ranges::default();
    all.into_iter().for_each(|one| joined.add_all(one));
    joined.normalise();
    joined
}

fn and(one: &Ranges, other: &Ranges) -> Ranges {
    let mut beside = one.clone();
    beside.remove_all(other);
    let mut both = one.clone();
    both.remove_all(&beside);
    both
}
