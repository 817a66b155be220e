//! What the kernel's maps hold against what they should: pure, over two sets of values.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use smtpgate_common::abi::Node;
use smtpgate_common::cell::Cell;

use crate::policy::maps::Maps;
use crate::policy::ops::Op;
use crate::policy::prefix::Prefix;
use crate::policy::trie::Trie;

/// Differences between two sets of maps of the same sizes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// Operations that mend them, one for each difference.
    pub ops: Vec<Op>,
    /// The gated ports differ, which only a new generation can mend.
    pub ports: bool,
}

impl Drift {
    /// Nothing differs.
    pub fn is_none(&self) -> bool {
        self.ops.is_empty() && !self.ports
    }
}

/// What must be done to `found` to make it `wanted`. The exact answers (tries) come before what leads to them.
pub fn drift(found: &Maps, wanted: &Maps) -> Drift {
    let mut ops = Vec::new();
    for (id, (found, wanted)) in (0..=u8::MAX).zip(found.head.classes.iter().zip(&wanted.head.classes)) {
        if found.load(Relaxed) != wanted.load(Relaxed) {
            ops.push(Op::ClassSet(id, Cell::from_bits(wanted.load(Relaxed))));
        }
    }
    ops.extend(trie(&found.trie4, &wanted.trie4, set4, remove4));
    ops.extend(trie(&found.trie6, &wanted.trie6, set6, remove6));
    ops.extend(nodes(&found.nodes4, &wanted.nodes4, |node, byte, code| Op::Node4Set {
        node,
        byte,
        code,
    }));
    ops.extend(nodes(&found.nodes6, &wanted.nodes6, |node, byte, code| Op::Node6Set {
        node,
        byte,
        code,
    }));
    for (index, (found, wanted)) in (0..=u16::MAX).zip(found.head.root4.iter().zip(&wanted.head.root4)) {
        if found.load(Relaxed) != wanted.load(Relaxed) {
            ops.push(Op::Root4Set(index, wanted.load(Relaxed)));
        }
    }
    for (index, (found, wanted)) in (0..=u16::MAX).zip(found.head.root6.iter().zip(&wanted.head.root6)) {
        if found.load(Relaxed) != wanted.load(Relaxed) {
            ops.push(Op::Root6Set(index, wanted.load(Relaxed)));
        }
    }
    // Before what it leads to.
    for (word, (found, wanted)) in (0..).zip(found.head.filter.iter().zip(&wanted.head.filter)) {
        let bits = wanted.load(Relaxed);
        if found.load(Relaxed) != bits {
            ops.push(Op::FilterSet(word, bits));
        }
    }
    hash(&found.over4, &wanted.over4, &mut ops, Op::Over4Set, Op::Over4Remove);
    hash(&found.over6, &wanted.over6, &mut ops, Op::Over6Set, Op::Over6Remove);
    hash(&found.exact6, &wanted.exact6, &mut ops, Op::Exact6Set, Op::Exact6Remove);
    for (bucket, (found, wanted)) in (0..).zip(found.bans4.iter().zip(&wanted.bans4)) {
        for (slot, (found, wanted)) in (0..).zip(found.words.iter().zip(&wanted.words)) {
            let word = wanted.load(Relaxed);
            if found.load(Relaxed) != word {
                ops.push(Op::Ban4Set { bucket, slot, word });
            }
        }
    }
    for (bucket, (found, wanted)) in (0..).zip(found.bans6.iter().zip(&wanted.bans6)) {
        for (slot, (found, wanted)) in (0..).zip(found.bans.iter().zip(&wanted.bans)) {
            let (net, state) = (wanted.net.load(Relaxed), wanted.state.load(Relaxed));
            if found.net.load(Relaxed) != net || found.state.load(Relaxed) != state {
                ops.push(Op::Ban6Set {
                    bucket,
                    slot,
                    net,
                    state,
                });
            }
        }
    }
    let observe = |maps: &Maps| maps.head.observe.load(Relaxed);
    if observe(found) != observe(wanted) {
        ops.push(Op::Observe(observe(wanted)));
    }
    Drift {
        ops,
        ports: found.ports != wanted.ports,
    }
}

fn set4(prefix: Prefix, cell: Cell) -> Option<Op> {
    Some(Op::Trie4Set(net4(prefix)?, cell))
}

fn remove4(prefix: Prefix) -> Option<Op> {
    Some(Op::Trie4Remove(net4(prefix)?))
}

fn set6(prefix: Prefix, cell: Cell) -> Option<Op> {
    Some(Op::Trie6Set(net6(prefix)?, cell))
}

fn remove6(prefix: Prefix) -> Option<Op> {
    Some(Op::Trie6Remove(net6(prefix)?))
}

fn net4(prefix: Prefix) -> Option<ipnet::Ipv4Net> {
    let [a, b, c, d, ..] = prefix.first().to_be_bytes();
    ipnet::Ipv4Net::new([a, b, c, d].into(), prefix.length()).ok()
}

fn net6(prefix: Prefix) -> Option<ipnet::Ipv6Net> {
    ipnet::Ipv6Net::new(prefix.first().to_be_bytes().into(), prefix.length()).ok()
}

/// Inserts first, longest first, so that no address falls to a wider prefix that is about to change.
fn trie(
    found: &Trie,
    wanted: &Trie,
    set: impl Fn(Prefix, Cell) -> Option<Op>,
    remove: impl Fn(Prefix) -> Option<Op>,
) -> Vec<Op> {
    let found: BTreeMap<_, _> = found.iter().collect();
    let wanted: BTreeMap<_, _> = wanted.iter().collect();
    let mut sets: Vec<_> = wanted
        .iter()
        .filter(|(prefix, cell)| found.get(prefix) != Some(cell))
        .collect();
    sets.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.length()));
    let mut removes: Vec<_> = found.keys().filter(|prefix| !wanted.contains_key(prefix)).collect();
    removes.sort_by_key(|prefix| prefix.length());
    let sets = sets.into_iter().filter_map(|(prefix, cell)| set(*prefix, *cell));
    sets.chain(removes.into_iter().filter_map(|prefix| remove(*prefix)))
        .collect()
}

fn nodes(found: &[Node], wanted: &[Node], set: impl Fn(u32, u8, u16) -> Op) -> Vec<Op> {
    let mut ops = Vec::new();
    for (node, (found, wanted)) in (0..).zip(found.iter().zip(wanted)) {
        for (byte, (found, wanted)) in (0..=u8::MAX).zip(found.codes.iter().zip(&wanted.codes)) {
            let code = wanted.load(Relaxed);
            if found.load(Relaxed) != code {
                ops.push(set(node, byte, code));
            }
        }
    }
    ops
}

fn hash<K: Copy + Ord, V: Copy + PartialEq>(
    found: &BTreeMap<K, V>,
    wanted: &BTreeMap<K, V>,
    ops: &mut Vec<Op>,
    set: impl Fn(K, V) -> Op,
    remove: impl Fn(K) -> Op,
) {
    ops.extend(
        wanted
            .iter()
            .filter(|(key, value)| found.get(key) != Some(value))
            .map(|(key, value)| set(*key, *value)),
    );
    ops.extend(
        found
            .keys()
            .filter(|key| !wanted.contains_key(key))
            .map(|key| remove(*key)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ops::Sizes;

    const SIZES: Sizes = Sizes {
        trie4: 8,
        trie6: 8,
        nodes4: 2,
        nodes6: 2,
        bans4_log2: 1,
        over4: 8,
        bans6_log2: 1,
        over6: 8,
        exact6: 8,
    };

    fn every_kind() -> Vec<Op> {
        let cell = Cell::new(1, 0, 0);
        vec![
            Op::ClassSet(3, cell),
            Op::Trie4Set("192.0.2.0/24".parse().unwrap(), cell),
            Op::Trie6Set("2001:db8::/32".parse().unwrap(), cell),
            Op::Node4Set {
                node: 1,
                byte: 7,
                code: 3,
            },
            Op::Node6Set {
                node: 0,
                byte: 255,
                code: 255,
            },
            Op::Root4Set(0xc000, 257),
            Op::Root6Set(0x2001, 256),
            Op::Over4Set(1, 2),
            Op::Over6Set(3, 4),
            Op::Exact6Set([5; 16], 6),
            Op::Ban4Set {
                bucket: 1,
                slot: 7,
                word: 8,
            },
            Op::Ban6Set {
                bucket: 0,
                slot: 3,
                net: 9,
                state: 10,
            },
            Op::FilterSet(16_383, 10),
            Op::Observe(5),
        ]
    }

    #[test]
    fn dataplane_reconcile_finds_each_difference_and_its_mend() {
        for op in every_kind() {
            let found = Maps::empty(&SIZES);
            let mut wanted = Maps::empty(&SIZES);
            wanted.apply(&op);
            let there = drift(&found, &wanted);
            assert_eq!(there.ops, std::slice::from_ref(&op), "missing in the kernel");
            let back = drift(&wanted, &found);
            assert_eq!(back.ops.len(), 1, "{op:?} too much in the kernel");
            wanted.apply(&back.ops[0]);
            assert!(drift(&wanted, &found).is_none(), "{:?} mends {op:?}", back.ops[0]);
        }
    }

    #[test]
    fn dataplane_reconcile_inserts_before_it_removes() {
        let (mut found, mut wanted) = (Maps::empty(&SIZES), Maps::empty(&SIZES));
        found.apply(&Op::Trie4Set("192.0.2.0/25".parse().unwrap(), Cell::new(1, 0, 0)));
        wanted.apply(&Op::Trie4Set("192.0.2.0/24".parse().unwrap(), Cell::new(1, 0, 0)));
        let ops = drift(&found, &wanted).ops;
        let expected = [
            Op::Trie4Set("192.0.2.0/24".parse().unwrap(), Cell::new(1, 0, 0)),
            Op::Trie4Remove("192.0.2.0/25".parse().unwrap()),
        ];
        assert_eq!(ops, expected);
    }

    #[test]
    fn dataplane_reconcile_says_that_ports_need_a_generation() {
        let (found, mut wanted) = (Maps::empty(&SIZES), Maps::empty(&SIZES));
        wanted.ports[25] = 1;
        let drift = drift(&found, &wanted);
        assert!(drift.ports && drift.ops.is_empty() && !drift.is_none());
    }
}
