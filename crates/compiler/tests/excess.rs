//! Whom a program that says too much is laid at the door of; its pods are closed.

use podwall_compiler::{Attachment, Closed, NodeOptions, NodeState, compile};
use podwall_policy::read::{Source, read};
use podwall_policy::{
    Cluster, Consequence, IpBlock, LabelSelector, Mode, NetworkPolicy, ObjectKey, Peer, Peers, PortMatch,
    Ports, Protocol, Rule,
};
use podwall_ruleset::InterfaceName;

fn rule(peers: u16, ports: u16) -> Rule {
    let peer = |number: u16| {
        let cidr = format!("10.{}.{}.0/24", number >> 8, number & 255).parse().unwrap();
        Peer::Block(IpBlock { cidr, except: vec![] })
    };
    let port = |number: u16| PortMatch::Range {
        protocol: Protocol::Tcp,
        first: 2 * number + 1,
        last: 2 * number + 1,
    };
    Rule {
        peers: Peers::Only((0..peers).map(peer).collect()),
        ports: Ports::Only((0..ports).map(port).collect()),
    }
}

/// What is said of a pod that both policies isolate for ingress: one rule of many peers and ports each, and many small
/// rules.
fn problems(mode: Option<Mode>) -> Vec<podwall_policy::Problem> {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {nodeName: node-1}\n";
    let manifests = read(&[Source { name: "pod".into(), bytes: text.into() }], "default");
    let mut cluster = Cluster { pods: manifests.pods, ..Cluster::default() };
    let policy = |rules| NetworkPolicy {
        pod_selector: LabelSelector::default(),
        ingress: Some(rules),
        egress: None,
        mode,
        location: None,
    };
    cluster.policies.insert(ObjectKey::new("default", "a-few"), policy(vec![rule(600, 600)]));
    cluster.policies.insert(ObjectKey::new("default", "many"), policy(vec![rule(1, 1); 2000]));
    let veth = Attachment::Routed(InterfaceName::new("veth0").unwrap());
    let attachments = [(ObjectKey::new("default", "web"), veth)].into();
    compile(NodeState {
        cluster: &cluster,
        node: "node-1",
        attachments: &attachments,
        closed: &Closed::default(),
        options: &NodeOptions::default(),
    })
    .problems
}

#[test]
fn the_policy_that_says_most_is_named() {
    let all = problems(None);
    let [problem] = &all[..] else { panic!("{all:?}") };
    assert_eq!(problem.object.as_deref(), Some("NetworkPolicy default/a-few"));
    assert_eq!(problem.field.as_deref(), Some("spec.ingress"));
    assert_eq!(problem.consequence, Consequence::Closed);
    assert!(problem.message.contains("250000 pairs"), "{problem}");
}

#[test]
fn what_is_only_audited_closes_nobody() {
    assert_eq!(problems(Some(Mode::Audit)), []);
}
