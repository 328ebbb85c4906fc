//! Ports that the pods in question do not have: by a name that none declares, or by the number of a Service.

use std::collections::BTreeMap;

use podwall_policy::{
    ObjectKey, Peer, Peers, Pod, PortMatch, Ports, Protocol, Rule as PolicyRule, TargetPort,
};

use super::{Finding, Rule, Subject};
use crate::field::{Direction, FieldPath};
use crate::page::listed;
use crate::party::service_name;
use crate::port::declared;
use crate::service::{backends, owner_name};

pub(super) fn check(subject: &Subject, findings: &mut Vec<Finding>) {
    for direction in Direction::BOTH {
        for (index, rule) in direction.rules(subject.policy).unwrap_or_default().iter().enumerate() {
            let Ports::Only(ports) = &rule.ports else { continue };
            let destinations = destinations(subject, direction, rule);
            if destinations.is_empty() {
                continue;
            }
            for (number, port) in ports.iter().enumerate() {
                let found = match port {
                    PortMatch::Named { protocol, name } => {
                        undeclared(subject, &destinations, *protocol, name)
                    }
                    PortMatch::Range { protocol, first, last } if first == last => {
                        service_port(subject, &destinations, *protocol, *first)
                    }
                    _ => None,
                };
                let path = FieldPath::port(direction, index, number);
                findings.extend(found.map(|(rule, message)| Finding::new(subject, rule, &path, message)));
            }
        }
    }
}

type Found<'a> = (&'a ObjectKey, &'a Pod);

/// The pods whose ports a rule is about: of ingress the selected ones, of egress those of its selectors.
fn destinations<'a>(subject: &Subject<'a>, direction: Direction, rule: &PolicyRule) -> Vec<Found<'a>> {
    let cluster = &subject.snapshot.cluster;
    let pods = cluster.pods.iter().filter(|(_, pod)| pod.takes_part());
    match (direction, &rule.peers) {
        (Direction::Ingress, _) => pods.filter(|(key, _)| subject.selected.contains(key)).collect(),
        (Direction::Egress, Peers::Any) => pods.collect(),
        (Direction::Egress, Peers::Only(peers)) => {
            let peers = peers.iter().filter_map(|peer| match peer {
                Peer::Pods { namespaces, pods } => Some(subject.peer_pods(namespaces, pods)),
                Peer::Block(_) | Peer::Unreadable => None,
            });
            let found: BTreeMap<_, _> = peers.flatten().collect();
            found.into_iter().collect()
        }
    }
}

fn undeclared(
    subject: &Subject,
    destinations: &[Found],
    protocol: Protocol,
    name: &str,
) -> Option<(Rule, String)> {
    let is_it = |port: &podwall_policy::ContainerPort| {
        port.protocol == protocol && port.name.as_deref() == Some(name)
    };
    if destinations.iter().any(|(_, pod)| pod.ports.iter().any(is_it)) {
        return None;
    }
    let (key, pod) = destinations.first()?;
    let message = format!(
        "no pod that the rule is about declares {protocol} port {name}, so this allows nothing; {} declares {}",
        owner_name(subject.snapshot, key),
        declared(pod)
    );
    Some((Rule::NamedPortUndeclared, message))
}

/// A port that no pod declares, but a Service before them has and translates to another.
fn service_port(
    subject: &Subject,
    destinations: &[Found],
    protocol: Protocol,
    number: u16,
) -> Option<(Rule, String)> {
    let declares =
        |(_, pod): &Found| pod.ports.iter().any(|port| port.protocol == protocol && port.port == number);
    if destinations.iter().any(declares) {
        return None;
    }
    subject.cluster().services.iter().find_map(|(key, service)| {
        let port = service.ports.iter().find(|port| port.protocol == protocol && port.port == number)?;
        let pods = backends(subject.snapshot, key, service);
        let (pod_key, pod) = destinations.iter().find(|(pod, _)| pods.contains(pod))?;
        let target = match &port.target {
            TargetPort::Number(target) if *target == number => return None,
            TargetPort::Number(target) => target.to_string(),
            TargetPort::Named(name) => {
                let named = pod.ports.iter().filter(|port| port.name.as_ref() == Some(name));
                listed(&named.map(|port| port.port.to_string()).collect::<Vec<_>>(), 3)
            }
        };
        let message = format!(
            "{protocol}/{number} is the port of {}, which leads to {target} of {}: policy sees the pod's port, so write \
             {target}",
            service_name(key),
            owner_name(subject.snapshot, pod_key)
        );
        Some((Rule::ServicePort, message))
    })
}
