//! Small makers for tests.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use podwall_compiler::{Attachment, Closed};
use podwall_policy::ObjectKey;
use podwall_ruleset::{HardwareAddress, InterfaceName};

use super::finder::{Finder, LocalPod, Patience};
use super::links::{HostRoute, Inside, Link, LinkKind, Links, Update};

pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

pub fn veth(name: &str) -> Link {
    Link { kind: LinkKind::Veth, namespace: Some(1), peer: Some(2), ..hardware(name) }
}

pub fn bridge(name: &str) -> Link {
    Link { kind: LinkKind::Bridge, hardware_address: Some(HardwareAddress([9; 6])), ..hardware(name) }
}

pub fn hardware(name: &str) -> Link {
    Link {
        name: name.to_owned(),
        kind: LinkKind::Other,
        master: None,
        hardware_address: None,
        namespace: None,
        peer: None,
        up: true,
    }
}

pub fn routed(name: &str) -> Option<Attachment> {
    Some(Attachment::Routed(InterfaceName::new(name).unwrap()))
}

/// A port whose pod has the hardware address that [`Scene::inside`] gives to `number`.
pub fn port(name: &str, number: u8) -> Option<Attachment> {
    let hardware_address = Some(HardwareAddress([2, 0, 0, 0, 0, number]));
    Some(Attachment::Bridged { port: InterfaceName::new(name).unwrap(), hardware_address })
}

/// A host whose far sides are known to the test, and answered at once.
pub struct Scene {
    pub links: Links,
    pub finder: Finder,
    pub now: Instant,
    pub found: BTreeMap<ObjectKey, Option<Attachment>>,
    pub looked: usize,
    insides: BTreeMap<u32, Inside>,
}

impl Scene {
    pub fn new() -> Self {
        let patience = Patience {
            first: Duration::from_millis(10),
            longest: Duration::from_secs(1),
            grace: Duration::from_secs(10),
        };
        Self {
            links: Links::default(),
            finder: Finder::new(patience),
            now: Instant::now(),
            found: BTreeMap::new(),
            looked: 0,
            insides: BTreeMap::new(),
        }
    }

    pub fn add_veth(&mut self, index: u32, name: &str) {
        self.links.apply(Update::Link(index, veth(name)));
    }

    /// A veth that is a port of the bridge with the index 1.
    pub fn add_port(&mut self, index: u32, name: &str) {
        if self.links.link(1).is_none() {
            self.links.apply(Update::Link(1, bridge("cni0")));
        }
        self.links.apply(Update::Link(index, Link { master: Some(1), ..veth(name) }));
    }

    pub fn route(&mut self, to: &str, interface: u32) {
        let route = HostRoute { metric: 0, interface };
        self.links.apply(Update::Route { to: address(to), route, replaces: true });
    }

    pub fn unroute(&mut self, to: &str, interface: u32) {
        self.links.apply(Update::RouteGone(address(to), HostRoute { metric: 0, interface }));
    }

    /// What is seen on the far side of a link when it is next looked at.
    pub fn inside(&mut self, index: u32, addresses: &[&str]) {
        let hardware_address = Some(HardwareAddress([2, 0, 0, 0, 0, index as u8]));
        let addresses = addresses.iter().map(|it| address(it)).collect();
        self.insides.insert(index, Inside { addresses, hardware_address });
    }

    pub fn hardware_inside(&mut self, index: u32, hardware: HardwareAddress) {
        self.insides.get_mut(&index).unwrap().hardware_address = Some(hardware);
    }

    /// A pod, and what becomes of it.
    pub fn pod(&mut self, name: &str, addresses: &[&str]) {
        self.pod_of(name, "1", "", addresses);
    }

    pub fn pod_of(&mut self, name: &str, uid: &str, started: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|it| address(it)).collect();
        let pod = LocalPod { uid: uid.into(), addresses, started: started.into() };
        self.finder.set_pod(key(name), pod);
        self.settle();
    }

    pub fn remove(&mut self, name: &str) {
        self.finder.remove_pod(&key(name));
        self.settle();
    }

    pub fn delete_link(&mut self, index: u32) {
        self.links.apply(Update::LinkGone(index));
        self.insides.remove(&index);
        self.settle();
    }

    /// Lets the finder come to rest: every look is answered.
    pub fn settle(&mut self) {
        loop {
            self.finder.update(&mut self.links, self.now);
            self.found.extend(self.finder.take_changes());
            let looks = self.finder.take_looks();
            if looks.is_empty() {
                return;
            }
            for look in looks {
                self.looked += 1;
                self.links.apply(Update::Inside(look, self.insides.get(&look.interface).cloned()));
            }
        }
    }

    /// Time passes, and what is due is done.
    pub fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(next) = self.finder.next_at().filter(|next| *next <= until) {
            self.now = next.max(self.now);
            self.settle();
        }
        self.now = until;
        self.settle();
    }

    pub fn attachment(&self, name: &str) -> Option<Attachment> {
        self.found.get(&key(name)).cloned().flatten()
    }

    pub fn closed(&self) -> Closed {
        self.finder.closed(&self.links)
    }

    pub fn problems(&self) -> Vec<String> {
        self.finder.problems(&self.links).iter().map(ToString::to_string).collect()
    }
}

pub fn closed(interfaces: &[&str], addresses: &[&str]) -> Closed {
    Closed {
        interfaces: interfaces.iter().map(|it| InterfaceName::new(it).unwrap()).collect(),
        addresses: addresses.iter().map(|it| address(it)).collect(),
    }
}
