//! What a tenant may write is large and hostile, and costs little: time and memory of a compile are bounded, from the
//! text to the ruleset. A program of its own, because its memory is what is measured.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use podwall_compiler::{Attachment, Closed, Engine, NodeOptions, NodeState, compile};
use podwall_policy::read::{Source, read};
use podwall_policy::{Cluster, ObjectKey, PlacementOptions, place};
use podwall_ruleset::InterfaceName;

/// The resident memory that all texts together may need at their peak. One of them once took 765 MB.
const MEMORY_MIB: usize = 300;
/// For one text, on a busy machine, without much optimisation.
const TIME: Duration = Duration::from_secs(20);
/// The largest text tried; etcd takes 1.5 MiB.
const BYTES: usize = 110_000;

/// Policies that are as dear as we know how to make them, each of up to `BYTES` bytes.
fn hostile() -> Vec<(&'static str, String)> {
    let rules = |rule: &dyn Fn(usize) -> String| {
        let mut text = "podSelector: {}, ingress: [".to_owned();
        let mut index = 0;
        while text.len() < BYTES {
            write!(text, "{}, ", rule(index)).expect("a string takes all");
            index += 1;
        }
        text + "]"
    };
    vec![
        (
            // Every rule has peers of its own and overlaps with all the others: n rules make n² pairs of port and peer.
            "ranges within ranges, each with its own block",
            rules(&|index| {
                let (first, last) = (1 + index, 65_535 - index);
                let (high, low) = (index / 250, index % 250);
                format!(
                    "{{ports: [{{port: {first}, endPort: {last}}}], from: [{{ipBlock: {{cidr: 10.{high}.{low}.0/24}}}}]}}"
                )
            }),
        ),
        (
            "ranges within ranges, each with its own selector",
            rules(&|index| {
                let (first, last) = (1 + index, 65_535 - index);
                format!(
                    "{{ports: [{{port: {first}, endPort: {last}}}], from: [{{podSelector: {{matchLabels: {{l: v{index}}}}}}}]}}"
                )
            }),
        ),
        (
            "many ports in many rules of different peers",
            rules(&|index| {
                let ports: Vec<String> =
                    (0..20).map(|port| format!("{{port: {}}}", 1 + port * 3 + index % 3)).collect();
                format!(
                    "{{ports: [{}], from: [{{podSelector: {{matchLabels: {{l: v{index}}}}}}}]}}",
                    ports.join(", ")
                )
            }),
        ),
        (
            "one block full of holes",
            format!(
                "podSelector: {{}}, ingress: [{{from: [{{ipBlock: {{cidr: 10.0.0.0/8, except: [{}]}}}}]}}]",
                (0..6_000)
                    .map(|it| format!("10.{}.{}.0/32", it / 256, it % 256))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        ),
        (
            "names in egress, each for all",
            format!(
                "podSelector: {{}}, policyTypes: [Egress], egress: [{{ports: [{}]}}]",
                (0..6_000).map(|it| format!("{{port: name-{it}}}")).collect::<Vec<_>>().join(", ")
            ),
        ),
    ]
}

fn cluster(spec: &str) -> Cluster {
    let mut text = String::new();
    for pod in 0..30 {
        writeln!(text, "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: pod-{pod}, namespace: x, labels: {{l: v{pod}}}}}\nspec: {{nodeName: node-1}}")
            .expect("a string takes all");
    }
    writeln!(text, "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: large, namespace: x}}\nspec: {{{spec}}}")
        .expect("a string takes all");
    let manifests = read(&[Source { name: "large.yaml".into(), bytes: text.into_bytes() }], "default");
    place(&manifests, &PlacementOptions { node_count: 1, ipv4: true, ipv6: true }, None)
}

/// The highest resident memory so far.
fn peak_mib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("there is a /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.split_whitespace().next().and_then(|it| it.parse::<usize>().ok()).expect("a number") / 1024
}

#[test]
fn what_is_large_and_hostile_costs_little() {
    let mut failed = Vec::new();
    for (name, spec) in hostile() {
        let started = Instant::now();
        let cluster = cluster(&spec);
        assert_eq!(cluster.policies.len(), 1, "{name}");
        let attach = |key: &ObjectKey| {
            let interface = InterfaceName::new(&format!("v-{}", key.name)).expect("a short name");
            (key.clone(), Attachment::Routed(interface))
        };
        let attachments: BTreeMap<ObjectKey, Attachment> = cluster.pods.keys().map(attach).collect();
        let compiled = compile(NodeState {
            cluster: &cluster,
            node: "node-1",
            attachments: &attachments,
            closed: &Closed::default(),
            options: &NodeOptions::default(),
        });
        let from_scratch = started.elapsed();
        let mut engine = Engine::new("node-1".into(), NodeOptions::default());
        for (key, pod) in &cluster.pods {
            engine.set_attachment(key.clone(), attachments.get(key).cloned());
            engine.set_pod(key.clone(), pod.clone());
        }
        for (key, policy) in &cluster.policies {
            engine.set_policy(key.clone(), policy.clone());
        }
        assert_eq!(engine.ruleset(), compiled.ruleset, "{name}");
        let (took, peak) = (started.elapsed(), peak_mib());
        println!(
            "{name}: {} KB, from scratch in {from_scratch:.1?}, all in {took:.1?}, peak {peak} MiB",
            spec.len() / 1000
        );
        if took > TIME || peak > MEMORY_MIB {
            failed.push(format!("{name}: {took:.1?}, {peak} MiB"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
