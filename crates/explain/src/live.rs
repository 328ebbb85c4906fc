//! Connections that are open now, by their addresses: which of them a question is about, and which a change would cut.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use podwall_policy::{Cluster, Endpoint, Flow, Transport, evaluate};
use serde::Serialize;

use crate::explain::{Answer, Question, Refusal};
use crate::port::transport_name;
use crate::snapshot::Snapshot;
use crate::{describe, service};

/// A connection that is open now: who opened it, and who answers, after any translation of the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenConnection {
    /// The address of who opened it.
    pub from: IpAddr,
    /// The address of who answers.
    pub to: IpAddr,
    /// What is spoken: the port of who answers.
    pub transport: Transport,
    /// It was cut already.
    pub revoked: bool,
}

/// Open connections of one source, target and port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct OpenGroup {
    /// Who opened them.
    pub from: String,
    /// Who answers.
    pub to: String,
    /// What is spoken, as `TCP/80`.
    pub port: String,
    /// How many there are.
    pub count: usize,
}

impl fmt::Display for OpenGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, port, count } = self;
        let text = format!("{from} -> {to} {port}: {}", crate::page::counted(*count, "connection"));
        f.write_str(&crate::page::escaped(&text))
    }
}

/// Those of the open connections that an answer is about, between all ends of its question.
pub fn asked_about<'o>(
    snapshot: &Snapshot,
    question: &Question,
    answer: &Answer,
    open: &'o [OpenConnection],
) -> Result<Vec<&'o OpenConnection>, Refusal> {
    let addresses =
        |ends: Vec<Endpoint>| -> BTreeSet<IpAddr> { ends.iter().map(Endpoint::address).collect() };
    let (from, to) =
        (addresses(question.from.endpoints(snapshot)?), addresses(question.to.endpoints(snapshot)?));
    let ports: BTreeSet<&str> = answer.connections.iter().map(|it| it.port.as_str()).collect();
    let is_meant = |it: &&OpenConnection| {
        from.contains(&it.from) && to.contains(&it.to) && ports.contains(&*transport_name(it.transport))
    };
    Ok(open.iter().filter(is_meant).collect())
}

/// The open connections that are allowed before and denied after: a node of this state cuts them. Those that a node
/// opened itself are never cut.
pub fn cut(before: &Snapshot, after: &Snapshot, open: &[OpenConnection]) -> Vec<OpenGroup> {
    let (residents, later) = (Residents::of(before), Residents::of(after));
    let is_cut = |it: &&OpenConnection| {
        let flow = residents.flow(it);
        !it.revoked
            && !matches!(flow.from, Endpoint::Node { .. })
            && evaluate(&before.cluster, &flow).allowed()
            && !evaluate(&after.cluster, &later.flow(it)).allowed()
    };
    grouped(before, open.iter().filter(is_cut))
}

/// Connections between the same workloads, on the same port, counted.
pub fn grouped<'o>(
    snapshot: &Snapshot,
    connections: impl Iterator<Item = &'o OpenConnection>,
) -> Vec<OpenGroup> {
    let residents = Residents::of(snapshot);
    let mut groups: Vec<OpenGroup> = Vec::new();
    for connection in connections {
        let flow = residents.flow(connection);
        let name = |end: &Endpoint| match end {
            Endpoint::Pod { pod, .. } => service::owner_name(snapshot, pod),
            other => describe::endpoint(other),
        };
        let (from, to, port) = (name(&flow.from), name(&flow.to), transport_name(flow.transport));
        match groups.iter_mut().find(|it| (&it.from, &it.to, &it.port) == (&from, &to, &port)) {
            Some(group) => group.count += 1,
            None => groups.push(OpenGroup { from, to, port, count: 1 }),
        }
    }
    groups.sort();
    groups
}

/// Whose each address is.
struct Residents<'s> {
    cluster: &'s Cluster,
    owners: std::collections::BTreeMap<IpAddr, &'s podwall_policy::ObjectKey>,
}

impl<'s> Residents<'s> {
    fn of(snapshot: &'s Snapshot) -> Self {
        Self { cluster: &snapshot.cluster, owners: snapshot.cluster.address_owners() }
    }

    fn flow(&self, connection: &OpenConnection) -> Flow {
        Flow { from: self.end(connection.from), to: self.end(connection.to), transport: connection.transport }
    }

    fn end(&self, address: IpAddr) -> Endpoint {
        if let Some(pod) = self.owners.get(&address) {
            return Endpoint::Pod { pod: (*pod).clone(), address };
        }
        let node = self.cluster.nodes.iter().find(|(_, node)| node.addresses.contains(&address));
        match node {
            Some((node, _)) => Endpoint::Node { node: node.clone(), address },
            None => Endpoint::Outside(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use podwall_policy::{PlacementOptions, Protocol, Source};

    use super::*;
    use crate::explain::explain;

    const PODS: &str = "
kind: Pod
apiVersion: v1
metadata: {name: client, namespace: shop, labels: {app: client}}
spec: {nodeName: worker-1, containers: [{name: c, image: i}]}
status: {podIP: 10.0.0.1}
---
kind: Pod
apiVersion: v1
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: worker-1, containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}
status: {podIP: 10.0.0.2}
";
    const CLOSED: &str = "---
kind: NetworkPolicy
apiVersion: networking.k8s.io/v1
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}]}
";

    fn snapshot(text: &str) -> Snapshot {
        let source = Source { name: "a.yaml".into(), bytes: text.into() };
        let placement = PlacementOptions { node_count: 1, ipv4: true, ipv6: false };
        Snapshot::read(&[source], "default", &placement, None)
    }

    fn open(from: &str, to: &str, port: u16) -> OpenConnection {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        OpenConnection { from, to, transport: Transport::Port(Protocol::Tcp, port), revoked: false }
    }

    fn texts(groups: &[OpenGroup]) -> Vec<String> {
        groups.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_change_cuts_what_it_forbids_and_nothing_else() {
        let (before, after) = (snapshot(PODS), snapshot(&format!("{PODS}{CLOSED}")));
        let node = before.cluster.nodes.values().next().unwrap().addresses[0].to_string();
        let mut all = vec![
            open("10.0.0.1", "10.0.0.2", 80),
            open("10.0.0.1", "10.0.0.2", 80),
            open("203.0.113.9", "10.0.0.2", 80),
            open("198.51.100.9", "10.0.0.2", 443),
            open("10.0.0.2", "10.0.0.1", 80),
            open(&node, "10.0.0.2", 80),
        ];
        all.push(OpenConnection { revoked: true, ..open("10.0.0.1", "10.0.0.2", 81) });
        let cut_now = [
            "198.51.100.9 -> shop/web TCP/443: 1 connection",
            "shop/client -> shop/web TCP/80: 2 connections",
        ];
        assert_eq!(texts(&cut(&before, &after, &all)), cut_now);
        assert_eq!(texts(&cut(&after, &before, &all)), [""; 0]);
    }

    #[test]
    fn an_answer_is_about_its_ends_and_ports() {
        let state = snapshot(PODS);
        let ask = |port: Option<&str>| {
            let dialled = port.map(|it| it.parse().unwrap());
            let question =
                Question { from: "shop/client".parse().unwrap(), to: "10.0.0.2".parse().unwrap(), dialled };
            let answer = explain(&state, &question).unwrap();
            let all = [
                open("10.0.0.1", "10.0.0.2", 80),
                open("10.0.0.1", "10.0.0.2", 81),
                open("10.0.0.2", "10.0.0.1", 80),
            ];
            asked_about(&state, &question, &answer, &all).unwrap().len()
        };
        assert_eq!((ask(None), ask(Some("TCP/81")), ask(Some("UDP/80"))), (1, 1, 0));
    }
}
