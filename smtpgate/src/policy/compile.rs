//! From intent to gate table.
//!
//! What is known of a prefix grows from the outside in: it has all its surrounding prefixes' marks and its own. The
//! answer is made of that (trust, else block, else gates and ban), and a prefix that answers as its surroundings do is
//! left out. So there are never more entries than different prefixes in the intent.

use smtpgate_common::{
    abi::{GATES, OBSERVE_STRUCTURE},
    cell::Cell,
};

use super::{
    intent::Intent,
    prefix::{Prefix, Side, meant},
    table::{Ends, GateTable, Single, ban_end},
};

/// Compiles a policy. Host bits of prefixes are cut off. Gates beyond the 16th and ports of an earlier gate are left out:
/// the configuration refuses them.
pub fn compile(intent: &Intent) -> GateTable {
    let mut rules = Rules::default();
    for net in &intent.trust {
        rules.add(meant(*net), Cell::new(0, Cell::TRUST, 0));
    }
    let trusted = [Ranges::of(&rules.v4), Ranges::of(&rules.v6)];
    let trusted = |side| &trusted[usize::from(side == Side::V6)];
    let mut singles = Vec::new();
    for net in &intent.block {
        match Single::of(*net) {
            // A /64 is refused before the table of single addresses is asked.
            None | Some(Single::Net6(_)) => rules.add(meant(*net), Cell::new(0, Cell::BLOCK, 0)),
            Some(single) => {
                let (side, prefix) = single.prefix();
                if !trusted(side).cover(prefix) {
                    singles.push((single, Ends { until: 0, listed: true }));
                }
            }
        }
    }
    for ban in &intent.bans {
        let until = ban_end(ban.until);
        let (side, prefix) = meant(ban.prefix);
        match Single::of(ban.prefix) {
            _ if until == 0 || trusted(side).cover(prefix) => {}
            // The table of bans knows no trust, and cannot change in one act with the prefixes that do.
            Some(single) if !trusted(side).touch(prefix) => singles.push((single, Ends { until, listed: false })),
            _ => rules.add((side, prefix), Cell::new(0, 0, until)),
        }
    }
    let mut ports = vec![0; 65_536].into_boxed_slice();
    let mut observe = 0;
    for (number, gate) in (0_u8..).zip(intent.gates.iter().take(GATES)) {
        for net in &gate.allow {
            rules.add(meant(*net), Cell::new(1 << number, 0, 0));
        }
        for port in &gate.ports {
            let byte: &mut u8 = &mut ports[usize::from(*port)];
            if *byte == 0 {
                *byte = number + 1;
            }
        }
        observe |= u32::from(gate.observe) << number;
    }
    if !intent.gates.is_empty() && intent.gates.iter().all(|gate| gate.observe) {
        observe |= OBSERVE_STRUCTURE;
    }
    singles.sort_unstable_by_key(|(single, _)| *single);
    singles.dedup_by(|(single, ends), (kept, known)| {
        let same = single == kept;
        if same {
            *known = known.and(*ends);
        }
        same
    });
    GateTable {
        ports,
        observe,
        cells4: resolve(rules.v4),
        cells6: resolve(rules.v6),
        singles,
    }
}

/// Prefixes and their marks, as they come.
#[derive(Default)]
struct Rules {
    v4: Vec<(Prefix, Cell)>,
    v6: Vec<(Prefix, Cell)>,
}

impl Rules {
    fn add(&mut self, (side, prefix): (Side, Prefix), mark: Cell) {
        match side {
            Side::V4 => self.v4.push((prefix, mark)),
            Side::V6 => self.v6.push((prefix, mark)),
        }
    }
}

/// Sorted ranges of addresses that neither overlap nor touch.
struct Ranges(Vec<(u128, u128)>);

impl Ranges {
    fn of(rules: &[(Prefix, Cell)]) -> Self {
        let mut prefixes: Vec<_> = rules.iter().map(|(prefix, _)| *prefix).collect();
        prefixes.sort_unstable();
        let mut ranges: Vec<(u128, u128)> = Vec::new();
        for prefix in prefixes {
            match ranges.last_mut() {
                Some((_, last)) if prefix.first() <= last.saturating_add(1) => *last = prefix.last().max(*last),
                _ => ranges.push((prefix.first(), prefix.last())),
            }
        }
        Self(ranges)
    }

    /// Whether all addresses of the prefix are in.
    fn cover(&self, prefix: Prefix) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= prefix.first());
        after > 0 && self.0[after - 1].1 >= prefix.last()
    }

    /// Whether any address of the prefix is in.
    fn touch(&self, prefix: Prefix) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= prefix.last());
        after > 0 && self.0[after - 1].1 >= prefix.first()
    }
}

/// Sorted prefixes with whole answers, from prefixes with marks in any order.
fn resolve(mut rules: Vec<(Prefix, Cell)>) -> Vec<(Prefix, Cell)> {
    rules.sort_unstable_by_key(|(prefix, _)| *prefix);
    let mut around: Vec<(Prefix, Cell)> = Vec::new();
    let mut cells = Vec::with_capacity(rules.len());
    for same in rules.chunk_by(|(a, _), (b, _)| a == b) {
        let Some((prefix, _)) = same.first() else { continue };
        while around.last().is_some_and(|(outer, _)| !outer.covers(*prefix)) {
            around.pop();
        }
        let outside = around.last().map_or(Cell::EMPTY, |(_, marks)| *marks);
        let marks = same.iter().fold(outside, |marks, (_, mark)| join(marks, *mark));
        if marks != outside {
            around.push((*prefix, marks));
        }
        if answer(marks) != answer(outside) {
            cells.push((*prefix, answer(marks)));
        }
    }
    aggregate(cells)
}

fn join(a: Cell, b: Cell) -> Cell {
    let low = (a.bits() | b.bits()) & 0xffff_ffff;
    Cell::from_bits(low | u64::from(a.until().max(b.until())) << 32)
}

/// What the kernel needs of the marks: what cannot change the verdict is left out, so that more prefixes are alike.
fn answer(marks: Cell) -> Cell {
    if marks.trusted() {
        Cell::new(0, Cell::TRUST, 0)
    } else if marks.blocked() {
        Cell::new(0, Cell::BLOCK, 0)
    } else if marks.allow() == 0 {
        Cell::EMPTY
    } else {
        marks
    }
}

/// Joins halves that answer alike, from the longest prefixes up. Both halves may hold narrower prefixes with other
/// answers; what stood for the whole before was hidden by them.
fn aggregate(cells: Vec<(Prefix, Cell)>) -> Vec<(Prefix, Cell)> {
    let mut lengths: Vec<Vec<(Prefix, Cell)>> = vec![Vec::new(); 129];
    for cell in cells {
        lengths[usize::from(cell.0.length())].push(cell);
    }
    for length in (1..lengths.len()).rev() {
        let mut joined = Vec::new();
        let mut kept = Vec::with_capacity(lengths[length].len());
        for (prefix, cell) in std::mem::take(&mut lengths[length]) {
            match kept.last() {
                Some((left, same)) if Prefix::parent(*left) == prefix.parent() && *same == cell => {
                    kept.pop();
                    joined.push((prefix.parent(), cell));
                }
                _ => kept.push((prefix, cell)),
            }
        }
        lengths[length] = kept;
        if !joined.is_empty() {
            joined.append(&mut lengths[length - 1]);
            // Stable: where a whole stood already, the joined halves come first and stay.
            joined.sort_by_key(|(prefix, _)| *prefix);
            joined.dedup_by_key(|(prefix, _)| *prefix);
            lengths[length - 1] = joined;
        }
    }
    let mut cells: Vec<_> = lengths.into_iter().flatten().collect();
    cells.sort_unstable_by_key(|(prefix, _)| *prefix);
    let mut around: Vec<(Prefix, Cell)> = Vec::new();
    cells.retain(|(prefix, cell)| {
        while around.last().is_some_and(|(outer, _)| !outer.covers(*prefix)) {
            around.pop();
        }
        let outside = around.last().map_or(Cell::EMPTY, |(_, cell)| *cell);
        around.push((*prefix, *cell));
        *cell != outside
    });
    cells
}
