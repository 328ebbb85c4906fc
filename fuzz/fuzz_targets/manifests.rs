//! Files of manifests, all the way to the text of a ruleset.
#![no_main]

use podwall_compiler::{Attachment, Closed, NodeOptions, NodeState, compile};
use podwall_policy::read::{Source, read};
use podwall_policy::{PlacementOptions, place};
use podwall_ruleset::InterfaceName;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let source = Source { name: "hostile.yaml".into(), bytes: bytes.to_vec() };
    let manifests = read(&[source], "default");
    manifests.problems.iter().for_each(|problem| drop(problem.to_string()));
    let cluster = place(&manifests, &PlacementOptions { node_count: 2, ipv4: true, ipv6: true }, None);
    let interface = |index: usize| InterfaceName::new(&format!("veth{index}")).expect("a short name");
    let attach = |(index, key): (usize, &podwall_policy::ObjectKey)| {
        (key.clone(), Attachment::Routed(interface(index)))
    };
    let state = NodeState {
        cluster: &cluster,
        node: "node-1",
        attachments: &cluster.pods.keys().enumerate().map(attach).collect(),
        closed: &Closed::default(),
        options: &NodeOptions::default(),
    };
    drop(compile(state).ruleset.to_string());
});
