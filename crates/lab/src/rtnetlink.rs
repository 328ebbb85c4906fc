//! Links, addresses and routes: one request, one acknowledgement.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage, State,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use crate::error::LabError;
use crate::namespace::NetworkNamespace;

/// How long a link may take to come up, and how often to look.
const READY_PATIENCE: Duration = Duration::from_secs(10);
const READY_PAUSE: Duration = Duration::from_millis(1);

/// The address of a gateway that is one hop away on every link. The same on all links, as the ptp plugin and
/// others do it: a pod then needs no subnet.
pub fn gateway(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::from([169, 254, 1, 1]),
        IpAddr::V6(_) => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1]),
    }
}

/// One end of a veth pair.
pub struct VethEnd<'a> {
    /// The interface's name.
    pub name: &'a str,
    /// Where it is.
    pub namespace: &'a NetworkNamespace,
    /// Its hardware address; `None` for a random one.
    pub hardware: Option<HardwareAddress>,
}

/// An Ethernet address.
pub type HardwareAddress = [u8; 6];

/// A route to a host or a network, or the default route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The destination; `None` for the default route.
    pub to: Option<IpNet>,
    /// The next hop; `None` when the destination is on the link.
    pub via: Option<IpAddr>,
    /// The interface.
    pub interface: u32,
    /// The source address that this host prefers.
    pub source: Option<IpAddr>,
}

/// A netlink socket in one namespace.
pub struct Rtnetlink {
    socket: Socket,
    sequence: u32,
}

impl Rtnetlink {
    /// A socket in the namespace that this thread is in.
    pub fn open() -> Result<Self, LabError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok::<_, std::io::Error>(socket)
        };
        let socket = open().map_err(|error| LabError::machine("cannot open a netlink socket", error))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Makes a veth pair with each end where it belongs.
    pub fn add_veth(&mut self, one: &VethEnd<'_>, other: &VethEnd<'_>) -> Result<(), LabError> {
        let mut message = end_message(one);
        let peer = InfoData::Veth(InfoVeth::Peer(end_message(other)));
        message
            .attributes
            .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(peer)]));
        self.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL, || {
            format!("cannot make the link {} - {}", one.name, other.name)
        })
    }

    /// Makes a bridge. It is given a hardware address: one that is left alone takes the lowest of its ports', and
    /// changes it as they come and go, behind the back of all who have looked it up.
    pub fn add_bridge(&mut self, name: &str, hardware: HardwareAddress) -> Result<(), LabError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.push(LinkAttribute::Address(hardware.to_vec()));
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
        self.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL, || {
            format!("cannot make the bridge {name}")
        })
    }

    /// Makes an interface a port of a bridge, which sends a pod's packets back to it where it means itself.
    pub fn add_port(&mut self, name: &str, bridge: u32) -> Result<(), LabError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.push(LinkAttribute::Controller(bridge));
        let failed = || format!("cannot make {name} a port of the bridge");
        self.request(RouteNetlinkMessage::SetLink(message), 0, failed)?;
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(true)])),
        ]));
        // The kernel takes the settings of a port only with a request that may make a link.
        self.request(RouteNetlinkMessage::NewLink(message), 0, failed)
    }

    /// Tells an interface for good where a neighbour is.
    pub fn add_neighbour(
        &mut self,
        interface: u32,
        address: IpAddr,
        hardware: HardwareAddress,
    ) -> Result<(), LabError> {
        let mut message = NeighbourMessage::default();
        message.header.family = family(address);
        message.header.ifindex = interface;
        message.header.state = NeighbourState::Permanent;
        let destination = match address {
            IpAddr::V4(address) => NeighbourAddress::Inet(address),
            IpAddr::V6(address) => NeighbourAddress::Inet6(address),
        };
        message.attributes.push(NeighbourAttribute::Destination(destination));
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(hardware.to_vec()));
        self.request(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE, || {
            format!("cannot add the neighbour {address}")
        })
    }

    /// Removes an interface, and with it the other end and all its routes.
    pub fn delete_link(&mut self, name: &str) -> Result<(), LabError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.request(RouteNetlinkMessage::DelLink(message), 0, || format!("cannot remove the link {name}"))
    }

    /// Sets an interface up.
    pub fn set_up(&mut self, name: &str) -> Result<(), LabError> {
        let mut message = LinkMessage::default();
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.request(RouteNetlinkMessage::SetLink(message), 0, || format!("cannot set the link {name} up"))
    }

    /// Waits until an interface passes packets. An interface that is set up before its other end is not ready when
    /// the kernel says so: it drops what it is given until the kernel's link watch has run, which waits in line
    /// with everything else that changes links, namespaces of other labs included. To ask hurries newer kernels.
    pub fn wait_until_ready(&mut self, name: &str) -> Result<(), LabError> {
        let request = || {
            let mut message = LinkMessage::default();
            message.attributes.push(LinkAttribute::IfName(name.to_owned()));
            RouteNetlinkMessage::GetLink(message)
        };
        let is_up = |answer: &RouteNetlinkMessage| {
            let RouteNetlinkMessage::NewLink(link) = answer else { return false };
            link.attributes.contains(&LinkAttribute::OperState(State::Up))
        };
        self.wait_for(request, is_up, &format!("the link {name} does not come up"))
    }

    /// Waits until an address is ours to the router of packets. The kernel acknowledges an address of IPv6 and
    /// makes its route later, even when it does not look for duplicates.
    pub fn wait_until_local(&mut self, address: IpAddr, interface: u32) -> Result<(), LabError> {
        let request = || {
            let route = Route { to: Some(address.into()), via: None, interface, source: None };
            let mut message = route_message(&route);
            (message.header.scope, message.header.kind) = (RouteScope::Universe, RouteType::Unspec);
            (message.header.protocol, message.header.table) =
                (RouteProtocol::Unspec, RouteHeader::RT_TABLE_UNSPEC);
            RouteNetlinkMessage::GetRoute(message)
        };
        let is_local = |answer: &RouteNetlinkMessage| matches!(answer, RouteNetlinkMessage::NewRoute(route) if route.header.kind == RouteType::Local);
        self.wait_for(request, is_local, &format!("the address {address} does not come up"))
    }

    /// Asks until the answer is right. That there is no answer yet may be said by an error.
    fn wait_for(
        &mut self,
        request: impl Fn() -> RouteNetlinkMessage,
        is_right: impl Fn(&RouteNetlinkMessage) -> bool,
        failure: &str,
    ) -> Result<(), LabError> {
        let started = Instant::now();
        loop {
            let answer = self.exchange(request(), 0, || failure.to_owned());
            match answer {
                Ok(Some(answer)) if is_right(&answer) => return Ok(()),
                Err(error) if started.elapsed() > READY_PATIENCE => return Err(error),
                _ if started.elapsed() > READY_PATIENCE => {
                    return Err(LabError::machine(failure, "given up"));
                }
                _ => std::thread::sleep(READY_PAUSE),
            }
        }
    }

    /// Gives an interface an address of its own, without a subnet. `link_scope` keeps the kernel from choosing it
    /// as a source address for anything that leaves the link.
    pub fn add_address(&mut self, interface: u32, address: IpAddr, link_scope: bool) -> Result<(), LabError> {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = bits(address);
        message.header.index = interface;
        if link_scope {
            message.header.scope = AddressScope::Link;
        }
        message.attributes.push(AddressAttribute::Address(address));
        match address {
            // IPv4 takes `Address` for the far end of a point-to-point link.
            IpAddr::V4(_) => message.attributes.push(AddressAttribute::Local(address)),
            IpAddr::V6(_) => message.header.flags = AddressHeaderFlags::Nodad,
        }
        self.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE, || {
            format!("cannot add the address {address}")
        })
    }

    /// Adds a route, or replaces the one to the same destination.
    pub fn add_route(&mut self, route: &Route) -> Result<(), LabError> {
        let message = route_message(route);
        self.request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE, || {
            format!("cannot add a route to {}", RouteName(route))
        })
    }

    /// Removes a route.
    pub fn delete_route(&mut self, route: &Route) -> Result<(), LabError> {
        let message = route_message(route);
        self.request(RouteNetlinkMessage::DelRoute(message), 0, || {
            format!("cannot remove the route to {}", RouteName(route))
        })
    }

    fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        operation: impl Fn() -> String,
    ) -> Result<(), LabError> {
        self.exchange(message, NLM_F_ACK | flags, operation).map(|_| ())
    }

    /// Sends a request and takes its answer: a message, or `None` for the bare acknowledgement.
    fn exchange(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        operation: impl Fn() -> String,
    ) -> Result<Option<RouteNetlinkMessage>, LabError> {
        self.sequence += 1;
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        request.header.sequence_number = self.sequence;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        let failed = |error: &dyn std::fmt::Display| LabError::machine(operation(), error);
        self.socket.send(&bytes, 0).map_err(|error| failed(&error))?;
        loop {
            let (answer, _) = self.socket.recv_from_full().map_err(|error| failed(&error))?;
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
                .map_err(|error| failed(&error))?;
            if answer.header.sequence_number != self.sequence {
                continue;
            }
            return match answer.payload {
                NetlinkPayload::Error(error) if error.code.is_some() => Err(failed(&error.to_io())),
                NetlinkPayload::InnerMessage(message) => Ok(Some(message)),
                _ => Ok(None),
            };
        }
    }
}

fn end_message(end: &VethEnd<'_>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(end.name.to_owned()));
    message.attributes.push(LinkAttribute::NetNsFd(end.namespace.number()));
    message.attributes.extend(end.hardware.map(|address| LinkAttribute::Address(address.to_vec())));
    message
}

fn route_message(route: &Route) -> RouteMessage {
    let reference = route.to.map(|to| to.addr()).or(route.via).expect("a default route has a next hop");
    let mut message = RouteMessage::default();
    message.header.address_family = family(reference);
    message.header.destination_prefix_length = route.to.map_or(0, |to| to.prefix_len());
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = if route.via.is_some() { RouteScope::Universe } else { RouteScope::Link };
    message.header.kind = RouteType::Unicast;
    if let Some(to) = route.to {
        message.attributes.push(RouteAttribute::Destination(route_address(to.addr())));
    }
    if let Some(via) = route.via {
        // The next hop has no subnet on the link; the kernel is told that it is there all the same.
        message.header.flags |= RouteFlags::Onlink;
        message.attributes.push(RouteAttribute::Gateway(route_address(via)));
    }
    if let Some(source) = route.source {
        message.attributes.push(RouteAttribute::PrefSource(route_address(source)));
    }
    message.attributes.push(RouteAttribute::Oif(route.interface));
    message
}

struct RouteName<'a>(&'a Route);

impl std::fmt::Display for RouteName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.to {
            Some(network) => write!(f, "{network}"),
            None => f.write_str("everywhere"),
        }
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn route_address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}
