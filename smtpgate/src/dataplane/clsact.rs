//! tc without links, for kernels before 6.6: a filter of the clsact qdisc of an interface.
//!
//! A replaced filter keeps its priority and handle, and the kernel swaps it under RCU (`cls_bpf_change`): each packet
//! meets the old program or the new one. It is found again by its program, which is pinned in one of our generations.

use std::ffi::CStr;

use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact};
use aya::programs::{Link as _, SchedClassifier, TcAttachType};
use netlink_packet_core::NlasIterator;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcHandle as Handle, TcMessage};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::error::{Error, because, errno};
use super::netlink::Netlink;

// linux/rtnetlink.h, linux/pkt_cls.h.
const RTM_NEWQDISC: u16 = 36;
const RTM_NEWTFILTER: u16 = 44;
const TC_HEADER: usize = 20;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_ID: u16 = 11;

/// A BPF filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    /// Its program's id.
    pub(super) program: u32,
    priority: u16,
    handle: u32,
}

/// BPF filters on the ingress side.
pub(super) fn filters(index: u32) -> Result<Vec<Filter>, Error> {
    Ok(dump_filters(index, Handle::MIN_INGRESS)?
        .iter()
        .filter_map(|payload| filter(payload))
        .collect())
}

/// Adds a filter before all others, and the qdisc if it is not there.
pub(super) fn attach(program: &mut SchedClassifier, interface: &str) -> Result<(), String> {
    match qdisc_add_clsact(interface) {
        Ok(()) => {}
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
        Err(error) => {
            return Err(format!(
                "the clsact qdisc cannot be added ({}); is the kernel module sch_ingress there?",
                because(&error)
            ));
        }
    }
    let options = TcAttachOptions::Netlink(NlOptions::default());
    let link = program
        .attach_with_options(interface, TcAttachType::Ingress, options)
        .and_then(|id| program.take_link(id))
        .map_err(|error| because(&error))?;
    // Dropped, it would remove the filter.
    std::mem::forget(link);
    Ok(())
}

/// Puts `program` in the place of a filter's.
pub(super) fn replace(program: &mut SchedClassifier, interface: &str, filter: Filter) -> Result<(), String> {
    let link = link(interface, filter)?;
    let link = program
        .attach_to_link(link)
        .and_then(|id| program.take_link(id))
        .map_err(|error| because(&error))?;
    std::mem::forget(link);
    Ok(())
}

/// Removes a filter.
pub(super) fn detach(interface: &str, filter: Filter) -> Result<(), String> {
    link(interface, filter)?.detach().or_else(|error| match errno(&error) {
        Some(libc::ENOENT | libc::ENODEV | libc::EINVAL) => Ok(()),
        _ => Err(because(&error)),
    })
}

fn link(interface: &str, filter: Filter) -> Result<SchedClassifierLink, String> {
    let handle = TcHandle::from(filter.handle);
    SchedClassifierLink::attached(interface, TcAttachType::Ingress, filter.priority, handle, None)
        .map_err(|error| because(&error))
}

/// Whether the interface has a clsact qdisc.
pub(super) fn qdisc(index: u32) -> Result<bool, Error> {
    let mut netlink = Netlink::open(NETLINK_ROUTE).map_err(Error::netlink("open a socket"))?;
    let answers = netlink
        .dump(RouteNetlinkMessage::GetQueueDiscipline(of(index)))
        .map_err(Error::netlink("list the qdiscs"))?;
    Ok(answers.iter().any(|answer| {
        answer.kind == RTM_NEWQDISC
            && header(&answer.payload).is_some_and(|(found, ..)| found == index)
            && kind_is(&answer.payload, c"clsact")
    }))
}

/// Removes the clsact qdisc if no filter hangs on it; true when it did.
pub(super) fn remove_empty_qdisc(index: u32) -> Result<bool, Error> {
    if !qdisc(index)? {
        return Ok(false);
    }
    for side in [Handle::MIN_INGRESS, Handle::MIN_EGRESS] {
        if !dump_filters(index, side)?.is_empty() {
            return Ok(false);
        }
    }
    let mut message = of(index);
    message.header.handle = Handle {
        major: u16::MAX,
        minor: 0,
    };
    message.header.parent = Handle::CLSACT;
    let mut netlink = Netlink::open(NETLINK_ROUTE).map_err(Error::netlink("open a socket"))?;
    netlink
        .act(RouteNetlinkMessage::DelQueueDiscipline(message))
        .map_err(Error::netlink("remove the clsact qdisc"))?;
    Ok(true)
}

fn of(index: u32) -> TcMessage {
    TcMessage::with_index(i32::try_from(index).unwrap_or(i32::MAX))
}

/// Filters of any kind on one side, as the kernel wrote them.
fn dump_filters(index: u32, side: u16) -> Result<Vec<Vec<u8>>, Error> {
    let mut netlink = Netlink::open(NETLINK_ROUTE).map_err(Error::netlink("open a socket"))?;
    let mut message = of(index);
    message.header.parent = Handle {
        major: u16::MAX,
        minor: side,
    };
    match netlink.dump(RouteNetlinkMessage::GetTrafficFilter(message)) {
        Ok(answers) => Ok(answers
            .into_iter()
            .filter(|answer| answer.kind == RTM_NEWTFILTER)
            .map(|answer| answer.payload)
            // A chain's head has no handle; only filters do.
            .filter(|payload| header(payload).is_some_and(|(found, handle, _)| found == index && handle != 0))
            .collect()),
        // No such qdisc, or no such interface any more.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENODEV | libc::ENOENT)) => {
            Ok(Vec::new())
        }
        Err(source) => Err(Error::netlink("list the tc filters")(source)),
    }
}

/// `struct tcmsg`: family and padding, ifindex, handle, parent, info.
fn header(payload: &[u8]) -> Option<(u32, u32, u32)> {
    let word = |at: usize| payload.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word));
    Some((word(4)?, word(8)?, word(16)?))
}

fn attribute(payload: &[u8], kind: u16) -> Option<Vec<u8>> {
    NlasIterator::new(payload)
        .map_while(Result::ok)
        .find(|found| found.kind() == kind)
        .map(|found| found.value().to_vec())
}

fn kind_is(payload: &[u8], kind: &CStr) -> bool {
    let attributes = payload.get(TC_HEADER..).unwrap_or_default();
    attribute(attributes, TCA_KIND).is_some_and(|found| found == kind.to_bytes_with_nul())
}

fn filter(payload: &[u8]) -> Option<Filter> {
    if !kind_is(payload, c"bpf") {
        return None;
    }
    let (_, handle, info) = header(payload)?;
    let options = attribute(payload.get(TC_HEADER..)?, TCA_OPTIONS)?;
    let program = attribute(&options, TCA_BPF_ID)?;
    Some(Filter {
        program: u32::from_ne_bytes(*program.first_chunk()?),
        // The low half is the protocol.
        priority: u16::try_from(info >> 16).ok()?,
        handle,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let len = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [len.to_ne_bytes().as_slice(), &kind.to_ne_bytes(), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn dataplane_clsact_reads_bpf_filters() {
        let header = [0u32, 7, 1, 0xffff_fff2, 49_152 << 16 | 0x0300]
            .map(u32::to_ne_bytes)
            .concat();
        let options = attribute(TCA_BPF_ID, &42u32.to_ne_bytes());
        let of_kind = |kind: &[u8]| {
            [
                header.clone(),
                attribute(TCA_KIND, kind),
                attribute(TCA_OPTIONS, &options),
            ]
            .concat()
        };
        let expected = Filter {
            program: 42,
            priority: 49_152,
            handle: 1,
        };
        assert_eq!(filter(&of_kind(b"bpf\0")), Some(expected));
        assert_eq!(filter(&of_kind(b"u32\0")), None);
        assert_eq!(filter(&header), None);
    }
}
