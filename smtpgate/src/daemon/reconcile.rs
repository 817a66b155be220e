//! The kernel's maps against the policy: every minute, and on demand. What differs is put right, counted, and named.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{engine::Engine, failure::Failure, report::Reconciled};
use crate::{
    dataplane::{self, Drift},
    policy::ops::Op,
};

/// Places that are named; of more, the rest is counted.
const NAMED: usize = 100;

impl Engine {
    /// Compares the kernel's maps with what they should hold, and puts them right.
    ///
    /// # Errors
    /// When no gate is loaded, or the maps cannot be read or written.
    pub fn reconcile(&mut self) -> Result<Reconciled, Failure> {
        let Some(plane) = &mut self.plane else {
            return Err(Failure::NotEnforcing(
                "no gate is loaded, so there is nothing to compare: `smtpgate run` or `load` puts it up".to_owned(),
            ));
        };
        let Some(image) = &self.image else {
            // Only the daemon that has made the maps knows what each of their places should hold.
            self.renew()?;
            return Ok(Reconciled {
                compared: false,
                differences: 0,
                places: Vec::new(),
                drift: self.drift,
            });
        };
        let found = plane.live().read().map_err(Failure::failed)?;
        let Drift { ops, ports } = dataplane::drift(&found, image.maps());
        let differences = ops.len() as u64 + u64::from(ports);
        let mut places: Vec<String> = ops.iter().take(NAMED).map(named).collect();
        if ports {
            places.push("the gated ports".to_owned());
        }
        if differences > 0 {
            self.drift += differences;
            tracing::warn!(
                "{differences} place(s) in the kernel's maps were not as the policy has them, and are put right: {}",
                places.iter().take(5).cloned().collect::<Vec<_>>().join("; ")
            );
            if ports {
                self.renew()?;
            } else {
                self.perform(&ops)?;
            }
        }
        Ok(Reconciled {
            compared: true,
            differences,
            places,
            drift: self.drift,
        })
    }
}

/// The place that an operation mends, for people.
fn named(op: &Op) -> String {
    let network = |net: u64| Ipv6Addr::from(u128::from(net) << 64);
    match op {
        Op::Trie4Set(net, _) => format!("prefix {net}: missing, or with another answer"),
        Op::Trie6Set(net, _) => format!("prefix {net}: missing, or with another answer"),
        Op::Trie4Remove(net) => format!("prefix {net}: too much"),
        Op::Trie6Remove(net) => format!("prefix {net}: too much"),
        Op::ClassSet(class, _) => format!("front table: the answer of class {class}"),
        Op::Node4Fill(node, _) => format!("front table, IPv4: node {node}"),
        Op::Node6Fill(node, _) => format!("front table, IPv6: node {node}"),
        Op::Node4Set { node, byte, .. } => format!("front table, IPv4: node {node}, byte {byte}"),
        Op::Node6Set { node, byte, .. } => format!("front table, IPv6: node {node}, byte {byte}"),
        Op::Root4Set(first, _) => {
            let [a, b] = first.to_be_bytes();
            format!("front table: {}/16", Ipv4Addr::new(a, b, 0, 0))
        }
        Op::Root6Set(first, _) => format!("front table: {}/16", Ipv6Addr::from(u128::from(*first) << 112)),
        Op::Ban4Set { bucket, slot, .. } => format!("ban table, IPv4: line {bucket}, place {slot}"),
        Op::Over4Set(address, _) => format!("ban of {}: missing, or with another end", Ipv4Addr::from(*address)),
        Op::Over4Remove(address) => format!("ban of {}: too much", Ipv4Addr::from(*address)),
        Op::Ban6Set { bucket, slot, net, .. } => {
            format!("ban table, IPv6: line {bucket}, place {slot} ({}/64)", network(*net))
        }
        Op::Over6Set(net, _) => format!("bans of {}/64: missing, or with another end", network(*net)),
        Op::Over6Remove(net) => format!("bans of {}/64: too much", network(*net)),
        Op::Exact6Set(address, _) => format!("ban of {}: missing, or with another end", Ipv6Addr::from(*address)),
        Op::Exact6Remove(address) => format!("ban of {}: too much", Ipv6Addr::from(*address)),
        Op::FilterSet(word, _) => format!("the filter before the ban tables: word {word}"),
        Op::Observe(_) => "which gates only observe".to_owned(),
    }
}
