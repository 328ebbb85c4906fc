//! What rtnetlink told us of this host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use podwall_ruleset::HardwareAddress;

/// A link, as policy cares about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name, as the kernel has it.
    pub name: String,
    /// What it is.
    pub kind: LinkKind,
    /// The bridge, bond or VRF that it is a part of.
    pub master: Option<u32>,
    /// Its hardware address, if it is an Ethernet link.
    pub hardware_address: Option<HardwareAddress>,
    /// The number by which this namespace knows the one that the other side is in; `None` when that is this one.
    pub namespace: Option<i32>,
    /// The index of the other side, in its namespace.
    pub peer: Option<u32>,
    /// True when it was set up.
    pub up: bool,
}

impl Link {
    /// Where the other side can be looked at: its namespace and its index there.
    pub fn far_side(&self) -> Option<(i32, u32)> {
        if self.kind == LinkKind::Veth { self.namespace.zip(self.peer) } else { None }
    }

    /// True when what was at an index is not there any more, and another link is. The rest may change.
    fn is_another(&self, then: &Link) -> bool {
        (self.kind, self.hardware_address, self.peer) != (then.kind, then.hardware_address, then.peer)
    }
}

/// What a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// One side of a pair: veth or netkit.
    Veth,
    /// A tun or tap device: some CNIs give one to each pod.
    Tap,
    /// A bridge.
    Bridge,
    /// A dummy.
    Dummy,
    /// Hardware, the loopback interface, or another virtual kind, none of which is one pod's.
    Other,
}

/// A route to one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostRoute {
    /// The lowest is used.
    pub metric: u32,
    /// Where it leads.
    pub interface: u32,
}

/// What the far side of a veth looks like. Whoever is there may have made it so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inside {
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Its hardware address.
    pub hardware_address: Option<HardwareAddress>,
}

/// The order to look at the far side of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Look {
    /// The link, on this side.
    pub interface: u32,
    /// Which look: it is in the answer, and tells a fresh answer from an old one.
    pub number: u64,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// A link is there, in this version.
    Link(u32, Link),
    /// A link is gone, and with it all that was on it.
    LinkGone(u32),
    /// A route to one address; `replaces` those of its metric.
    Route {
        /// The address.
        to: IpAddr,
        /// The route.
        route: HostRoute,
        /// True when it took another's place, of which the kernel says no more.
        replaces: bool,
    },
    /// A route to one address is gone.
    RouteGone(IpAddr, HostRoute),
    /// The host has an address on an interface.
    Address(u32, IpNet),
    /// It has it no more.
    AddressGone(u32, IpNet),
    /// What was found on the far side; `None` when it could not be seen.
    Inside(Look, Option<Inside>),
    /// Everything, but for the far sides: the table is to be as this.
    All(Box<Snapshot>),
}

/// Everything that the kernel lists of this side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The links, by index.
    pub links: BTreeMap<u32, Link>,
    /// The routes to one address.
    pub routes: BTreeMap<IpAddr, BTreeSet<HostRoute>>,
    /// The addresses of this host, and on which interface each is, with which prefix length.
    pub addresses: BTreeMap<IpAddr, BTreeSet<(u32, u8)>>,
}

/// The table, and what changed in it since it was last asked.
#[derive(Debug, Default)]
pub struct Links {
    now: Snapshot,
    /// The number of the last look at each link, and what was seen.
    inside: BTreeMap<u32, (u64, Inside)>,
    /// Which links carry an address on their far side.
    carriers: BTreeMap<IpAddr, BTreeSet<u32>>,
    changes: Changes,
}

/// What changed in the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Indexes whose link went. There may be another link at the index by now.
    pub gone: BTreeSet<u32>,
    /// Links that came or changed.
    pub links: BTreeSet<u32>,
    /// Those that came, or became another kind.
    pub came: BTreeSet<u32>,
    /// Addresses whose routes changed.
    pub routes: BTreeSet<IpAddr>,
    /// True when a far side was looked at.
    pub looked: bool,
}

impl Links {
    /// Takes in one update.
    pub fn apply(&mut self, update: Update) {
        match update {
            Update::Link(index, link) => self.set_link(index, link),
            Update::LinkGone(index) => self.remove_link(index),
            Update::Route { to, route, replaces } => self.set_route(to, route, replaces),
            Update::RouteGone(to, route) => self.retain_routes(to, |it| *it != route),
            Update::Address(index, address) => {
                let place = (index, address.prefix_len());
                self.now.addresses.entry(address.addr()).or_default().insert(place);
            }
            Update::AddressGone(index, address) => {
                let place = (index, address.prefix_len());
                self.retain_addresses(|it, at| *it != address.addr() || *at != place);
            }
            Update::Inside(look, inside) => self.set_inside(look, inside.unwrap_or_default()),
            Update::All(snapshot) => self.replace(*snapshot),
        }
    }

    /// A link.
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.now.links.get(&index)
    }

    /// All links.
    pub fn links(&self) -> impl Iterator<Item = (u32, &Link)> {
        self.now.links.iter().map(|(index, link)| (*index, link))
    }

    /// Where an address is routed to by a route of its own. More than one when routes are equally good.
    pub fn routed_to(&self, address: IpAddr) -> BTreeSet<u32> {
        let routes = self.now.routes.get(&address).into_iter().flatten();
        let best = routes.clone().map(|route| route.metric).min();
        routes.filter(|route| Some(route.metric) == best).map(|route| route.interface).collect()
    }

    /// The addresses with a route of their own to one of these interfaces.
    pub(super) fn routes_by(&self, interfaces: &BTreeSet<u32>) -> Vec<IpAddr> {
        let leads =
            |routes: &BTreeSet<HostRoute>| routes.iter().any(|route| interfaces.contains(&route.interface));
        self.now.routes.iter().filter(|(_, routes)| leads(routes)).map(|(to, _)| *to).collect()
    }

    /// The links whose far side has an address, as far as we have looked.
    pub fn carriers(&self, address: IpAddr) -> impl Iterator<Item = u32> {
        self.carriers.get(&address).into_iter().flatten().copied()
    }

    /// What the far side of a link looked like, and in which look.
    pub fn inside(&self, index: u32) -> Option<&(u64, Inside)> {
        self.inside.get(&index)
    }

    /// True when an address is this host's own.
    pub fn is_local(&self, address: IpAddr) -> bool {
        self.now.addresses.contains_key(&address)
    }

    /// The networks that this host has an address in, on one interface.
    pub fn networks(&self, index: u32) -> Vec<IpNet> {
        let on_link = |(address, places): (&IpAddr, &BTreeSet<(u32, u8)>)| {
            let of_index = places.iter().filter(|(on, _)| *on == index);
            let networks = of_index.filter_map(|(_, length)| IpNet::new(*address, *length).ok());
            networks.map(|network| network.trunc()).collect::<Vec<_>>()
        };
        self.now.addresses.iter().flat_map(on_link).collect()
    }

    /// What changed since this was last called.
    pub(super) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    fn set_link(&mut self, index: u32, link: Link) {
        if self.now.links.get(&index) == Some(&link) {
            return;
        }
        // The kernel says nothing of the IPv4 routes that it takes away with a link that goes down.
        if !link.up {
            self.retain_all_routes(|to, route| to.is_ipv6() || route.interface != index);
        }
        if self.now.links.get(&index).is_none_or(|known| known.kind != link.kind) {
            self.changes.came.insert(index);
        }
        self.changes.links.insert(index);
        self.now.links.insert(index, link);
    }

    fn remove_link(&mut self, index: u32) {
        if self.now.links.remove(&index).is_none() {
            return;
        }
        self.changes.gone.insert(index);
        self.changes.links.remove(&index);
        self.changes.came.remove(&index);
        self.forget_inside(index);
        self.retain_all_routes(|_, route| route.interface != index);
        self.retain_addresses(|_, (on, _)| *on != index);
    }

    fn set_route(&mut self, to: IpAddr, route: HostRoute, replaces: bool) {
        if replaces {
            self.retain_routes(to, |it| it.metric != route.metric);
        }
        if self.now.routes.entry(to).or_default().insert(route) {
            self.changes.routes.insert(to);
        }
    }

    fn retain_routes(&mut self, to: IpAddr, is_kept: impl Fn(&HostRoute) -> bool) {
        let Some(routes) = self.now.routes.get_mut(&to) else { return };
        let before = routes.len();
        routes.retain(is_kept);
        if routes.len() != before {
            self.changes.routes.insert(to);
        }
        if routes.is_empty() {
            self.now.routes.remove(&to);
        }
    }

    fn retain_all_routes(&mut self, is_kept: impl Fn(&IpAddr, &HostRoute) -> bool) {
        let concerned: Vec<IpAddr> = self
            .now
            .routes
            .iter()
            .filter(|(to, routes)| routes.iter().any(|route| !is_kept(to, route)))
            .map(|(to, _)| *to)
            .collect();
        for to in concerned {
            self.retain_routes(to, |route| is_kept(&to, route));
        }
    }

    fn retain_addresses(&mut self, is_kept: impl Fn(&IpAddr, &(u32, u8)) -> bool) {
        self.now.addresses.retain(|address, places| {
            places.retain(|place| is_kept(address, place));
            !places.is_empty()
        });
    }

    fn set_inside(&mut self, look: Look, inside: Inside) {
        self.changes.looked = true;
        self.forget_inside(look.interface);
        if !self.now.links.contains_key(&look.interface) {
            return;
        }
        for address in &inside.addresses {
            self.carriers.entry(*address).or_default().insert(look.interface);
        }
        self.inside.insert(look.interface, (look.number, inside));
    }

    fn forget_inside(&mut self, index: u32) {
        let Some((_, inside)) = self.inside.remove(&index) else { return };
        for address in inside.addresses {
            if let Some(carriers) = self.carriers.get_mut(&address) {
                carriers.remove(&index);
                if carriers.is_empty() {
                    self.carriers.remove(&address);
                }
            }
        }
    }

    /// Messages were lost, or this is the first list: what differs is a change like any other.
    fn replace(&mut self, next: Snapshot) {
        let is_gone =
            |(index, then): &(&u32, &Link)| next.links.get(index).is_none_or(|it| it.is_another(then));
        let gone: Vec<u32> = self.now.links.iter().filter(is_gone).map(|(index, _)| *index).collect();
        gone.into_iter().for_each(|index| self.remove_link(index));
        for (index, link) in next.links {
            self.set_link(index, link);
        }
        let all = self.now.routes.keys().chain(next.routes.keys());
        let differs = |to: &&IpAddr| self.now.routes.get(*to) != next.routes.get(*to);
        self.changes.routes.extend(all.filter(differs).copied().collect::<Vec<_>>());
        self.now.routes = next.routes;
        self.now.addresses = next.addresses;
    }
}
