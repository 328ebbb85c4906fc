//! The clauses of the specification as far as reading decides them, and what happens to input that is wrong.

mod broken;
mod defaults;
mod entries;
mod hostile;
mod indentation;
mod names;
mod objects;
mod owners;

use super::*;
use crate::model::{Namespaces, Peer, Peers, PortMatch, Ports, Protocol, Rule};
use crate::selector::{LabelSelector, Operator, Requirement};

fn read_text(text: &str) -> Manifests {
    read(&[Source { name: "test.yaml".into(), bytes: text.into() }], "default")
}

/// Reads text that has nothing wrong.
fn read_clean(text: &str) -> Manifests {
    let manifests = read_text(text);
    assert_eq!(manifests.problems, [], "{text}");
    manifests
}

/// A NetworkPolicy with this text, in flow style or indented by two, below `spec:`, which is on line 5.
fn policy_text(spec: &str) -> String {
    format!("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: p\nspec:\n  {spec}\n")
}

/// Reads a policy that has nothing wrong.
fn policy(spec: &str) -> NetworkPolicy {
    let mut manifests = read_clean(&policy_text(spec));
    manifests.policies.remove(&ObjectKey::new("default", "p")).expect(spec)
}

/// Reads a policy with one problem.
fn flawed(spec: &str) -> (Option<NetworkPolicy>, Problem) {
    let mut manifests = read_text(&policy_text(spec));
    assert_eq!(manifests.problems.len(), 1, "{spec}: {:#?}", manifests.problems);
    (manifests.policies.remove(&ObjectKey::new("default", "p")), manifests.problems.remove(0))
}

/// The only rule of a policy with this rule for ingress.
fn rule(text: &str) -> Rule {
    policy(&format!("{{ingress: [{text}]}}")).ingress.unwrap().remove(0)
}

fn peer(text: &str) -> Peer {
    match rule(&format!("{{from: [{text}]}}")).peers {
        Peers::Only(mut peers) => peers.remove(0),
        Peers::Any => panic!("{text}"),
    }
}

fn port(text: &str) -> PortMatch {
    match rule(&format!("{{ports: [{text}]}}")).ports {
        Ports::Only(mut ports) => ports.remove(0),
        Ports::Any => panic!("{text}"),
    }
}

fn label(key: &str, value: &str) -> LabelSelector {
    LabelSelector::new([Requirement { key: key.into(), operator: Operator::In([value.into()].into()) }])
}

fn all() -> LabelSelector {
    LabelSelector::default()
}

/// What closes the pods that a refused policy may select.
fn is_closing(policy: &NetworkPolicy, selector: &LabelSelector) -> bool {
    policy.ingress == Some(vec![]) && policy.egress == Some(vec![]) && policy.pod_selector == *selector
}

fn tcp(first: u16, last: u16) -> PortMatch {
    PortMatch::Range { protocol: Protocol::Tcp, first, last }
}

#[test]
fn the_policy_of_every_tutorial() {
    let manifests = read_clean(include_str!("tests/tutorial.yaml"));
    let policy = &manifests.policies[&ObjectKey::new("default", "test-network-policy")];
    assert_eq!(policy.pod_selector, label("role", "db"));
    assert_eq!(policy.location, Some(Location { file: "test.yaml".into(), line: 1 }));
    let ingress = &policy.ingress.as_ref().unwrap()[0];
    assert_eq!(
        ingress.peers,
        Peers::Only(vec![
            Peer::Block(crate::model::IpBlock {
                cidr: "172.17.0.0/16".parse().unwrap(),
                except: vec!["172.17.1.0/24".parse().unwrap()],
            }),
            Peer::Pods { namespaces: Namespaces::Selected(label("project", "myproject")), pods: all() },
            Peer::Pods { namespaces: Namespaces::Own, pods: label("role", "frontend") },
        ])
    );
    assert_eq!(ingress.ports, Ports::Only(vec![tcp(6379, 6379)]));
    let egress = &policy.egress.as_ref().unwrap()[0];
    assert!(matches!(&egress.peers, Peers::Only(peers) if matches!(&peers[..], [Peer::Block(_)])));
    assert_eq!(egress.ports, Ports::Only(vec![tcp(5978, 5978)]));
}
