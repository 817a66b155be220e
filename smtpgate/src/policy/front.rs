//! The front table of one family: how its codes follow from the prefixes ([`smtpgate_common::front`]).
//!
//! A region (the addresses below one code) with one answer is a class; with several it is a node; and where classes,
//! nodes or steps run out, or the answer has an end, the reader asks the trie. Only regions that a changed prefix
//! touches are looked at, so the work is proportional to the change; a new table is the change of everything.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicU16, Ordering::Relaxed},
};

use smtpgate_common::{
    cell::Cell,
    front::{ASK_TRIE, FIRST_NODE, STEPS6},
};

use super::{
    maps::Maps,
    ops::Op,
    prefix::{Prefix, Side},
    table::GateTable,
};

/// Steps below the root, of the family that has more.
const STEPS_MAX: usize = STEPS6;

/// Nodes by step.
type BySteps = [u32; STEPS_MAX];

/// Regions with more than one answer, by step: the nodes that a complete front table has at the most.
pub(super) fn regions(side: Side, cells: &[(Prefix, Cell)]) -> BySteps {
    let mut count = [0; STEPS_MAX];
    let mut last: [Option<Prefix>; STEPS_MAX] = [None; STEPS_MAX];
    for (prefix, _) in cells {
        for step in 0..side.steps() {
            let length = region_length(step);
            if prefix.length() <= length {
                break;
            }
            let region = Prefix::new(prefix.first(), length);
            if last[step] != Some(region) {
                last[step] = Some(region);
                count[step] += 1;
            }
        }
    }
    count
}

/// Length of the prefixes that nodes of a step stand for.
#[allow(clippy::cast_possible_truncation, reason = "at most 120")]
const fn region_length(step: usize) -> u8 {
    16 + 8 * step as u8
}

/// Numbers of the classes that codes name. One is never given another cell, so no reader meets a code of one meaning and
/// a class of another.
#[derive(Clone, Debug)]
pub(super) struct Classes {
    ids: HashMap<Cell, u8>,
    /// The answer given last: neighbours are mostly alike.
    last: (Cell, u16),
    /// Some cell found no number.
    missed: bool,
    /// Operations for new numbers.
    pub(super) ops: Vec<Op>,
}

impl Classes {
    pub(super) fn new() -> Self {
        Self {
            ids: HashMap::from([(Cell::EMPTY, 0)]),
            last: (Cell::EMPTY, 0),
            missed: false,
            ops: Vec::new(),
        }
    }

    /// Code for a region with one answer.
    fn code(&mut self, cell: Cell) -> u16 {
        if cell.until() != 0 {
            return ASK_TRIE;
        }
        if self.last.0 != cell {
            self.last = (cell, self.number(cell));
        }
        self.last.1
    }

    fn number(&mut self, cell: Cell) -> u16 {
        if let Some(id) = self.ids.get(&cell) {
            return u16::from(*id);
        }
        match u8::try_from(self.ids.len()) {
            Ok(id) if u16::from(id) < ASK_TRIE => {
                self.ids.insert(cell, id);
                self.ops.push(Op::ClassSet(id, cell));
                u16::from(id)
            }
            _ => {
                self.missed = true;
                ASK_TRIE
            }
        }
    }

    /// Whether a cell had to go without a number.
    pub(super) fn missed(&self) -> bool {
        self.missed
    }
}

/// Different answers without an end in a table, the empty one included: the class numbers that it wants.
pub(super) fn answers(table: &GateTable) -> usize {
    let cells = table.cells4.iter().chain(&table.cells6).map(|(_, cell)| *cell);
    let answers: HashSet<Cell> = cells.filter(|cell| cell.until() == 0).chain([Cell::EMPTY]).collect();
    answers.len()
}

/// Who uses which node. A node that a plan frees rests for one more plan, so that no reader is on its way into it when it
/// is filled anew (a reader is done within microseconds).
#[derive(Clone, Debug)]
pub(super) struct Pool {
    free: Vec<u32>,
    resting: Vec<u32>,
    /// Step of each node in use.
    step: Vec<u8>,
    used: BySteps,
}

impl Pool {
    pub(super) fn new(nodes: u32) -> Self {
        Self {
            free: (0..nodes).rev().collect(),
            resting: Vec::new(),
            step: vec![0; nodes as usize],
            used: [0; STEPS_MAX],
        }
    }

    pub(super) fn used(&self) -> u32 {
        self.used.iter().sum()
    }
}

/// The change of one front table.
#[derive(Debug)]
pub(super) struct Change {
    /// New nodes, lower ones first; no reader sees them.
    pub(super) fills: Vec<Op>,
    /// Single codes, to be written when all nodes are filled and the trie is changed.
    pub(super) stores: Vec<Op>,
    /// There was no free node where the sizes had room for one.
    pub(super) starved: bool,
    taken: Vec<(u32, u8)>,
    freed: Vec<u32>,
}

impl Change {
    /// Takes the change into the pool.
    pub(super) fn commit(&self, pool: &mut Pool) {
        let taken: HashSet<u32> = self.taken.iter().map(|(node, _)| *node).collect();
        pool.free.retain(|node| !taken.contains(node));
        for (node, step) in &self.taken {
            pool.step[*node as usize] = *step;
            pool.used[usize::from(*step)] += 1;
        }
        for node in &self.freed {
            pool.used[usize::from(pool.step[*node as usize])] -= 1;
        }
        let rested = std::mem::replace(&mut pool.resting, self.freed.clone());
        pool.free.extend(rested);
    }
}

/// Finds the change of a front table to new `cells` (sorted, as compiled), of which `changed` (sorted) differ from what
/// the codes in `maps` were made of.
pub(super) fn change(
    side: Side,
    maps: &Maps,
    pool: &Pool,
    classes: &mut Classes,
    cells: &[(Prefix, Cell)],
    changed: &[Prefix],
) -> Change {
    let mut planner = Planner {
        side,
        maps,
        classes,
        room: room(side, maps, cells),
        used: pool.used,
        free: pool.free.clone(),
        change: Change {
            fills: Vec::new(),
            stores: Vec::new(),
            starved: false,
            taken: Vec::new(),
            freed: Vec::new(),
        },
    };
    planner.root(cells, changed);
    planner.change
}

/// Nodes that each step may have: where there are too few, the upper steps, which answer for more addresses, come first.
fn room(side: Side, maps: &Maps, cells: &[(Prefix, Cell)]) -> BySteps {
    let mut left = u32::try_from(maps.nodes(side).len()).unwrap_or(u32::MAX);
    let wanted = regions(side, cells);
    if wanted.iter().sum::<u32>() <= left {
        return [u32::MAX; STEPS_MAX];
    }
    wanted.map(|wanted| {
        let given = wanted.min(left);
        left -= given;
        given
    })
}

struct Planner<'a> {
    side: Side,
    maps: &'a Maps,
    classes: &'a mut Classes,
    room: BySteps,
    used: BySteps,
    free: Vec<u32>,
    change: Change,
}

/// A region whose codes are to be made: `cells` lie in it and are longer, `around` answers where none of them does, and
/// of `changed` (`None`: everything) each lies in it or is wider.
#[derive(Clone, Copy)]
struct Region<'a> {
    prefix: Prefix,
    cells: &'a [(Prefix, Cell)],
    around: Cell,
    changed: Option<&'a [Prefix]>,
}

impl Planner<'_> {
    fn root(&mut self, cells: &[(Prefix, Cell)], changed: &[Prefix]) {
        if changed.is_empty() {
            return;
        }
        let (around, cells) = match cells.split_first() {
            Some(((prefix, cell), rest)) if prefix.length() == 0 => (*cell, rest),
            _ => (Cell::EMPTY, cells),
        };
        let old = load(self.maps.root(self.side));
        let mut codes = old.clone();
        let region = Region {
            prefix: Prefix::new(0, 0),
            cells,
            around,
            changed: Some(changed),
        };
        self.below(region, 16, 0, &mut codes, true);
        for (index, (old, new)) in (0..=u16::MAX).zip(old.into_iter().zip(codes)) {
            if old != new {
                self.replace(old);
                self.change.stores.push(self.side.root_set(index, new));
            }
        }
    }

    /// Makes the codes of a region's parts, `width` bits further down, where something changed. `step` is that of the
    /// nodes that they may name; `old` says that `codes` are what readers see now.
    fn below(&mut self, region: Region<'_>, width: u8, step: usize, codes: &mut [u16], old: bool) {
        let length = region.prefix.length() + width;
        let part = |address: u128| (address >> (128 - length)) as usize & ((1 << width) - 1);
        let span = |prefix: Prefix| part(prefix.first())..part(prefix.last()) + 1;
        let mut around = vec![region.around; 1 << width];
        for (prefix, cell) in region.cells.iter().filter(|(prefix, _)| prefix.length() <= length) {
            around[span(*prefix)].fill(*cell);
        }
        let everything = [region.prefix];
        let mut next = 0;
        let mut cells = region.cells;
        for changed in region.changed.unwrap_or(&everything) {
            let span = if changed.covers(region.prefix) {
                0..1 << width
            } else {
                span(*changed)
            };
            for part in span.start.max(next)..span.end {
                next = part + 1;
                let prefix = Prefix::new(region.prefix.first() | (part as u128) << (128 - length), length);
                cells = &cells[leading(cells, |(cell, _)| cell.first() < prefix.first())..];
                let mut inside = &cells[..leading(cells, |(cell, _)| cell.first() <= prefix.last())];
                inside = &inside[leading(inside, |(cell, _)| cell.length() <= length)..];
                let parts = Region {
                    prefix,
                    cells: inside,
                    around: around[part],
                    changed: region.changed.and_then(|changed| narrow(changed, prefix, width)),
                };
                codes[part] = self.code(parts, step, old.then_some(codes[part]));
            }
        }
    }

    fn code(&mut self, region: Region<'_>, step: usize, old: Option<u16>) -> u16 {
        if region.cells.is_empty() {
            return self.classes.code(region.around);
        }
        if step == self.side.steps() {
            return ASK_TRIE;
        }
        match old.and_then(node) {
            Some(node) => self.changed_node(region, step, node),
            None => self.new_node(region, step),
        }
    }

    fn new_node(&mut self, region: Region<'_>, step: usize) -> u16 {
        if self.used[step] >= self.room[step] {
            return ASK_TRIE;
        }
        let Some((number, code)) = self.free.pop().and_then(|number| Some((number, code_of(number)?))) else {
            self.change.starved = true;
            return ASK_TRIE;
        };
        self.used[step] += 1;
        let mut codes = Box::new([0; 256]);
        self.below(
            Region {
                changed: None,
                ..region
            },
            8,
            step + 1,
            &mut codes[..],
            false,
        );
        if let Some(leaf) = uniform(&codes[..]) {
            self.used[step] -= 1;
            self.free.push(number);
            return leaf;
        }
        #[allow(clippy::cast_possible_truncation, reason = "steps are six at the most")]
        self.change.taken.push((number, step as u8));
        self.change.fills.push(self.side.node_fill(number, codes));
        code
    }

    fn changed_node(&mut self, region: Region<'_>, step: usize, number: u32) -> u16 {
        let (Some(node), Some(code)) = (self.maps.nodes(self.side).get(number as usize), code_of(number)) else {
            return ASK_TRIE;
        };
        let old = load(&node.codes);
        let mut codes = old.clone();
        self.below(region, 8, step + 1, &mut codes, true);
        if let Some(leaf) = uniform(&codes) {
            return leaf;
        }
        for (byte, (old, new)) in (0..=u8::MAX).zip(old.into_iter().zip(codes)) {
            if old != new {
                self.replace(old);
                self.change.stores.push(self.side.node_set(number, byte, new));
            }
        }
        code
    }

    /// Frees the nodes below a code that goes.
    fn replace(&mut self, old: u16) {
        let Some(number) = node(old) else { return };
        self.change.freed.push(number);
        if let Some(node) = self.maps.nodes(self.side).get(number as usize) {
            for code in load(&node.codes) {
                self.replace(code);
            }
        }
    }
}

/// Of the changed prefixes those that lie in a part of a region, or `None` when one is as wide: then all of it may have
/// changed. None is wider than the region, which has `width` bits less.
fn narrow(changed: &[Prefix], part: Prefix, width: u8) -> Option<&[Prefix]> {
    let from = changed.partition_point(|prefix| *prefix < part);
    let (wider, inside) = changed.split_at(from);
    let all = inside.first() == Some(&part)
        || (part.length() - width..part.length())
            .any(|length| wider.binary_search(&Prefix::new(part.first(), length)).is_ok());
    (!all).then(|| &inside[..leading(inside, |prefix| prefix.first() <= part.last())])
}

/// How many at the start of a sorted slice are such; fast when few or none are.
fn leading<T>(sorted: &[T], such: impl Fn(&T) -> bool) -> usize {
    match sorted.first() {
        Some(first) if such(first) => sorted.partition_point(such),
        _ => 0,
    }
}

/// The code that all are, unless it names a node.
fn uniform(codes: &[u16]) -> Option<u16> {
    let first = *codes.first()?;
    (first < FIRST_NODE && codes.iter().all(|code| *code == first)).then_some(first)
}

/// Number of the node that a code names.
pub(super) fn node(code: u16) -> Option<u32> {
    code.checked_sub(FIRST_NODE).map(u32::from)
}

fn code_of(node: u32) -> Option<u16> {
    u16::try_from(node).ok()?.checked_add(FIRST_NODE)
}

fn load(codes: &[AtomicU16]) -> Vec<u16> {
    codes.iter().map(|code| code.load(Relaxed)).collect()
}
