//! The tables of single sources: which word of which bucket changes when one is banned, lifted or over.
//!
//! Readers are never between two places: a live word is not moved; an address stands in one place at most; and words of
//! a bucket become 0 only when nothing of it stands in the overflow, which a reader asks only behind eight words (IPv6:
//! four states) that are not 0.

use std::{
    collections::{BTreeSet, HashMap},
    sync::atomic::Ordering::Relaxed,
};

use smtpgate_common::{
    Lookup as _,
    abi::EXACT,
    ban::{LIFTED, filter4, filter6, word4},
};

use super::{
    maps::Maps,
    ops::{Op, Sizes},
    sizes::DoesNotFit,
    table::{Ends, Single},
};

/// What the words of the tables do not tell.
#[derive(Debug, Default)]
pub(super) struct Bans {
    known: HashMap<Single, Ends>,
    /// Bans by their end; listed sources without a ban are not in it.
    ends: BTreeSet<(u32, Single)>,
    /// Entries in the overflow by bucket; none is 0.
    beyond4: HashMap<u32, u32>,
    beyond6: HashMap<u32, u32>,
    /// Single addresses by /64; none is 0.
    exact: HashMap<u64, u32>,
}

/// The maps, and the operations that were done to them.
pub(super) struct Writer<'a> {
    pub(super) maps: &'a mut Maps,
    pub(super) sizes: &'a Sizes,
    pub(super) ops: Vec<Op>,
}

impl Writer<'_> {
    pub(super) fn write(&mut self, op: Op) {
        self.maps.apply(&op);
        self.ops.push(op);
    }

    /// Lets the filter pass a source on to its ban table: before it is there.
    fn admit(&mut self, (word, bits): (u16, u64)) {
        let old = (&*self.maps).filter(word);
        if old & bits != bits {
            self.write(Op::FilterSet(word, old | bits));
        }
    }
}

/// Where a source stands, or could.
enum Place {
    /// In its bucket: slot.
    Slot(u8),
    /// In the overflow.
    Over,
    /// Nowhere; this slot is free or its ban is over.
    Free(u8),
    /// Nowhere, and its bucket is full.
    Full,
}

impl Bans {
    pub(super) fn get(&self, single: Single) -> Option<Ends> {
        self.known.get(&single).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Single, Ends)> {
        self.known.iter().map(|(single, ends)| (*single, *ends))
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Sets why and until when a source is refused; no longer at all when it is not listed and `until` is over. Changes
    /// nothing when it does not fit.
    pub(super) fn set(&mut self, writer: &mut Writer<'_>, single: Single, ends: Ends) -> Result<(), DoesNotFit> {
        let live = |ends: Ends, now| ends.listed || ends.until > now;
        if !live(ends, writer.maps.now) {
            self.remove(writer, single);
            return Ok(());
        }
        let old = self.get(single);
        if old.unwrap_or_default().end() != ends.end() {
            match single {
                Single::V4(address) => self.put4(writer, address, ends.end())?,
                Single::Net6(net) => self.put6(writer, net, u64::from(ends.end()) | self.mark(net))?,
                Single::V6(address) => self.put_exact(writer, address, ends.end())?,
            }
        }
        if old.is_some() {
            self.forget(single);
        }
        if ends.until != 0 {
            self.ends.insert((ends.until, single));
        }
        self.known.insert(single, ends);
        Ok(())
    }

    /// Makes room for what is known of so many more.
    pub(super) fn expect(&mut self, more: usize) {
        self.known.reserve(more);
    }

    /// Takes a source out, banned or listed.
    pub(super) fn remove(&mut self, writer: &mut Writer<'_>, single: Single) {
        if self.get(single).is_none() {
            return;
        }
        self.forget(single);
        match single {
            Single::V4(address) => self.take4(writer, address),
            Single::Net6(net) => self.restate6(writer, net),
            Single::V6(address) => {
                let net = net_of(address);
                if down(&mut self.exact, net) == 0 {
                    self.restate6(writer, net);
                }
                writer.write(Op::Exact6Remove(address));
            }
        }
    }

    /// Takes out at most `limit` bans that are over; listed sources stay.
    pub(super) fn sweep(&mut self, writer: &mut Writer<'_>, limit: usize) {
        for _ in 0..limit {
            let Some((until, single)) = self.ends.first().copied() else {
                return;
            };
            if until > writer.maps.now {
                return;
            }
            match self.known.get_mut(&single) {
                Some(ends) if ends.listed => {
                    ends.until = 0;
                    self.ends.pop_first();
                }
                _ => self.remove(writer, single),
            }
        }
    }

    /// Whether these, none of which is there with the same end, would all find a place, in whatever order.
    pub(super) fn check<'a>(
        maps: &Maps,
        sizes: &Sizes,
        new: impl Iterator<Item = &'a Single>,
    ) -> Result<(), DoesNotFit> {
        let mut new4 = Vec::new();
        let mut nets = Vec::new();
        let mut exact = 0;
        for single in new {
            match single {
                Single::V4(address) => {
                    if !standing(find4(maps, *address), |slot| free4(maps, *address, slot)) {
                        new4.push(maps.number4(*address));
                    }
                }
                Single::Net6(net) => nets.push(*net),
                Single::V6(address) => {
                    exact += usize::from(!maps.exact6.contains_key(address));
                    nets.push(net_of(*address));
                }
            }
        }
        nets.sort_unstable();
        nets.dedup();
        nets.retain(|net| !standing(find6(maps, *net), |slot| free6(maps, *net, slot)));
        let new6 = nets.into_iter().map(|net| maps.number6(net)).collect();
        let over4 = beyond(new4, |bucket| frees4(maps, bucket));
        let over6 = beyond(new6, |bucket| frees6(maps, bucket));
        within(OVER4, maps.over4.len() + over4, sizes.over4)?;
        within(OVER6, maps.over6.len() + over6, sizes.over6)?;
        within(EXACT6, maps.exact6.len() + exact, sizes.exact6)
    }

    fn forget(&mut self, single: Single) {
        if let Some(ends) = self.known.remove(&single) {
            self.ends.remove(&(ends.until, single));
        }
    }

    fn put4(&mut self, writer: &mut Writer<'_>, address: u32, end: u32) -> Result<(), DoesNotFit> {
        let bucket = writer.maps.number4(address);
        let word = word4(address, end);
        match find4(writer.maps, address) {
            Place::Slot(slot) => writer.write(Op::Ban4Set { bucket, slot, word }),
            Place::Free(slot) => {
                let old = words4(writer.maps, bucket)[usize::from(slot)];
                if end4(old) > LIFTED {
                    self.forget(Single::V4(address4(old)));
                }
                writer.admit(filter4(address));
                writer.write(Op::Ban4Set { bucket, slot, word });
            }
            Place::Over => writer.write(Op::Over4Set(address, end)),
            Place::Full => {
                within(OVER4, writer.maps.over4.len() + 1, writer.sizes.over4)?;
                *self.beyond4.entry(bucket).or_default() += 1;
                writer.admit(filter4(address));
                writer.write(Op::Over4Set(address, end));
            }
        }
        Ok(())
    }

    fn take4(&mut self, writer: &mut Writer<'_>, address: u32) {
        let bucket = writer.maps.number4(address);
        match find4(writer.maps, address) {
            Place::Slot(slot) => {
                let word = if self.beyond4.contains_key(&bucket) {
                    word4(address, LIFTED)
                } else {
                    0
                };
                writer.write(Op::Ban4Set { bucket, slot, word });
            }
            Place::Over => {
                writer.write(Op::Over4Remove(address));
                if down(&mut self.beyond4, bucket) == 0 {
                    for (slot, word) in (0..).zip(words4(writer.maps, bucket)) {
                        if end4(word) == LIFTED {
                            writer.write(Op::Ban4Set { bucket, slot, word: 0 });
                        }
                    }
                }
            }
            Place::Free(_) | Place::Full => {}
        }
    }

    fn put_exact(&mut self, writer: &mut Writer<'_>, address: [u8; 16], end: u32) -> Result<(), DoesNotFit> {
        let net = net_of(address);
        let new = !writer.maps.exact6.contains_key(&address);
        let marked = self.mark(net) != 0;
        if new {
            within(EXACT6, writer.maps.exact6.len() + 1, writer.sizes.exact6)?;
        }
        if !marked && matches!(find6(writer.maps, net), Place::Full) {
            within(OVER6, writer.maps.over6.len() + 1, writer.sizes.over6)?;
        }
        writer.write(Op::Exact6Set(address, end));
        if new {
            *self.exact.entry(net).or_default() += 1;
        }
        if !marked {
            let until = self.get(Single::Net6(net)).unwrap_or_default().end();
            self.put6(writer, net, u64::from(until) | EXACT)?;
        }
        Ok(())
    }

    /// Brings the state of a /64 in line with what is known of it, after something of it went.
    fn restate6(&mut self, writer: &mut Writer<'_>, net: u64) {
        let until = self.get(Single::Net6(net)).unwrap_or_default().end();
        let state = u64::from(until) | self.mark(net);
        let bucket = writer.maps.number6(net);
        match find6(writer.maps, net) {
            Place::Slot(slot) => {
                let gone = if self.beyond6.contains_key(&bucket) {
                    u64::from(LIFTED)
                } else {
                    0
                };
                let state = if state == 0 { gone } else { state };
                writer.write(Op::Ban6Set {
                    bucket,
                    slot,
                    net,
                    state,
                });
            }
            Place::Over if state != 0 => writer.write(Op::Over6Set(net, state)),
            Place::Over => {
                writer.write(Op::Over6Remove(net));
                if down(&mut self.beyond6, bucket) == 0 {
                    for (slot, (net, state)) in (0..).zip(states6(writer.maps, bucket)) {
                        if state == u64::from(LIFTED) {
                            writer.write(Op::Ban6Set {
                                bucket,
                                slot,
                                net,
                                state: 0,
                            });
                        }
                    }
                }
            }
            Place::Free(_) | Place::Full => {}
        }
    }

    fn put6(&mut self, writer: &mut Writer<'_>, net: u64, state: u64) -> Result<(), DoesNotFit> {
        let bucket = writer.maps.number6(net);
        let place = find6(writer.maps, net);
        if matches!(place, Place::Full) {
            within(OVER6, writer.maps.over6.len() + 1, writer.sizes.over6)?;
            *self.beyond6.entry(bucket).or_default() += 1;
        }
        writer.admit(filter6(net));
        match place {
            Place::Slot(slot) => writer.write(Op::Ban6Set {
                bucket,
                slot,
                net,
                state,
            }),
            Place::Free(slot) => {
                let (old, over) = states6(writer.maps, bucket)[usize::from(slot)];
                if over > u64::from(LIFTED) {
                    self.forget(Single::Net6(old));
                }
                writer.write(Op::Ban6Set {
                    bucket,
                    slot,
                    net,
                    state,
                });
            }
            Place::Over | Place::Full => writer.write(Op::Over6Set(net, state)),
        }
        Ok(())
    }

    fn mark(&self, net: u64) -> u64 {
        if self.exact.contains_key(&net) { EXACT } else { 0 }
    }
}

const OVER4: &str = "IPv4 bans beyond full buckets";
const OVER6: &str = "IPv6 /64 bans beyond full buckets";
const EXACT6: &str = "bans of single IPv6 addresses";

fn within(what: &'static str, needed: usize, size: u32) -> Result<(), DoesNotFit> {
    super::sizes::within(what, needed, size, "limits.headroom")
}

/// How many of those that want a place in these buckets find none.
fn beyond(mut buckets: Vec<u32>, frees: impl Fn(u32) -> usize) -> usize {
    buckets.sort_unstable();
    let wanted = buckets.chunk_by(|a, b| a == b);
    wanted.map(|same| same.len().saturating_sub(frees(same[0]))).sum()
}

/// Counts one less; 0 when it was the last.
fn down<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, u32>, key: K) -> u32 {
    let left = counts.get(&key).map_or(0, |count| count - 1);
    if left == 0 {
        counts.remove(&key);
    } else {
        counts.insert(key, left);
    }
    left
}

/// Whether a source has a place that nobody else may take.
fn standing(place: Place, free: impl Fn(u8) -> bool) -> bool {
    match place {
        Place::Slot(slot) => !free(slot),
        Place::Over => true,
        Place::Free(_) | Place::Full => false,
    }
}

fn find4(maps: &Maps, address: u32) -> Place {
    let mut free = None;
    for (slot, word) in (0..).zip(words4(maps, maps.number4(address))) {
        if word != 0 && address4(word) == address {
            return Place::Slot(slot);
        }
        if free.is_none() && end4(word) <= maps.now.max(LIFTED) {
            free = Some(slot);
        }
    }
    if maps.over4.contains_key(&address) {
        return Place::Over;
    }
    free.map_or(Place::Full, Place::Free)
}

fn words4(maps: &Maps, bucket: u32) -> [u64; 8] {
    let bucket = maps.bans4.get(bucket as usize);
    bucket.map_or([0; 8], |bucket| bucket.words.each_ref().map(|word| word.load(Relaxed)))
}

fn frees4(maps: &Maps, bucket: u32) -> usize {
    let over = |word: &u64| end4(*word) <= maps.now.max(LIFTED);
    words4(maps, bucket).iter().filter(|word| over(word)).count()
}

fn free4(maps: &Maps, address: u32, slot: u8) -> bool {
    end4(words4(maps, maps.number4(address))[usize::from(slot)]) <= maps.now.max(LIFTED)
}

fn find6(maps: &Maps, net: u64) -> Place {
    let mut free = None;
    for (slot, (other, state)) in (0..).zip(states6(maps, maps.number6(net))) {
        if state != 0 && other == net {
            return Place::Slot(slot);
        }
        if free.is_none() && idle6(state, maps.now) {
            free = Some(slot);
        }
    }
    if maps.over6.contains_key(&net) {
        return Place::Over;
    }
    free.map_or(Place::Full, Place::Free)
}

fn states6(maps: &Maps, bucket: u32) -> [(u64, u64); 4] {
    let bucket = maps.bans6.get(bucket as usize);
    bucket.map_or([(0, 0); 4], |bucket| {
        bucket
            .bans
            .each_ref()
            .map(|ban| (ban.net.load(Relaxed), ban.state.load(Relaxed)))
    })
}

fn frees6(maps: &Maps, bucket: u32) -> usize {
    let idle = |(_, state): &&(u64, u64)| idle6(*state, maps.now);
    states6(maps, bucket).iter().filter(idle).count()
}

fn free6(maps: &Maps, net: u64, slot: u8) -> bool {
    idle6(states6(maps, maps.number6(net))[usize::from(slot)].1, maps.now)
}

/// Whether the place may be given away: no mark for single addresses, and no ban that is not over.
fn idle6(state: u64, now: u32) -> bool {
    state <= u64::from(now.max(LIFTED))
}

fn net_of([a, b, c, d, e, f, g, h, ..]: [u8; 16]) -> u64 {
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[allow(clippy::cast_possible_truncation, reason = "shifted to 32 bits")]
const fn address4(word: u64) -> u32 {
    (word >> 32) as u32
}

#[allow(clippy::cast_possible_truncation, reason = "the low half")]
const fn end4(word: u64) -> u32 {
    word as u32
}
