//! Services, as kube-proxy would do them, but with the backend chosen by the source port, so that a probe can
//! mean one.
//!
//! ```text
//! prerouting, output: (ClusterIP, protocol, port) ─► chain of the port ─► source port in a backend's share ─► dnat
//! postrouting:        a pod that reaches itself ─► masquerade
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use podwall_policy::{Cluster, ObjectKey, Pod, Protocol, TargetPort};
use podwall_ruleset::{
    BaseChain, Chain, ChainType, Comment, Element, Family, Field, Hook, Key, Match, Name, Rule, Ruleset, Set,
    SetRef, Statement, Table, TableId, Value, ValueType, Verdict,
};

use crate::scene::{Party, Scene, is_ready, short_hash};

/// The name of the table, next to Podwall's own.
pub const TABLE_NAME: &str = "podwall-lab-services";

/// The ports that clients may come from; they are shared out among the backends.
pub const SOURCE_PORTS: RangeInclusive<u16> = 1024..=65_535;

/// One address and port of a Service that somebody answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAddress {
    /// The Service.
    pub service: ObjectKey,
    /// Its ClusterIP.
    pub address: IpAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// The port that clients dial.
    pub port: u16,
    /// Who answers, sorted by name; never empty.
    pub backends: Vec<Backend>,
}

/// A pod behind a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// The pod.
    pub pod: ObjectKey,
    /// Its address, of the same family as the ClusterIP.
    pub address: IpAddr,
    /// The port of the pod.
    pub port: u16,
    /// Clients that come from these ports reach this pod.
    pub source_ports: RangeInclusive<u16>,
}

/// All Services that can be dialled in a scene.
pub fn service_addresses(cluster: &Cluster, scene: &Scene) -> Vec<ServiceAddress> {
    let mut found = Vec::new();
    let mut taken = BTreeSet::new();
    for (key, service) in cluster.services.iter().filter(|(_, service)| !service.headless) {
        let Some(selector) = &service.selector else { continue };
        let selected: Vec<(&ObjectKey, &Pod)> = cluster
            .pods
            .iter()
            .filter(|(pod_key, pod)| pod_key.namespace == key.namespace && is_ready(pod))
            .filter(|(_, pod)| selector.iter().all(|(label, value)| pod.labels.get(label) == Some(value)))
            .collect();
        for port in &service.ports {
            for address in &service.cluster_addresses {
                let candidates = selected.iter().filter_map(|(pod_key, pod)| {
                    let place = scene.address_like(&Party::Pod((*pod_key).clone()), *address)?;
                    Some(((*pod_key).clone(), place, target_port(pod, port.protocol, &port.target)?))
                });
                let backends = share_out(candidates.collect());
                // Of two Services that claim one address, the first by name has it.
                if !backends.is_empty() && taken.insert((*address, port.protocol, port.port)) {
                    let (service, address) = (key.clone(), *address);
                    found.push(ServiceAddress {
                        service,
                        address,
                        protocol: port.protocol,
                        port: port.port,
                        backends,
                    });
                }
            }
        }
    }
    found
}

/// The number of a target port on one pod; `None` when the pod declares no port of that name.
fn target_port(pod: &Pod, protocol: Protocol, target: &TargetPort) -> Option<u16> {
    match target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Named(name) => {
            let mut ports = pod.ports.iter().filter(|port| port.protocol == protocol);
            ports.find(|port| port.name.as_ref() == Some(name)).map(|port| port.port)
        }
    }
}

/// Splits the source ports evenly.
fn share_out(pods: Vec<(ObjectKey, IpAddr, u16)>) -> Vec<Backend> {
    let (first, last) = (u32::from(*SOURCE_PORTS.start()), u32::from(*SOURCE_PORTS.end()));
    let count = pods.len() as u32;
    let bound = |index: u32| first + (last + 1 - first) * index / count;
    pods.into_iter()
        .zip(0..)
        .map(|((pod, address, port), index)| {
            let source_ports = bound(index) as u16..=(bound(index + 1) - 1) as u16;
            Backend { pod, address, port, source_ports }
        })
        .collect()
}

/// The services table. The same on every node, except that each masquerades only what its own pods send to
/// themselves; pairs of other nodes' pods never pass, so all pairs may be listed everywhere.
pub fn service_ruleset(services: &[ServiceAddress]) -> Ruleset {
    let mut table = Table::default();
    let base = |hook, priority| Some(BaseChain { chain_type: ChainType::Nat, hook, priority });
    let mut prerouting = Chain { base: base(Hook::Prerouting, -100), ..Chain::default() };
    let mut postrouting = Chain { base: base(Hook::Postrouting, 100), ..Chain::default() };
    for family in [AddressFamily::Ipv4, AddressFamily::Ipv6] {
        let of_family = || services.iter().filter(|service| AddressFamily::of(service.address) == family);
        if of_family().next().is_none() {
            continue;
        }
        let mut dispatch =
            Set::new(&[family.value_type(), ValueType::Protocol, ValueType::Port]).to_verdicts();
        let mut hairpin = Set::new(&[family.value_type(), family.value_type()]);
        for service in of_family() {
            let chain_name = chain_name(service);
            let protocol = ruleset_protocol(service.protocol);
            let key = [family.value(service.address), Value::Protocol(protocol), Value::Port(service.port)];
            dispatch.elements.insert(
                Key::Exact(key.into_iter().collect()),
                Element::verdict(Verdict::Goto(chain_name.clone())),
            );
            table.chains.insert(chain_name, port_chain(service));
            for backend in &service.backends {
                let address = family.value(backend.address);
                hairpin
                    .elements
                    .insert(Key::Exact([address.clone(), address].into_iter().collect()), Element::default());
            }
        }
        let [dispatch_name, hairpin_name] =
            ["services", "hairpin"].map(|what| name(&format!("{what}-{}", family.suffix())));
        prerouting.rules.push(Rule::new(
            [],
            Statement::VerdictMap(
                [family.destination(), Field::Protocol, Field::DestinationPort].into_iter().collect(),
                SetRef::Named(dispatch_name.clone()),
            ),
        ));
        // Where nat sees packets out, it knows no interface they came in by; the pair of addresses tells as much.
        let pair = [family.source(), family.destination()].into_iter().collect();
        postrouting.rules.push(Rule::new(
            [Match::CtStatusDnat, Match::In(pair, SetRef::Named(hairpin_name.clone()))],
            Statement::Masquerade,
        ));
        table.sets.insert(dispatch_name, dispatch);
        table.sets.insert(hairpin_name, hairpin);
    }
    let output = Chain { base: base(Hook::Output, -100), ..prerouting.clone() };
    table.chains.insert(name("prerouting"), prerouting);
    table.chains.insert(name("output"), output);
    table.chains.insert(name("postrouting"), postrouting);
    let id = TableId { family: Family::Inet, name: name(TABLE_NAME) };
    Ruleset { tables: BTreeMap::from([(id, table)]) }
}

/// One rule per backend.
fn port_chain(service: &ServiceAddress) -> Chain {
    let protocol = ruleset_protocol(service.protocol);
    let rules = service.backends.iter().map(|backend| {
        let (first, last) = (*backend.source_ports.start(), *backend.source_ports.end());
        let share = Match::SourcePorts(protocol, first, last);
        let target = SocketAddr::new(backend.address, backend.port);
        Rule {
            comment: Some(Comment::new(&backend.pod.to_string())),
            ..Rule::new([share], Statement::Dnat(target))
        }
    });
    let comment = format!("{} {}/{}", service.service, service.protocol, service.port);
    Chain { base: None, comment: Some(Comment::new(&comment)), rules: rules.collect() }
}

fn chain_name(service: &ServiceAddress) -> Name {
    let ServiceAddress { service: key, address, protocol, port, .. } = service;
    name(&format!("service-{}-{port}", short_hash(&format!("{key} {address} {protocol} {port}"))))
}

fn name(text: &str) -> Name {
    Name::new(text).expect("made of letters, digits and dashes")
}

fn ruleset_protocol(protocol: Protocol) -> podwall_ruleset::Protocol {
    match protocol {
        Protocol::Tcp => podwall_ruleset::Protocol::Tcp,
        Protocol::Udp => podwall_ruleset::Protocol::Udp,
        Protocol::Sctp => podwall_ruleset::Protocol::Sctp,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AddressFamily {
    Ipv4,
    Ipv6,
}

impl AddressFamily {
    fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Ipv4 => "4",
            Self::Ipv6 => "6",
        }
    }

    fn value_type(self) -> ValueType {
        match self {
            Self::Ipv4 => ValueType::Ipv4,
            Self::Ipv6 => ValueType::Ipv6,
        }
    }

    fn value(self, address: IpAddr) -> Value {
        match address {
            IpAddr::V4(address) => Value::Ipv4(address),
            IpAddr::V6(address) => Value::Ipv6(address),
        }
    }

    fn source(self) -> Field {
        match self {
            Self::Ipv4 => Field::SourceIpv4,
            Self::Ipv6 => Field::SourceIpv6,
        }
    }

    fn destination(self) -> Field {
        match self {
            Self::Ipv4 => Field::DestinationIpv4,
            Self::Ipv6 => Field::DestinationIpv6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Families;
    use crate::testing::{cluster, pod, pod_on, service, with_port};

    fn backend_names(pods: usize) -> Vec<Backend> {
        let one =
            |index: usize| (ObjectKey::new("default", format!("p{index}")), IpAddr::from([10, 0, 0, 1]), 80);
        share_out((0..pods).map(one).collect())
    }

    #[test]
    fn shares_cover_all_source_ports_without_overlap() {
        for count in [1, 2, 3, 7, 100] {
            let backends = backend_names(count);
            assert_eq!(backends[0].source_ports.start(), SOURCE_PORTS.start());
            assert_eq!(backends[count - 1].source_ports.end(), SOURCE_PORTS.end());
            for pair in backends.windows(2) {
                assert_eq!(pair[0].source_ports.end() + 1, *pair[1].source_ports.start());
            }
        }
    }

    #[test]
    fn a_target_port_by_name_is_looked_up_on_each_pod() {
        let mut web = pod_on("web", "node-1", "10.0.0.1");
        web.1.labels.insert("app".into(), "api".into());
        let api = with_port(pod_on("api", "node-2", "10.0.0.2"), Some("http"), 8080);
        let mut cluster = cluster(vec![web, api]);
        cluster.services.extend([service("api", "10.96.0.1", 80, TargetPort::Named("http".into()))]);
        let scene = Scene::new(&cluster, &[], Families { ipv4: true, ipv6: true });
        let found = service_addresses(&cluster, &scene);
        assert_eq!(found.len(), 1);
        let backends: Vec<_> = found[0].backends.iter().map(|b| (b.pod.to_string(), b.port)).collect();
        assert_eq!(backends, [("default/api".to_owned(), 8080)], "web declares no port of that name");
    }

    #[test]
    fn every_chain_that_a_map_leads_to_exists() {
        let mut cluster = cluster(vec![pod("api")]);
        cluster.services.extend([service("api", "10.96.0.1", 80, TargetPort::Number(8080))]);
        let scene = Scene::new(&cluster, &[], Families { ipv4: true, ipv6: true });
        let ruleset = service_ruleset(&service_addresses(&cluster, &scene));
        let table = ruleset.tables.values().next().unwrap();
        assert_eq!(table.sets.len(), 2);
        for element in table.sets.values().flat_map(|set| set.elements.values()) {
            if let Some(Verdict::Goto(chain)) = &element.verdict {
                assert!(table.chains.contains_key(chain));
            }
        }
    }

    #[test]
    fn without_services_the_table_has_no_rules() {
        let ruleset = service_ruleset(&[]);
        assert!(
            ruleset.tables.values().all(|table| table.chains.values().all(|chain| chain.rules.is_empty()))
        );
    }
}
