//! How long a change takes, stage by stage: compile, diff, and the kernel's acknowledgement, at named sizes.
//!
//! The incremental engine is not there yet: every change compiles the whole node, and the figures say what that
//! costs. The last column is the part that will stay.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use podwall_compiler::{Attachment, Closed, NodeOptions, NodeState, compile};
use podwall_netlink::Kernel;
use podwall_policy::{
    Cluster, LabelSelector, Labels, Namespaces, NetworkPolicy, ObjectKey, Operator, Peer, Peers, Pod,
    PortMatch, Ports, Protocol, Requirement, Rule,
};
use podwall_ruleset::{InterfaceName, Known, diff};

/// Pods in the cluster, policies in the cluster.
const SIZES: [(u32, u32); 3] = [(1_000, 100), (10_000, 100), (10_000, 1_000)];
const LOCAL_PODS: u32 = 110;
const NAMESPACES: u32 = 20;
const ROUNDS: usize = 20;
const NODE: &str = "node-1";

fn main() {
    // A namespace of our own: as root, or in a user namespace.
    unshare(CloneFlags::CLONE_NEWNET)
        .or_else(|_| unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET))
        .expect("a network namespace: allow user namespaces or run as root");
    println!(
        "{LOCAL_PODS} local pods, {NAMESPACES} namespaces; median [lowest to highest] of {ROUNDS} rounds\n"
    );
    println!(
        "{:>7} {:>8}  {:<18} {:>34} {:>34} {:>34}",
        "pods", "policies", "change", "compile", "diff", "kernel"
    );
    for (pods, policies) in SIZES {
        measure(pods, policies);
    }
}

fn measure(pods: u32, policies: u32) {
    let mut kernel = Kernel::open().expect("a netlink socket");
    let mut cluster = cluster(pods, policies);
    let attachments = attachments(&cluster);
    let options = NodeOptions::default();
    let mut known = Known::Unknown;
    let remote = ObjectKey::new(namespace(LOCAL_PODS + 1), pod_name(LOCAL_PODS + 1));
    let mut samples: BTreeMap<&str, Vec<[Duration; 3]>> = BTreeMap::new();
    for round in 0..=ROUNDS {
        let change = if round == 0 { "whole table" } else { "label of one pod" };
        let label = if round % 2 == 0 { "app-1" } else { "app-2" };
        cluster.pods.get_mut(&remote).expect("made").labels.insert("app".into(), label.into());
        let start = Instant::now();
        let state = NodeState {
            cluster: &cluster,
            node: NODE,
            attachments: &attachments,
            closed: &Closed::default(),
            options: &options,
        };
        let ruleset = compile(state).ruleset;
        let compiled = start.elapsed();
        let transaction = diff(&known, &ruleset);
        let different = start.elapsed();
        kernel.apply(&transaction).expect("the kernel takes it");
        let applied = start.elapsed();
        known = Known::Exactly(ruleset);
        samples.entry(change).or_default().push([compiled, different - compiled, applied - different]);
    }
    for (change, samples) in samples.iter().rev() {
        let stage = |index: usize| spread(samples.iter().map(|it| it[index]).collect());
        println!("{pods:>7} {policies:>8}  {change:<18} {:>34} {:>34} {:>34}", stage(0), stage(1), stage(2));
    }
}

fn spread(mut samples: Vec<Duration>) -> String {
    samples.sort();
    let (low, median, high) = (samples[0], samples[samples.len() / 2], samples[samples.len() - 1]);
    format!("{median:.1?} [{low:.1?} to {high:.1?}]")
}

fn namespace(index: u32) -> String {
    format!("namespace-{}", index % NAMESPACES)
}

fn pod_name(index: u32) -> String {
    format!("pod-{index}")
}

fn cluster(pods: u32, policies: u32) -> Cluster {
    let mut cluster = Cluster::default();
    for index in 0..pods {
        let labels = Labels::from([("app".into(), format!("app-{}", index / NAMESPACES % 10).into())]);
        let node = if index < LOCAL_PODS { NODE } else { "node-2" };
        let address = std::net::Ipv4Addr::from(0x0af4_0000 + index);
        let pod = Pod {
            labels,
            node: Some(node.into()),
            addresses: vec![address.into()],
            host_network: false,
            finished: false,
            terminating: false,
            started: "".into(),
            ports: vec![],
            anti_spoofing: None,
            location: None,
        };
        cluster.pods.insert(ObjectKey::new(namespace(index), pod_name(index)), pod);
    }
    for index in 0..policies {
        let app = |number: u32| {
            let values = [format!("app-{}", number % 10).into()].into();
            LabelSelector::new([Requirement { key: "app".into(), operator: Operator::In(values) }])
        };
        let peer = Peer::Pods { namespaces: Namespaces::Own, pods: app(index + 1) };
        let port = 1_000 + u16::try_from(index % 1_000).expect("below 1,000");
        let ports = Ports::Only(vec![PortMatch::Range { protocol: Protocol::Tcp, first: port, last: port }]);
        let rule = Rule { peers: Peers::Only(vec![peer]), ports };
        let policy = NetworkPolicy {
            pod_selector: app(index / NAMESPACES),
            ingress: Some(vec![rule]),
            egress: None,
            location: None,
        };
        cluster.policies.insert(ObjectKey::new(namespace(index), format!("policy-{index}")), policy);
    }
    cluster
}

fn attachments(cluster: &Cluster) -> BTreeMap<ObjectKey, Attachment> {
    let local = cluster.pods.iter().filter(|(_, pod)| pod.node.as_deref() == Some(NODE));
    let interface = |key: &ObjectKey| InterfaceName::new(&format!("veth-{}", key.name)).expect("short");
    local.map(|(key, _)| (key.clone(), Attachment::Routed(interface(key)))).collect()
}
