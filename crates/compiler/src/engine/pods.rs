//! The pods of the cluster, in as few bytes as they can be told in: there may be 100,000.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str;
use std::sync::Arc;

use hashbrown::HashTable;
use podwall_policy::{ContainerPort, Labels, Pod};
use smallvec::SmallVec;

use super::identities::{IdentityId, NamespaceId};
use super::slab::{Pool, Slab};

/// A pod's number.
pub type PodId = u32;

/// What is a pod's own; what it shares with others is kept under numbers.
#[derive(Debug)]
pub struct Record {
    /// `metadata.name`
    pub name: Arc<str>,
    /// `metadata.namespace`
    pub namespace: NamespaceId,
    /// The pods of its namespace and labels.
    pub identity: IdentityId,
    /// Where it is among the pods of its identity.
    pub place: u32,
    /// True when it owns every address that it claims, as nearly all do.
    pub owns_all: bool,
    addresses: Addresses,
    started: Started,
    node: u32,
    ports: u32,
    host_network: bool,
    finished: bool,
    terminating: bool,
    /// What its annotation says, if it has one.
    pub anti_spoofing: Option<bool>,
}

/// One address of each family is what a pod has; anything else is kept as it was said.
#[derive(Debug, PartialEq, Eq)]
enum Addresses {
    Few { ipv6_first: bool, ipv4: Option<Ipv4Addr>, ipv6: Option<Ipv6Addr> },
    Many(Box<[IpAddr]>),
}

/// When a pod started. The API writes 20 characters.
#[derive(Debug)]
enum Started {
    Short(u8, [u8; 22]),
    Long(Box<str>),
}

/// The node of a pod that is not scheduled.
const NOWHERE: u32 = u32::MAX;

/// All pods.
#[derive(Debug, Default)]
pub struct Pods {
    records: Slab<Record>,
    /// By namespace and name, which are looked up in the record: the index has five bytes for each pod.
    index: HashTable<PodId>,
    hasher: RandomState,
    nodes: Pool<str>,
    ports: Pool<[ContainerPort]>,
}

impl Pods {
    /// The number of a node's name, from now on.
    pub fn node(&mut self, name: &str) -> u32 {
        self.nodes.hold(name)
    }

    /// The pod of this name.
    pub fn find(&self, namespace: NamespaceId, name: &str) -> Option<PodId> {
        let is_it = |id: &PodId| {
            let record = self.records.get(*id);
            record.namespace == namespace && *record.name == *name
        };
        self.index.find(self.hasher.hash_one((namespace, name)), is_it).copied()
    }

    /// Adds a pod whose name is not there yet.
    pub fn insert(
        &mut self,
        namespace: NamespaceId,
        name: Arc<str>,
        identity: IdentityId,
        pod: &Pod,
    ) -> PodId {
        let hash = self.hasher.hash_one((namespace, &*name));
        let record = Record {
            name,
            namespace,
            identity,
            place: 0,
            owns_all: false,
            addresses: Addresses::of(&pod.addresses),
            started: Started::of(&pod.started),
            node: pod.node.as_ref().map_or(NOWHERE, |node| self.nodes.hold(node)),
            ports: self.ports.hold(&pod.ports),
            host_network: pod.host_network,
            finished: pod.finished,
            terminating: pod.terminating,
            anti_spoofing: pod.anti_spoofing,
        };
        let id = self.records.insert(record);
        let (records, hasher) = (&self.records, &self.hasher);
        let hash_of = |id: &PodId| {
            let record = records.get(*id);
            hasher.hash_one((record.namespace, &*record.name))
        };
        self.index.insert_unique(hash, id, hash_of);
        id
    }

    /// Removes a pod.
    pub fn remove(&mut self, id: PodId) -> Record {
        let record = self.records.remove(id);
        let hash = self.hasher.hash_one((record.namespace, &*record.name));
        if let Ok(entry) = self.index.find_entry(hash, |it| *it == id) {
            entry.remove();
        }
        if record.node != NOWHERE {
            self.nodes.release(record.node);
        }
        self.ports.release(record.ports);
        record
    }

    /// A pod.
    pub fn get(&self, id: PodId) -> &Record {
        self.records.get(id)
    }

    /// Says where a pod is among the pods of its identity.
    pub fn set_place(&mut self, id: PodId, place: u32) {
        self.records.get_mut(id).place = place;
    }

    /// Says whether a pod owns every address that it claims.
    pub fn set_owns_all(&mut self, id: PodId, owns_all: bool) {
        self.records.get_mut(id).owns_all = owns_all;
    }

    /// The pods by number.
    pub fn iter(&self) -> impl Iterator<Item = (PodId, &Record)> {
        self.records.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The ports that a pod's containers declare.
    pub fn ports(&self, record: &Record) -> &[ContainerPort] {
        self.ports.get(record.ports)
    }

    /// True when a pod is as it was, but for its labels, which are not compared.
    pub fn is_same(&self, record: &Record, pod: &Pod) -> bool {
        let node = (record.node != NOWHERE).then(|| self.nodes.get(record.node));
        record.addresses.to_list()[..] == pod.addresses[..]
            && record.started() == &*pod.started
            && node == pod.node.as_ref()
            && *self.ports(record) == pod.ports[..]
            && (record.host_network, record.finished) == (pod.host_network, pod.finished)
            && (record.terminating, record.anti_spoofing) == (pod.terminating, pod.anti_spoofing)
    }

    /// The pod as it was set, but for its location.
    pub fn to_pod(&self, record: &Record, labels: &Labels) -> Pod {
        Pod {
            labels: labels.clone(),
            node: (record.node != NOWHERE).then(|| self.nodes.get(record.node).clone()),
            addresses: record.addresses.to_list().to_vec(),
            host_network: record.host_network,
            finished: record.finished,
            terminating: record.terminating,
            started: record.started().into(),
            ports: self.ports(record).to_vec(),
            anti_spoofing: record.anti_spoofing,
            location: None,
        }
    }
}

impl Record {
    /// The addresses that it reports.
    pub fn addresses(&self) -> SmallVec<[IpAddr; 2]> {
        self.addresses.to_list()
    }

    /// The addresses that it may own, each once: none, if it takes no part in policy.
    pub fn claims(&self) -> SmallVec<[IpAddr; 2]> {
        if !self.takes_part() {
            return SmallVec::new();
        }
        let mut addresses = self.addresses.to_list();
        if let Addresses::Many(reported) = &self.addresses {
            let mut index = 0;
            addresses.retain(|address| {
                index += 1;
                !reported[..index - 1].contains(address)
            });
        }
        addresses
    }

    /// When it started.
    pub fn started(&self) -> &str {
        self.started.text()
    }

    /// True when it takes part in policy on this node.
    pub fn is_local(&self, node: u32) -> bool {
        self.node == node && self.takes_part()
    }

    fn takes_part(&self) -> bool {
        !self.finished && !self.host_network
    }
}

impl Addresses {
    fn of(addresses: &[IpAddr]) -> Self {
        let (ipv6_first, ipv4, ipv6) = match *addresses {
            [] => (false, None, None),
            [IpAddr::V4(ipv4)] => (false, Some(ipv4), None),
            [IpAddr::V6(ipv6)] => (false, None, Some(ipv6)),
            [IpAddr::V4(ipv4), IpAddr::V6(ipv6)] => (false, Some(ipv4), Some(ipv6)),
            [IpAddr::V6(ipv6), IpAddr::V4(ipv4)] => (true, Some(ipv4), Some(ipv6)),
            _ => return Addresses::Many(addresses.into()),
        };
        Addresses::Few { ipv6_first, ipv4, ipv6 }
    }

    fn to_list(&self) -> SmallVec<[IpAddr; 2]> {
        match self {
            Addresses::Many(addresses) => SmallVec::from_slice(addresses),
            Addresses::Few { ipv6_first, ipv4, ipv6 } => {
                let (ipv4, ipv6) = (ipv4.map(IpAddr::V4), ipv6.map(IpAddr::V6));
                let (one, other) = if *ipv6_first { (ipv6, ipv4) } else { (ipv4, ipv6) };
                one.into_iter().chain(other).collect()
            }
        }
    }
}

impl Started {
    fn of(text: &str) -> Self {
        let mut bytes = [0; 22];
        match bytes.get_mut(..text.len()) {
            Some(start) => {
                start.copy_from_slice(text.as_bytes());
                Started::Short(text.len() as u8, bytes)
            }
            None => Started::Long(text.into()),
        }
    }

    fn text(&self) -> &str {
        match self {
            Started::Short(length, bytes) => {
                str::from_utf8(&bytes[..usize::from(*length)]).expect("it was a text")
            }
            Started::Long(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_kept_in_few_bytes() {
        assert!(size_of::<Option<Record>>() <= 96, "{}", size_of::<Option<Record>>());
    }

    #[test]
    fn addresses_and_times_are_kept_as_they_were_said() {
        let all = ["10.0.0.1", "fd00::1", "10.0.0.2"].map(|it| it.parse::<IpAddr>().unwrap());
        for said in [vec![], vec![0], vec![1], vec![0, 1], vec![1, 0], vec![0, 2], vec![0, 0], vec![1, 0, 2]]
        {
            let said: Vec<IpAddr> = said.into_iter().map(|index: usize| all[index]).collect();
            assert_eq!(Addresses::of(&said).to_list()[..], said[..]);
        }
        for said in ["", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123456789Z", "é"] {
            assert_eq!(Started::of(said).text(), said);
        }
    }
}
