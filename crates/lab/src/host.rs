//! A namespace that others are linked to, and how it is linked to them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use nix::net::if_::if_nametoindex;

use crate::error::LabError;
use crate::namespace::NetworkNamespace;
use crate::rtnetlink::{HardwareAddress, Route, Rtnetlink, VethEnd, gateway};
use crate::scene::{Families, short_hash};
use crate::sysctl;

/// What a pod, a node or an outside host calls its only link.
pub const INNER_INTERFACE: &str = "eth0";
/// One address of each family, to make gateways of.
const ANY_IPV4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
const ANY_IPV6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);

/// A namespace that others are linked to.
pub struct Host {
    /// The namespace.
    pub namespace: NetworkNamespace,
    /// A socket in it.
    pub rtnetlink: Rtnetlink,
    /// Its own addresses, to prefer as source towards its links; the router has none.
    pub addresses: Vec<IpAddr>,
    /// Links that may not be ready yet.
    new_links: Vec<NewLink>,
}

/// What is made at the far end of a new link.
pub struct FarEnd<'a> {
    /// Its addresses.
    pub addresses: &'a [IpAddr],
    /// Its routes that need no gateway: its neighbours, where there are any.
    pub on_link: &'a BTreeSet<IpNet>,
    /// True when it passes packets on.
    pub forwarding: bool,
    /// The families that are set up.
    pub families: Families,
    /// The bridge that our side is a port of; `None` when our side is the gateway itself.
    pub bridge: Option<u32>,
}

/// A link that the kernel has acknowledged, and goes on making.
struct NewLink {
    name: String,
    index: u32,
    gateways: Vec<IpAddr>,
    /// A socket at the other end.
    inner: Rtnetlink,
    inner_index: u32,
    inner_addresses: Vec<IpAddr>,
}

impl Host {
    /// A host without links.
    pub fn new(namespace: NetworkNamespace, rtnetlink: Rtnetlink, addresses: Vec<IpAddr>) -> Self {
        Self { namespace, rtnetlink, addresses, new_links: Vec::new() }
    }

    /// Makes a namespace at the far end of a new link, with a default route to us and routes from us to it.
    /// Returns it with the index of our side of the link.
    pub fn attach(&mut self, link: &str, far: &FarEnd<'_>) -> Result<(NetworkNamespace, u32), LabError> {
        let namespace = NetworkNamespace::create()?;
        namespace.enter(|| sysctl::prepare(far.forwarding, far.families.ipv6))??;
        let hardware = far.addresses.first().map(|address| hardware_address(*address));
        let ours = VethEnd { name: link, namespace: &self.namespace, hardware: None };
        let theirs = VethEnd { name: INNER_INTERFACE, namespace: &namespace, hardware };
        self.rtnetlink.add_veth(&ours, &theirs)?;
        let index = self.namespace.enter(|| interface_index(link))??;
        let gateways = match far.bridge {
            Some(bridge) => self.rtnetlink.add_port(link, bridge).map(|()| Vec::new())?,
            None => self.add_gateways(index, far.families)?,
        };
        self.rtnetlink.set_up(link)?;
        let (inner, inner_index) = namespace.enter(|| set_up_inside(far))??;
        for address in far.addresses {
            let route = self.route_to(*address, far.bridge.unwrap_or(index));
            self.rtnetlink.add_route(&route)?;
        }
        let (name, inner_addresses) = (link.to_owned(), far.addresses.to_vec());
        self.new_links.push(NewLink { name, index, gateways, inner, inner_index, inner_addresses });
        Ok((namespace, index))
    }

    /// How an address on a link of ours is reached.
    pub fn route_to(&self, address: IpAddr, interface: u32) -> Route {
        let source = self.addresses.iter().copied().find(|own| own.is_ipv4() == address.is_ipv4());
        Route { to: Some(address.into()), via: None, interface, source }
    }

    /// Makes an interface of ours the gateway of whoever is behind it.
    pub fn add_gateways(&mut self, interface: u32, families: Families) -> Result<Vec<IpAddr>, LabError> {
        let families = [ANY_IPV4, ANY_IPV6].into_iter().filter(|any| families.contain(*any));
        let gateways: Vec<IpAddr> = families.map(gateway).collect();
        for gateway in &gateways {
            self.rtnetlink.add_address(interface, *gateway, true)?;
        }
        Ok(gateways)
    }

    /// Waits until all new links pass packets; returns whether there were any.
    pub fn wait_for_links(&mut self) -> Result<bool, LabError> {
        let some = !self.new_links.is_empty();
        self.new_links.drain(..).try_for_each(|link| link.wait(&mut self.rtnetlink))?;
        Ok(some)
    }
}

impl NewLink {
    fn wait(mut self, outer: &mut Rtnetlink) -> Result<(), LabError> {
        outer.wait_until_ready(&self.name)?;
        // Each end is told apart, and until then it has no IPv6.
        self.inner.wait_until_ready(INNER_INTERFACE)?;
        for gateway in self.gateways {
            outer.wait_until_local(gateway, self.index)?;
        }
        for address in self.inner_addresses {
            self.inner.wait_until_local(address, self.inner_index)?;
        }
        Ok(())
    }
}

/// The far end's side, from inside.
fn set_up_inside(far: &FarEnd<'_>) -> Result<(Rtnetlink, u32), LabError> {
    let mut rtnetlink = Rtnetlink::open()?;
    let interface = interface_index(INNER_INTERFACE)?;
    rtnetlink.set_up("lo")?;
    rtnetlink.set_up(INNER_INTERFACE)?;
    let mut routed = BTreeSet::new();
    for address in far.addresses {
        rtnetlink.add_address(interface, *address, false)?;
        // The first address of a family is the one to be seen by.
        if routed.insert(address.is_ipv4()) {
            let via = gateway(*address);
            if via.is_ipv4() {
                rtnetlink.add_route(&Route { to: Some(via.into()), via: None, interface, source: None })?;
            }
            rtnetlink.add_route(&Route { to: None, via: Some(via), interface, source: Some(*address) })?;
        }
    }
    for network in far.on_link {
        if let Some(route) = neighbour_route(far.addresses, *network, interface) {
            rtnetlink.add_route(&route)?;
        }
    }
    Ok((rtnetlink, interface))
}

/// How a host with these addresses reaches its neighbours of one network.
pub fn neighbour_route(addresses: &[IpAddr], network: IpNet, interface: u32) -> Option<Route> {
    let is_ipv4 = network.addr().is_ipv4();
    let source = addresses.iter().copied().find(|address| address.is_ipv4() == is_ipv4)?;
    Some(Route { to: Some(network), via: None, interface, source: Some(source) })
}

/// The hardware address of the host with an address: the same whenever the host is made anew, so that what its
/// neighbours remember stays true.
pub fn hardware_address(address: IpAddr) -> HardwareAddress {
    let hash = u32::from_str_radix(&short_hash(&address.to_string()), 16).unwrap_or_default();
    let [a, b, c, d] = match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(_) => hash.to_be_bytes(),
    };
    [0x0a, 0x58, a, b, c, d]
}

/// The index of an interface of the namespace that this thread is in.
pub fn interface_index(name: &str) -> Result<u32, LabError> {
    if_nametoindex(name)
        .map_err(|error| LabError::machine(format!("cannot find the interface {name}"), error))
}
