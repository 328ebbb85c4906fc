//! Which probes a step wants. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use podwall_policy::{
    Cluster, Decision, Flow, ObjectKey, PortMatch, Ports, Protocol, Rule, TargetPort, Transport, evaluate,
};

use crate::scene::{Party, Scene};
use crate::service::{SOURCE_PORTS, ServiceAddress};

/// One question to the kernel: does this get through?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Who asks.
    pub from: Party,
    /// Whom it is meant for.
    pub to: Party,
    /// How it gets there.
    pub via: Via,
    /// The asker's address.
    pub source: IpAddr,
    /// The address that is dialled.
    pub address: IpAddr,
    /// The protocol and port that are dialled.
    pub transport: Transport,
    /// What the specification says.
    pub decision: Decision,
    /// The end that is closed, whatever the specification says, since nobody knows it.
    pub closed: Option<Party>,
}

/// How a probe gets to its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// The destination's own address was dialled.
    Direct,
    /// A Service's address was dialled.
    Service {
        /// The Service.
        service: ObjectKey,
        /// The destination's port.
        target_port: u16,
        /// The source ports that lead to this destination.
        source_ports: RangeInclusive<u16>,
    },
}

impl Probe {
    /// The source ports that may be used.
    pub fn source_ports(&self) -> RangeInclusive<u16> {
        match &self.via {
            Via::Direct => SOURCE_PORTS,
            Via::Service { source_ports, .. } => source_ports.clone(),
        }
    }

    /// True when the Service's address was dialled.
    pub fn is_by_service(&self) -> bool {
        matches!(self.via, Via::Service { .. })
    }
}

/// What to plan for.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What the nodes have been told.
    pub cluster: &'a Cluster,
    /// The hosts there are.
    pub scene: &'a Scene,
    /// The Services that can be dialled.
    pub services: &'a [ServiceAddress],
    /// The protocols and ports that the user wants; empty means those that the objects speak of.
    pub chosen: &'a BTreeSet<Transport>,
    /// True when pods that nobody knows are closed.
    pub closes_unknown: bool,
}

/// Everything to be dialled in a step, ordered by who dials.
pub fn plan(question: Question<'_>) -> Vec<Probe> {
    let Question { cluster, scene, services, chosen, closes_unknown } = question;
    let transports = if chosen.is_empty() { named_transports(cluster, scene) } else { chosen.clone() };
    let pods: Vec<Party> = scene.pods.keys().cloned().map(Party::Pod).collect();
    let nodes: Vec<Party> = scene.nodes.keys().cloned().map(Party::Node).collect();
    let outside: Vec<Party> = scene.outside.keys().cloned().map(Party::Outside).collect();
    let mut planner = Planner { cluster, scene, closes_unknown, probes: Vec::new() };
    for from in &pods {
        for to in pods.iter().filter(|to| *to != from).chain(&nodes).chain(&outside) {
            planner.add_direct(from, to, &transports);
        }
        for service in services {
            planner.add_service(from, service, chosen);
        }
    }
    for from in nodes.iter().chain(&outside) {
        for to in &pods {
            planner.add_direct(from, to, &transports);
        }
    }
    planner.probes
}

struct Planner<'a> {
    cluster: &'a Cluster,
    scene: &'a Scene,
    closes_unknown: bool,
    probes: Vec<Probe>,
}

impl Planner<'_> {
    fn add_direct(&mut self, from: &Party, to: &Party, transports: &BTreeSet<Transport>) {
        for transport in transports {
            for address in self.scene.addresses(to) {
                let Some(source) = self.scene.address_like(from, *address) else { continue };
                let decision = self.decide((from, source), (to, *address), *transport);
                self.probes.push(Probe {
                    from: from.clone(),
                    to: to.clone(),
                    via: Via::Direct,
                    source,
                    address: *address,
                    transport: *transport,
                    decision,
                    closed: self.closed_end(from, to),
                });
            }
        }
    }

    fn add_service(&mut self, from: &Party, service: &ServiceAddress, chosen: &BTreeSet<Transport>) {
        let Some(source) = self.scene.address_like(from, service.address) else { return };
        let dialled = Transport::Port(service.protocol, service.port);
        for backend in &service.backends {
            let reached = Transport::Port(service.protocol, backend.port);
            if !chosen.is_empty() && !chosen.contains(&dialled) && !chosen.contains(&reached) {
                continue;
            }
            let to = Party::Pod(backend.pod.clone());
            let decision = self.decide((from, source), (&to, backend.address), reached);
            let closed = self.closed_end(from, &to);
            self.probes.push(Probe {
                from: from.clone(),
                to,
                via: Via::Service {
                    service: service.service.clone(),
                    target_port: backend.port,
                    source_ports: backend.source_ports.clone(),
                },
                source,
                address: service.address,
                transport: dialled,
                decision,
                closed,
            });
        }
    }

    /// A pod that nobody knows is closed for everyone but its own node.
    fn closed_end(&self, from: &Party, to: &Party) -> Option<Party> {
        let is_closed = |party: &Party, other: &Party| {
            let Party::Pod(key) = party else { return false };
            let node = self.scene.pods.get(key).map(|place| Party::Node(place.node.clone()));
            self.closes_unknown && self.scene.is_unknown(party) && node != Some(self.scene.host_of(other))
        };
        [(from, to), (to, from)]
            .into_iter()
            .find(|(party, other)| is_closed(party, other))
            .map(|it| it.0.clone())
    }

    fn decide(&self, from: (&Party, IpAddr), to: (&Party, IpAddr), transport: Transport) -> Decision {
        let flow = Flow {
            from: self.scene.endpoint(from.0, from.1),
            to: self.scene.endpoint(to.0, to.1),
            transport,
        };
        evaluate(self.cluster, &flow)
    }
}

/// The ports that containers, Services and policies speak of, and the neighbours of ranges; TCP 80 when there is
/// none.
fn named_transports(cluster: &Cluster, scene: &Scene) -> BTreeSet<Transport> {
    let mut found = BTreeSet::new();
    for port in scene.pods.values().flat_map(|place| &place.ports) {
        found.insert(Transport::Port(port.protocol, port.port));
    }
    for port in cluster.services.values().flat_map(|service| &service.ports) {
        if let TargetPort::Number(number) = port.target {
            found.insert(Transport::Port(port.protocol, number));
        }
    }
    for policy in cluster.policies.values() {
        for rule in policy.ingress.iter().chain(&policy.egress).flatten() {
            add_rule_ports(&mut found, rule);
        }
    }
    // Nobody can dial port 0.
    found.retain(|transport| !matches!(transport, Transport::Port(_, 0)));
    if found.is_empty() {
        found.insert(Transport::Port(Protocol::Tcp, 80));
    }
    found
}

/// A name is the number of some container port, and those are in already.
fn add_rule_ports(found: &mut BTreeSet<Transport>, rule: &Rule) {
    let Ports::Only(ports) = &rule.ports else { return };
    for port in ports {
        if let PortMatch::Range { protocol, first, last } = port {
            found.insert(Transport::Port(*protocol, *first));
            if first != last {
                let neighbours = [first.checked_sub(1), Some(*last), last.checked_add(1)];
                found.extend(
                    neighbours.into_iter().flatten().map(|number| Transport::Port(*protocol, number)),
                );
                // From 0 on means any port: 1 is the lowest that can be dialled.
                found.insert(Transport::Port(*protocol, (*first).max(1)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use podwall_policy::Peers;

    use super::*;
    use crate::scene::{Families, OutsideHost};
    use crate::service::service_addresses;
    use crate::testing::{cluster, pod_on, service, with_port};

    fn range(first: u16, last: u16) -> PortMatch {
        PortMatch::Range { protocol: Protocol::Tcp, first, last }
    }

    fn ports_of(matches: Vec<PortMatch>) -> Vec<u16> {
        let mut found = BTreeSet::new();
        add_rule_ports(&mut found, &Rule { peers: Peers::Any, ports: Ports::Only(matches) });
        let number = |transport: &Transport| match transport {
            Transport::Port(_, number) => *number,
            Transport::Other => unreachable!(),
        };
        found.iter().map(number).collect()
    }

    #[test]
    fn ranges_are_probed_at_their_ends_and_beyond() {
        assert_eq!(ports_of(vec![range(80, 80)]), [80]);
        assert_eq!(ports_of(vec![range(32_000, 32_768)]), [31_999, 32_000, 32_768, 32_769]);
        assert_eq!(ports_of(vec![range(0, 65_535)]), [0, 1, 65_535]);
    }

    #[test]
    fn nothing_named_is_tcp_80() {
        let cluster = cluster(vec![pod_on("web", "node-1", "10.0.0.1")]);
        let scene = Scene::new(&cluster, &[], Families { ipv4: true, ipv6: false });
        let expected = BTreeSet::from([Transport::Port(Protocol::Tcp, 80)]);
        assert_eq!(named_transports(&cluster, &scene), expected);
    }

    #[test]
    fn every_pair_is_asked_and_a_backend_asks_itself_by_service() {
        let web = with_port(pod_on("web", "node-1", "10.0.0.1"), None, 8080);
        let mut cluster = cluster(vec![web, pod_on("client", "node-2", "10.0.0.2")]);
        cluster.services.extend([service("web", "10.96.0.1", 80, TargetPort::Number(8080))]);
        let host = OutsideHost { name: "internet".into(), addresses: vec!["203.0.113.1".parse().unwrap()] };
        let scene = Scene::new(&cluster, &[host], Families { ipv4: true, ipv6: false });
        let services = service_addresses(&cluster, &scene);
        let chosen = BTreeSet::new();
        let question = Question {
            cluster: &cluster,
            scene: &scene,
            services: &services,
            chosen: &chosen,
            closes_unknown: false,
        };
        let probes = plan(question);
        let lines: Vec<String> = probes
            .iter()
            .map(|probe| {
                format!("{} {} {}", probe.from, if probe.is_by_service() { "=>" } else { "->" }, probe.to)
            })
            .collect();
        let expected = [
            "pod/default/client -> pod/default/web",
            "pod/default/client -> node/node-1",
            "pod/default/client -> node/node-2",
            "pod/default/client -> outside/internet",
            "pod/default/client => pod/default/web",
            "pod/default/web -> pod/default/client",
            "pod/default/web -> node/node-1",
            "pod/default/web -> node/node-2",
            "pod/default/web -> outside/internet",
            "pod/default/web => pod/default/web",
            "node/node-1 -> pod/default/client",
            "node/node-1 -> pod/default/web",
            "node/node-2 -> pod/default/client",
            "node/node-2 -> pod/default/web",
            "outside/internet -> pod/default/client",
            "outside/internet -> pod/default/web",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn chosen_ports_choose_services_by_either_port() {
        let web = with_port(pod_on("web", "node-1", "10.0.0.1"), None, 8080);
        let mut cluster = cluster(vec![web]);
        cluster.services.extend([service("web", "10.96.0.1", 80, TargetPort::Number(8080))]);
        let scene = Scene::new(&cluster, &[], Families { ipv4: true, ipv6: false });
        let services = service_addresses(&cluster, &scene);
        let by_service = |number| {
            let chosen = BTreeSet::from([Transport::Port(Protocol::Tcp, number)]);
            let (cluster, scene, services) = (&cluster, &scene, &services);
            let question = Question { cluster, scene, services, chosen: &chosen, closes_unknown: false };
            plan(question).iter().filter(|probe| probe.is_by_service()).count()
        };
        assert_eq!([by_service(80), by_service(8080), by_service(443)], [1, 1, 0]);
    }
}
