//! The rule by which a pod's interface is found.
//!
//! 1. The interface that the host routes the pod's address to. Routes are the host's, and win.
//! 2. The veth whose far side has the pod's address. A pod may lie about its far side, so this never moves an address
//!    that is bound to a living interface, and never takes an interface that is another pod's.
//!
//! All addresses of a pod must lead to one interface. Where they do not, the pod keeps what it has, and a pod that
//! has nothing gets nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;

use podwall_policy::ObjectKey;
use podwall_ruleset::HardwareAddress;

use super::finder::{Binding, Finder};
use super::links::{LinkKind, Links};
use super::problem::Trouble;

impl Finder {
    /// Decides for all that may be decided. What one pod gets or loses may decide for others.
    pub(super) fn decide_all(&mut self, links: &Links) {
        loop {
            let bound = self.bindings.len();
            let mut keys = std::mem::take(&mut self.undecided);
            keys.extend(self.waiting.iter().cloned());
            keys.iter().for_each(|key| self.decide(key, links));
            if self.undecided.is_empty() && (self.bindings.len() == bound || self.waiting.is_empty()) {
                return;
            }
        }
    }

    fn decide(&mut self, key: &ObjectKey, links: &Links) {
        let Some(entry) = self.pods.get(key) else { return };
        let current = entry.interface;
        let owned = self.owned_addresses(key);
        let routed = routed_to(&owned, links);
        let found = match routed.first() {
            Some(index) if routed.len() == 1 => self.by_route(key, *index, links),
            Some(_) => Err(Trouble::Several(routed)),
            None if current.is_some() => Ok(current),
            None if owned.is_empty() => Ok(None),
            None => self.by_far_side(key, &owned, links),
        };
        self.touch(key);
        let (found, trouble) = match found {
            Ok(found) => (found, None),
            Err(trouble) => (current, Some(trouble)),
        };
        if let Some(index) = found {
            self.bind(key, index, owned.iter().copied().collect(), links);
        }
        let waits = found.is_none() && !owned.is_empty();
        let entry = self.pods.get_mut(key).expect("looked up above");
        entry.trouble = trouble;
        if waits && entry.needs == 0 {
            entry.needs = self.round.number + 1;
        }
        if waits {
            self.waiting.insert(key.clone());
        } else {
            self.waiting.remove(key);
        }
    }

    /// The addresses that are a pod's and not a later one's (S84).
    fn owned_addresses(&self, key: &ObjectKey) -> Vec<IpAddr> {
        let claim = |key: &ObjectKey| (self.pods[key].local.started.clone(), key.clone());
        let owner = |address: &IpAddr| self.claims[address].iter().map(claim).max();
        let addresses = self.pods[key].local.addresses.iter();
        addresses.filter(|address| owner(address).is_some_and(|(_, owner)| owner == *key)).copied().collect()
    }

    /// The interface is another's only if the host routes that one's address to it as well.
    fn by_route(&self, key: &ObjectKey, index: u32, links: &Links) -> Result<Option<u32>, Trouble> {
        let other = self.bindings.get(&index).filter(|binding| !binding.orphan && binding.pod != *key);
        match other.map(|binding| &binding.pod) {
            Some(pod) if routed_to(&self.owned_addresses(pod), links).contains(&index) => {
                Err(Trouble::Shared { interface: index, pod: pod.clone() })
            }
            _ => Ok(Some(index)),
        }
    }

    fn by_far_side(&self, key: &ObjectKey, owned: &[IpAddr], links: &Links) -> Result<Option<u32>, Trouble> {
        let needs = self.pods[key].needs;
        if needs == 0 || needs > self.round.number || !self.round.open.is_empty() {
            return Err(self.pods[key].trouble.clone().unwrap_or(Trouble::Missing));
        }
        let mut found = BTreeSet::new();
        for address in owned {
            let Some(holder) = self.holders.get(address) else {
                found.extend(links.carriers(*address).filter(|index| self.may_be_taken(*index)));
                continue;
            };
            // A pod that is made again around the same containers, as mirrors of static pods are.
            let returns = self.bindings[holder].orphan && links.carriers(*address).any(|it| it == *holder);
            if !returns {
                return Err(Trouble::Held { address: *address, interface: *holder });
            }
            found.insert(*holder);
        }
        match found.first() {
            Some(index) if found.len() == 1 => Ok(Some(*index)),
            Some(_) => Err(Trouble::Several(found)),
            None => Err(Trouble::Missing),
        }
    }

    /// What a pod left behind is taken only for an address that it was held for.
    fn may_be_taken(&self, index: u32) -> bool {
        !self.bindings.contains_key(&index)
    }

    fn bind(&mut self, key: &ObjectKey, index: u32, addresses: BTreeSet<IpAddr>, links: &Links) {
        let current = self.pods[key].interface;
        if current.is_some_and(|current| current != index) {
            self.abandon(key);
        }
        let (hardware_address, hardware_taken) = match self.bindings.get(&index) {
            Some(binding) if current == Some(index) => (binding.hardware_address, binding.hardware_taken),
            _ => self.hardware(index, links),
        };
        if let Some(before) = self.unbind(index).filter(|before| before.pod != *key && !before.orphan) {
            self.undecided.insert(before.pod);
        }
        for address in &addresses {
            if let Some(before) = self.holders.insert(*address, index).filter(|before| *before != index) {
                let binding = self.bindings.get_mut(&before).expect("a holder is bound");
                binding.addresses.remove(address);
            }
        }
        let binding =
            Binding { pod: key.clone(), addresses, hardware_address, hardware_taken, orphan: false };
        self.bindings.insert(index, binding);
        self.pods.get_mut(key).expect("it is decided for").interface = Some(index);
    }

    /// The hardware address of the far side, and whether the bridge or another of its ports had it before. A pod can
    /// choose its own before we look, and a bridge would send it what is for the other.
    fn hardware(&self, index: u32, links: &Links) -> (Option<HardwareAddress>, bool) {
        let address = links.inside(index).and_then(|(_, inside)| inside.hardware_address);
        let master = links.link(index).and_then(|link| link.master);
        let (Some(address), Some(master)) = (address, master) else { return (address, false) };
        let of_bridge = links.link(master).and_then(|bridge| bridge.hardware_address) == Some(address);
        let is_port = |index: u32| links.link(index).and_then(|link| link.master) == Some(master);
        let others = self.bindings.iter().filter(|(other, _)| **other != index && is_port(**other));
        let of_another = others.map(|(_, binding)| binding).any(|it| it.hardware_address == Some(address));
        (Some(address), of_bridge || of_another)
    }
}

/// The interfaces that may be one pod's and that addresses are routed to.
fn routed_to(addresses: &[IpAddr], links: &Links) -> BTreeSet<u32> {
    let is_of_pod = |index: &u32| {
        let kind = links.link(*index).map(|link| link.kind);
        matches!(kind, Some(LinkKind::Veth | LinkKind::Tap))
    };
    addresses.iter().flat_map(|address| links.routed_to(*address)).filter(is_of_pod).collect()
}
