//! The bridge of a node, and whom the pods on it reach across it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::error::LabError;
use crate::host::{Host, INNER_INTERFACE, hardware_address, interface_index, neighbour_route};
use crate::rtnetlink::{HardwareAddress, Rtnetlink};
use crate::scene::{Families, Scene};

/// What the bridge is called.
pub const NAME: &str = "cbr0";

/// How many neighbours the pods of a lab may look up by themselves. The kernel's table of neighbours is one for all
/// namespaces, holds 1024 of a family, and its limit cannot be set from inside: when it is full, nobody finds
/// anybody. Those that are set for good do not count.
const LOOKED_UP_MAX: usize = 400;

/// Makes the bridge of a node, and it the gateway of all pods on it.
pub fn add(host: &mut Host, families: Families) -> Result<u32, LabError> {
    let hardware = hardware_address(host.addresses.first().copied().unwrap_or(IpAddr::from([0; 4])));
    host.rtnetlink.add_bridge(NAME, hardware)?;
    let bridge = host.namespace.enter(|| interface_index(NAME))??;
    host.rtnetlink.set_up(NAME)?;
    for gateway in host.add_gateways(bridge, families)? {
        host.rtnetlink.wait_until_local(gateway, bridge)?;
    }
    Ok(bridge)
}

/// Whom a pod reaches without its gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// What it looks for on its link.
    networks: BTreeSet<IpNet>,
    /// Whom it need not look for.
    known: BTreeMap<IpAddr, HardwareAddress>,
}

/// The neighbours of each node's pods.
pub fn neighbours(scene: &Scene) -> BTreeMap<Arc<str>, Neighbours> {
    let mut found: BTreeMap<Arc<str>, Neighbours> = BTreeMap::new();
    for (node, networks) in &scene.pod_networks {
        found.insert(node.clone(), Neighbours::on(networks.clone()));
    }
    for place in scene.pods.values().filter(|place| place.interface.is_some()) {
        let hardware = place.addresses.first().map(|address| hardware_address(*address));
        let known = &mut found.entry(place.node.clone()).or_default().known;
        known.extend(place.addresses.iter().copied().zip(hardware.into_iter().cycle()));
    }
    let pairs: usize = found.values().map(|neighbours| neighbours.known.len().pow(2)).sum();
    if pairs <= LOOKED_UP_MAX {
        found.values_mut().for_each(|neighbours| neighbours.known.clear());
    }
    found
}

impl Neighbours {
    /// Neighbours that are looked for on these networks.
    pub fn on(networks: BTreeSet<IpNet>) -> Self {
        Self { networks, known: BTreeMap::new() }
    }

    /// Changes a pod's neighbours, in its namespace. Whoever is gone may stay known: a host that has its address
    /// again has its hardware address too.
    pub fn change_to(&mut self, wanted: &Neighbours, addresses: &[IpAddr]) -> Result<(), LabError> {
        if self == wanted {
            return Ok(());
        }
        let mut rtnetlink = Rtnetlink::open()?;
        let interface = interface_index(INNER_INTERFACE)?;
        let route = |network: &IpNet| neighbour_route(addresses, *network, interface);
        for route in wanted.networks.difference(&self.networks).filter_map(route) {
            rtnetlink.add_route(&route)?;
        }
        for route in self.networks.difference(&wanted.networks).filter_map(route) {
            rtnetlink.delete_route(&route)?;
        }
        for (address, hardware) in &wanted.known {
            if self.known.get(address) != Some(hardware) && !addresses.contains(address) {
                rtnetlink.add_neighbour(interface, *address, *hardware)?;
            }
        }
        self.clone_from(wanted);
        Ok(())
    }
}
