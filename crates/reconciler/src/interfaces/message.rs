//! Messages of rtnetlink, as far as we need them.
//!
//! Only what is needed is read: a reader of every attribute refuses a whole message, and with it a pod, when a newer
//! kernel changes one that is nothing to us.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NetlinkBuffer, NlaBuffer, NlasIterator};
use podwall_ruleset::HardwareAddress;

use super::links::{HostRoute, Link, LinkKind, Update};

const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;

/// `NLM_F_DUMP_INTR` of a part of a list: the list changed under it.
const INTERRUPTED: u16 = 0x10;
/// `NLM_F_REPLACE` of a route's notification.
const REPLACED: u16 = 0x100;

const AF_UNSPEC: u8 = 0;
/// `RT_TABLE_MAIN`
const MAIN_TABLE: u32 = 254;
/// `RTN_UNICAST`
const UNICAST: u8 = 1;
/// `IFF_UP`
const UP: u32 = 1;

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Something changed, or is.
    Update(Update),
    /// An address of a link in the namespace of this number.
    FarAddress(i32, IpNet),
    /// The end of a list.
    Done,
    /// An answer: an error number, or 0.
    Answer(i32),
    /// Something else.
    Other,
}

/// A message, the request that it answers, and whether the list that it belongs to changed under it.
#[derive(Debug)]
pub(super) struct Received {
    pub sequence: u32,
    pub interrupted: bool,
    pub message: Message,
}

/// All messages of a buffer. What follows a broken one cannot be found.
pub(super) fn messages(mut bytes: &[u8]) -> Vec<Received> {
    let mut found = Vec::new();
    while let Ok(buffer) = NetlinkBuffer::new_checked(bytes) {
        let length = buffer.length() as usize;
        let payload = &bytes[16..length];
        let message = read(buffer.message_type(), buffer.flags(), payload).unwrap_or(Message::Other);
        let interrupted = buffer.flags() & INTERRUPTED != 0 && !matches!(message, Message::Answer(_));
        found.push(Received { sequence: buffer.sequence_number(), interrupted, message });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn read(kind: u16, flags: u16, payload: &[u8]) -> Option<Message> {
    let update = match kind {
        DONE => return Some(Message::Done),
        ERROR => return Some(Message::Answer(i32::from_ne_bytes(bytes_at(payload, 0)?).saturating_neg())),
        NEW_LINK | DELETE_LINK => link(kind, payload)?,
        NEW_ADDRESS | DELETE_ADDRESS => return address(kind, payload),
        NEW_ROUTE | DELETE_ROUTE => route(kind, flags, payload)?,
        _ => return None,
    };
    Some(Message::Update(update))
}

/// `struct ifinfomsg`
fn link(kind: u16, payload: &[u8]) -> Option<Update> {
    // A bridge tells of its ports by messages of its own family: a port that leaves it is not gone.
    if *payload.first()? != AF_UNSPEC {
        return None;
    }
    let index = u32::from_ne_bytes(bytes_at(payload, 4)?);
    if kind == DELETE_LINK {
        return Some(Update::LinkGone(index));
    }
    let mut link = Link {
        name: String::new(),
        kind: LinkKind::Other,
        master: None,
        hardware_address: None,
        namespace: None,
        peer: None,
        up: u32::from_ne_bytes(bytes_at(payload, 8)?) & UP != 0,
    };
    for attribute in attributes(payload.get(16..)?) {
        let value = attribute.value();
        match attribute.kind() {
            1 => link.hardware_address = value.try_into().ok().map(HardwareAddress),
            3 => link.name = text(value),
            5 => link.peer = number(value),
            10 => link.master = number(value),
            18 => link.kind = link_kind(value),
            // -1 is a namespace that has no number.
            37 => link.namespace = number(value).map(u32::cast_signed).filter(|number| *number >= 0),
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(Update::Link(index, link))
}

fn link_kind(information: &[u8]) -> LinkKind {
    let kind = attributes(information).find(|attribute| attribute.kind() == 1);
    match kind.map(|attribute| text(attribute.value())).as_deref() {
        Some("veth" | "netkit") => LinkKind::Veth,
        Some("tun") => LinkKind::Tap,
        Some("bridge") => LinkKind::Bridge,
        Some("dummy") => LinkKind::Dummy,
        _ => LinkKind::Other,
    }
}

/// `struct ifaddrmsg`
fn address(kind: u16, payload: &[u8]) -> Option<Message> {
    let length = *payload.get(1)?;
    let index = u32::from_ne_bytes(bytes_at(payload, 4)?);
    let (mut far, mut own, mut namespace) = (None, None, None);
    for attribute in attributes(payload.get(8..)?) {
        match attribute.kind() {
            1 => far = ip(attribute.value()),
            2 => own = ip(attribute.value()),
            10 => namespace = number(attribute.value()).map(u32::cast_signed),
            _ => {}
        }
    }
    // Of a point-to-point link the first is the other end's.
    let address = IpNet::new(own.or(far)?, length).ok()?;
    Some(match namespace {
        Some(namespace) => Message::FarAddress(namespace, address),
        None if kind == NEW_ADDRESS => Message::Update(Update::Address(index, address)),
        None => Message::Update(Update::AddressGone(index, address)),
    })
}

/// `struct rtmsg`; only routes to one address, of the main table, to an interface.
fn route(kind: u16, flags: u16, payload: &[u8]) -> Option<Update> {
    let (length, of_type) = (*payload.get(1)?, *payload.get(7)?);
    let mut table = u32::from(*payload.get(4)?);
    let (mut to, mut interface, mut metric) = (None, None, 0);
    for attribute in attributes(payload.get(12..)?) {
        match attribute.kind() {
            1 => to = ip(attribute.value()),
            4 => interface = number(attribute.value()),
            6 => metric = number(attribute.value())?,
            15 => table = number(attribute.value())?,
            _ => {}
        }
    }
    let (to, interface) = (to?, interface?);
    let bits = if to.is_ipv4() { 32 } else { 128 };
    if length != bits || of_type != UNICAST || table != MAIN_TABLE {
        return None;
    }
    let route = HostRoute { metric, interface };
    Some(match kind {
        NEW_ROUTE => Update::Route { to, route, replaces: flags & REPLACED != 0 },
        _ => Update::RouteGone(to, route),
    })
}

fn attributes(bytes: &[u8]) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(bytes).filter_map(Result::ok)
}

fn bytes_at(payload: &[u8], at: usize) -> Option<[u8; 4]> {
    payload.get(at..at + 4)?.try_into().ok()
}

fn number(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    }
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::{Emitable, NetlinkMessage};
    use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
    use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

    fn veth_message() -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.header.flags = LinkFlags::Up;
        message.attributes = vec![
            LinkAttribute::IfName("veth7".into()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 7]),
            LinkAttribute::Link(2),
            LinkAttribute::LinkNetNsId(4),
            LinkAttribute::Controller(3),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)]),
        ];
        message
    }

    fn bytes(message: RouteNetlinkMessage) -> Vec<u8> {
        let mut message = NetlinkMessage::from(message);
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    #[test]
    fn a_link_is_read() {
        let received = messages(&bytes(RouteNetlinkMessage::NewLink(veth_message())));
        let link = Link {
            name: "veth7".into(),
            kind: LinkKind::Veth,
            master: Some(3),
            hardware_address: Some(HardwareAddress([2, 0, 0, 0, 0, 7])),
            namespace: Some(4),
            peer: Some(2),
            up: true,
        };
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].message, Message::Update(Update::Link(7, link)));
    }

    #[test]
    fn a_port_that_leaves_its_bridge_is_not_gone() {
        let mut message = veth_message();
        let gone = messages(&bytes(RouteNetlinkMessage::DelLink(message.clone())));
        assert_eq!(gone[0].message, Message::Update(Update::LinkGone(7)));
        message.header.interface_family = AddressFamily::Bridge;
        // Attributes of this family are written by other rules; the header is what counts.
        message.attributes.truncate(1);
        assert_eq!(messages(&bytes(RouteNetlinkMessage::DelLink(message)))[0].message, Message::Other);
    }

    #[test]
    fn what_is_broken_is_passed_over() {
        let whole = bytes(RouteNetlinkMessage::NewLink(veth_message()));
        for length in 0..whole.len() {
            assert!(messages(&whole[..length]).is_empty());
            let mut cut = whole[..length].to_vec();
            if length >= 16 {
                cut[..4].copy_from_slice(&(length as u32).to_ne_bytes());
                assert_eq!(messages(&cut).len(), 1);
            }
        }
        assert!(veth_message().buffer_len() > 16);
    }
}
