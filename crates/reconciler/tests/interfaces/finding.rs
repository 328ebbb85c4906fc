//! Pods are found.

use std::time::{Duration, Instant};

use podwall_compiler::{Attachment, UnknownPods};
use podwall_reconciler::interfaces::UnknownRule;
use podwall_ruleset::InterfaceName;

use crate::host::{Loop, Namespace, add_bridge, bridged_pod, ip, routed_pod};

fn name(text: &str) -> InterfaceName {
    InterfaceName::new(text).expect("a name")
}

pub fn a_routed_pod_is_found() {
    let _there_before = routed_pod("veth1", "10.1.0.1");
    let mut agent = Loop::start();
    agent.set_pod("before", &["10.1.0.1"]);
    let known = agent.until_found("before");
    let _comes_later = routed_pod("veth2", "10.1.0.2");
    agent.set_pod("later", &["10.1.0.2"]);
    let new = agent.until_found("later");
    println!("     routed: in the first list {known:?}, made afterwards {new:?}");
    assert_eq!(agent.attachment("before"), Some(&Attachment::Routed(name("veth1"))));
    assert_eq!(agent.attachment("later"), Some(&Attachment::Routed(name("veth2"))));
    let drop = UnknownPods::Drop { interface_prefixes: vec![name("veth")], bridge_ranges: vec![] };
    assert_eq!(UnknownRule::new(None).decide(agent.watch.links(), &agent.finder), Some(drop));
}

pub fn a_bridged_pod_is_found() {
    add_bridge();
    let pod = bridged_pod("veth1", "10.22.0.5");
    pod.ip("link set eth0 address 0a:58:0a:16:00:05\n");
    let mut agent = Loop::start();
    agent.set_pod("a", &["10.22.0.5"]);
    let known = agent.until_found("a");
    let _other = bridged_pod("veth2", "10.22.0.6");
    agent.set_pod("b", &["10.22.0.6"]);
    let new = agent.until_found("b");
    println!("     bridged: in the first list {known:?}, made afterwards {new:?}");
    let Some(Attachment::Bridged { port, hardware_address: Some(address) }) = agent.attachment("a") else {
        panic!("{:?}", agent.attachment("a"))
    };
    assert_eq!((port, address.0), (&name("veth1"), [0x0a, 0x58, 0x0a, 0x16, 0, 5]));
    let range = "10.22.0.0/16".parse().expect("a range");
    let drop = UnknownPods::Drop { interface_prefixes: vec![], bridge_ranges: vec![range] };
    assert_eq!(UnknownRule::new(None).decide(agent.watch.links(), &agent.finder), Some(drop));
}

/// From the last step of the plugin to the attachment, the loop running all the time. A bridged pod has no event that
/// says that its address is there: the next look finds it.
pub fn a_pod_that_is_known_first_is_found() {
    add_bridge();
    let mut agent = Loop::start();
    let mut found_after = |name: &str, address: &'static str, make: fn(&str, &str) -> Namespace| {
        agent.set_pod(name, &[address]);
        agent.until("it is waited for", |it| it.finder.next_at().is_some());
        let link = format!("veth-{name}");
        let plugin = std::thread::spawn(move || (make(&link, address), Instant::now()));
        agent.until_found(name);
        let found = Instant::now();
        let (pod, made) = plugin.join().expect("a pod");
        (pod, found.saturating_duration_since(made))
    };
    let (_one, routed) = found_after("routed", "10.1.0.1", routed_pod);
    let (_other, bridged) = found_after("bridged", "10.22.0.5", bridged_pod);
    println!("     known before they are made: routed {routed:?}, bridged {bridged:?}");
    assert!(routed.max(bridged) < Duration::from_secs(2));
}

/// Nobody is told when the other side of a pair is moved.
pub fn a_side_that_is_moved_later_is_found() {
    let mut agent = Loop::start();
    ip("link add veth1 type veth peer name inner\nlink set veth1 up\n");
    agent.until("the pair is seen", |it| it.watch.links().links().count() == 3);
    let pod = Namespace::new();
    ip(&format!("link set inner netns {}\n", pod.path()));
    pod.ip("addr add 10.1.0.1/24 dev inner\n");
    agent.set_pod("a", &["10.1.0.1"]);
    agent.until_found("a");
    assert_eq!(agent.attachment("a"), Some(&Attachment::Routed(name("veth1"))));
}

pub fn a_liar_gets_its_own_port_only() {
    add_bridge();
    let liar = bridged_pod("veth1", "10.22.0.5");
    let _victim = bridged_pod("veth2", "10.22.0.6");
    liar.ip("addr add 10.22.0.6/16 dev eth0\n");
    let mut agent = Loop::start();
    agent.set_pod("victim", &["10.22.0.6"]);
    let problem = |it: &mut Loop| !it.finder.problems(it.watch.links()).is_empty();
    agent.until("the doubt is told", problem);
    assert_eq!(agent.attachment("victim"), None);
    assert!(agent.finder.closed(agent.watch.links()).interfaces.contains(&name("veth1")));
    agent.set_pod("liar", &["10.22.0.5"]);
    agent.until_found("victim");
    let is_port = |pod, port| matches!(agent.attachment(pod), Some(Attachment::Bridged { port: it, .. }) if *it == name(port));
    assert!(is_port("victim", "veth2") && is_port("liar", "veth1"));
}

pub fn two_hundred_and_fifty_pods_are_found() {
    const PODS: usize = 250;
    add_bridge();
    let address = |number: usize| format!("10.22.{}.{}", 1 + number / 250, number % 250);
    let pods: Vec<Namespace> =
        (0..PODS).map(|number| bridged_pod(&format!("veth{number}"), &address(number))).collect();
    let started = Instant::now();
    let mut agent = Loop::start();
    let listed = started.elapsed();
    for number in 0..PODS {
        agent.set_pod(&format!("pod{number}"), &[&address(number)]);
    }
    let found = agent.until("all are found", |it| it.attachments.len() == PODS);
    println!("     {PODS} bridged pods: listed in {listed:?}, found in {found:?}");
    let one_more = bridged_pod("vethx", "10.22.200.1");
    agent.set_pod("x", &["10.22.200.1"]);
    let more = agent.until_found("x");
    println!("     one more beside them: {more:?}");
    assert!(found < Duration::from_secs(10));
    drop((pods, one_more));
}
