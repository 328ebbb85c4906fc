//! What flows ask for: from one workload or address to another, on a port.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use podwall_policy::{FlowEnd, FlowRecord, FlowVerdict, ObjectKey, Protocol, Transport};

use super::workload::Workload;
use super::{Evidence, SuggestedPeer};
use crate::check::dns_pods;
use crate::field::Direction;
use crate::flow_log::Residents;
use crate::page::{counted, listed};
use crate::snapshot::Snapshot;

const DNS_PORT: u16 = 53;
/// How many pairs of pods a comment names.
const SHOWN: usize = 3;

/// Flows between the same two ends on the same port.
#[derive(Debug, Clone)]
pub struct Demand {
    from: SuggestedPeer,
    to: SuggestedPeer,
    protocol: Protocol,
    port: u16,
    /// It is a question to the DNS pods.
    dns: bool,
    packets: u64,
    pairs: BTreeSet<String>,
}

impl Demand {
    /// The workloads at its ends.
    pub fn workloads(&self) -> impl Iterator<Item = &Workload> {
        [&self.from, &self.to].into_iter().filter_map(|end| match end {
            SuggestedPeer::Workload(workload) => Some(workload),
            SuggestedPeer::Address(_) => None,
        })
    }

    /// Whom `workload` must be allowed in this direction.
    pub fn peer_of(&self, workload: &Workload, direction: Direction) -> Option<SuggestedPeer> {
        let (own, peer) = match direction {
            Direction::Egress => (&self.from, &self.to),
            Direction::Ingress => (&self.to, &self.from),
        };
        matches!(own, SuggestedPeer::Workload(it) if it == workload).then(|| peer.clone())
    }

    /// What must be allowed.
    pub fn ports(&self) -> Vec<(Protocol, u16)> {
        match self.dns {
            true => vec![(Protocol::Tcp, self.port), (Protocol::Udp, self.port)],
            false => vec![(self.protocol, self.port)],
        }
    }

    /// What asked for it, for a comment.
    pub fn evidence(&self) -> Evidence {
        let pairs: Vec<&String> = self.pairs.iter().collect();
        let (protocol, port) = (self.protocol, self.port);
        let seen = counted(usize::try_from(self.packets).unwrap_or(usize::MAX), "packet");
        Evidence(format!("{protocol}/{port}: {} ({seen} logged)", listed(&pairs, SHOWN)))
    }
}

/// From whom, to whom, and what.
type Asked = (SuggestedPeer, SuggestedPeer, Protocol, u16);

/// What the flows ask for, and what cannot be said by a policy.
pub fn demands(
    snapshot: &Snapshot,
    workloads: &BTreeMap<ObjectKey, Workload>,
    records: &[FlowRecord],
    denied_too: bool,
) -> (Vec<Demand>, Vec<String>) {
    let sorter = Sorter {
        residents: Residents::new(snapshot),
        snapshot,
        workloads,
        pods_addresses: records
            .iter()
            .flat_map(|record| [&record.from, &record.to])
            .filter(|end| end.pod.is_some())
            .map(|end| end.address)
            .collect(),
    };
    let dns: BTreeSet<&Workload> =
        dns_pods(&snapshot.cluster).into_iter().filter_map(|pod| workloads.get(pod)).collect();
    let mut found: BTreeMap<Asked, Demand> = BTreeMap::new();
    let mut refusals = BTreeSet::new();
    for record in records.iter().filter(|it| denied_too || it.verdict != FlowVerdict::Denied) {
        let (from, to, protocol, port) = match sorter.sort(record) {
            Ok(Some(it)) => it,
            Ok(None) => continue,
            Err(reason) => {
                refusals.insert(format!("{}: {reason}", describe(record)));
                continue;
            }
        };
        let asks_dns = port == DNS_PORT && matches!(&to, SuggestedPeer::Workload(it) if dns.contains(it));
        let demand = found.entry((from.clone(), to.clone(), protocol, port)).or_insert_with(|| Demand {
            from,
            to,
            protocol,
            port,
            dns: asks_dns,
            packets: 0,
            pairs: BTreeSet::new(),
        });
        demand.packets = demand.packets.saturating_add(record.count);
        demand.pairs.insert(format!("{} -> {}", end_name(&record.from), end_name(&record.to)));
    }
    (found.into_values().collect(), refusals.into_iter().collect())
}

struct Sorter<'s> {
    residents: Residents<'s>,
    snapshot: &'s Snapshot,
    workloads: &'s BTreeMap<ObjectKey, Workload>,
    /// Addresses that were a pod's when some flow of the log was recorded.
    pods_addresses: BTreeSet<IpAddr>,
}

impl Sorter<'_> {
    /// The two ends and the port; `None` when no rule is needed.
    fn sort(&self, record: &FlowRecord) -> Result<Option<Asked>, String> {
        if record.from.pod.is_some() && record.from.pod == record.to.pod {
            return Ok(None);
        }
        // S60: its own node always reaches a pod.
        if record.from.own_node {
            return Ok(None);
        }
        let (from, to) = (self.side(&record.from)?, self.side(&record.to)?);
        if let (SuggestedPeer::Address(_), SuggestedPeer::Address(_)) = (&from, &to) {
            return Ok(None);
        }
        match record.transport() {
            Transport::Port(protocol, port) => Ok(Some((from, to, protocol, port))),
            Transport::Other => Err(format!(
                "protocol {} has no ports: only a rule that allows its peer everything would allow it",
                crate::page::escaped(&record.protocol)
            )),
        }
    }

    fn side(&self, end: &FlowEnd) -> Result<SuggestedPeer, String> {
        let Some(recorded) = &end.pod else {
            return match self.pods_addresses.contains(&end.address) {
                true => Err(format!(
                    "{} was a pod's at another time of this log: whose it was then is not known",
                    end.address
                )),
                false => Ok(SuggestedPeer::Address(end.address)),
            };
        };
        let Some(pod) = self.residents.find(recorded) else {
            return Err(format!(
                "pod {} is gone, and no workload of the given state is called so: its labels are not known",
                crate::page::escaped(&recorded.to_string())
            ));
        };
        if !self.snapshot.cluster.pods[pod].takes_part() {
            return Ok(SuggestedPeer::Address(end.address));
        }
        match self.workloads.get(pod) {
            Some(workload) => Ok(SuggestedPeer::Workload(workload.clone())),
            None => Err(format!("pod {pod} has no labels of its own: no selector would be for it alone")),
        }
    }
}

fn describe(record: &FlowRecord) -> String {
    let port = record.port.map(|port| format!("/{port}")).unwrap_or_default();
    let text = format!("{} -> {} {}{port}", end_name(&record.from), end_name(&record.to), record.protocol);
    crate::page::escaped(&text)
}

fn end_name(end: &FlowEnd) -> String {
    match &end.pod {
        Some(pod) => pod.to_string(),
        None => end.address.to_string(),
    }
}
