//! Who owns an address: of all pods that report it, the one that started last (S84).

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::pods::PodId;

/// The owners of all addresses.
#[derive(Debug, Default)]
pub struct Owners {
    ipv4: HashMap<Ipv4Addr, PodId>,
    ipv6: HashMap<Ipv6Addr, PodId>,
    /// All who claim an address that several do: rare, and short.
    contested: BTreeMap<IpAddr, Vec<PodId>>,
}

/// What came of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Nobody owned the address.
    Free,
    /// It was taken from this pod.
    Taken(PodId),
    /// Another pod keeps it; or it was the claimer's already.
    Nothing,
}

impl Owners {
    /// The owner of an address.
    pub fn get(&self, address: IpAddr) -> Option<PodId> {
        match address {
            IpAddr::V4(address) => self.ipv4.get(&address).copied(),
            IpAddr::V6(address) => self.ipv6.get(&address).copied(),
        }
    }

    /// A pod reports an address; `rank` orders the claims.
    pub fn claim<R: Ord>(&mut self, address: IpAddr, pod: PodId, rank: impl Fn(PodId) -> R) -> Claim {
        let Some(owner) = self.get(address) else {
            self.set(address, Some(pod));
            return Claim::Free;
        };
        let claimants = match self.contested.get_mut(&address) {
            Some(claimants) => claimants,
            None if owner == pod => return Claim::Nothing,
            None => self.contested.entry(address).or_insert_with(|| vec![owner]),
        };
        if !claimants.contains(&pod) {
            claimants.push(pod);
        }
        if owner == pod || rank(owner) > rank(pod) {
            return Claim::Nothing;
        }
        self.set(address, Some(pod));
        Claim::Taken(owner)
    }

    /// A pod reports an address no longer. The next owner, if the pod owned it and another claims it.
    pub fn release<R: Ord>(
        &mut self,
        address: IpAddr,
        pod: PodId,
        rank: impl Fn(PodId) -> R,
    ) -> Option<PodId> {
        let was_owner = self.get(address) == Some(pod);
        let mut next = None;
        if let Some(claimants) = self.contested.get_mut(&address) {
            claimants.retain(|it| *it != pod);
            next = claimants.iter().copied().max_by_key(|it| rank(*it));
            if claimants.len() < 2 {
                self.contested.remove(&address);
            }
        }
        if !was_owner {
            return None;
        }
        self.set(address, next);
        next
    }

    fn set(&mut self, address: IpAddr, owner: Option<PodId>) {
        match (address, owner) {
            (IpAddr::V4(address), Some(pod)) => self.ipv4.insert(address, pod),
            (IpAddr::V4(address), None) => self.ipv4.remove(&address),
            (IpAddr::V6(address), Some(pod)) => self.ipv6.insert(address, pod),
            (IpAddr::V6(address), None) => self.ipv6.remove(&address),
        };
    }
}
