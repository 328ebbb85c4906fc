//! Placement is total, stable, and never gives one address twice.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::read::{Source, read};

const DUAL: PlacementOptions = PlacementOptions { node_count: 2, ipv4: true, ipv6: true };
const IPV4: PlacementOptions = PlacementOptions { node_count: 2, ipv4: true, ipv6: false };

fn manifests(text: &str) -> Manifests {
    let manifests = read(&[Source { name: "test.yaml".into(), bytes: text.into() }], "default");
    assert_eq!(manifests.problems, []);
    manifests
}

fn pod(name: &str, rest: &str) -> String {
    format!("---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n{rest}\n")
}

fn workload(kind: &str, name: &str, replicas: usize) -> String {
    format!(
        "---\napiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}}}\n\
         spec: {{replicas: {replicas}, template: {{metadata: {{labels: {{app: {name}}}}}}}}}\n"
    )
}

fn service(name: &str, spec: &str) -> String {
    format!("---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n")
}

fn describe(cluster: &Cluster) -> Vec<String> {
    cluster
        .pods
        .iter()
        .map(|(key, pod)| {
            let addresses: Vec<_> = pod.addresses.iter().map(ToString::to_string).collect();
            format!("{} {} {}", key.name, pod.node.as_deref().unwrap_or("-"), addresses.join(","))
        })
        .collect()
}

fn node_addresses(cluster: &Cluster) -> Vec<String> {
    let text = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    cluster.nodes.iter().map(|(name, node)| format!("{name} {}", text(&node.addresses))).collect()
}

#[test]
fn pods_are_spread_and_addressed() {
    let cluster = place(&manifests(&["a", "b", "c"].map(|name| pod(name, "")).concat()), &DUAL, None);
    assert_eq!(
        describe(&cluster),
        [
            "a node-1 10.244.0.2,fd00:10:244::2",
            "b node-2 10.244.1.2,fd00:10:244:1::2",
            "c node-1 10.244.0.3,fd00:10:244::3",
        ]
    );
    assert_eq!(
        node_addresses(&cluster),
        ["node-1 172.18.0.10,fc00:f853:ccd:e793::10", "node-2 172.18.0.11,fc00:f853:ccd:e793::11"]
    );
}

#[test]
fn nodes_are_those_named_and_then_numbered() {
    let text = pod("a", "spec: {nodeName: worker}")
        + &pod("b", "spec: {nodeName: node-1}")
        + "---\napiVersion: v1\nkind: Node\nmetadata: {name: control}\n\
           status: {addresses: [{type: InternalIP, address: 172.18.0.11}]}\n";
    let cluster = place(&manifests(&text), &PlacementOptions { node_count: 4, ..IPV4 }, None);
    assert_eq!(
        node_addresses(&cluster),
        // In the order control, node-1, worker, node-2; an address that the manifests use is passed over.
        ["control 172.18.0.11", "node-1 172.18.0.12", "node-2 172.18.0.14", "worker 172.18.0.13"]
    );
    assert_eq!(describe(&cluster), ["a worker 10.244.2.2", "b node-1 10.244.1.2"]);
    assert_eq!(place(&manifests(""), &PlacementOptions { node_count: 0, ..IPV4 }, None).nodes.len(), 1);
}

#[test]
fn workloads_become_pods() {
    let text = pod("web-1", "")
        + &workload("Deployment", "web", 2)
        + &workload("StatefulSet", "web", 1)
        + &workload("DaemonSet", "log", 1)
        + &workload("ReplicaSet", "none", 0)
        + "---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: job}\nspec: {template: {}}\n"
        + &pod("log-node-2", "");
    let cluster = place(&manifests(&text), &IPV4, None);
    let names: Vec<_> = cluster.pods.keys().map(|key| &*key.name).collect();
    assert_eq!(
        names,
        ["job-0", "log-node-1", "log-node-2", "log-node-2-2", "web-0", "web-1", "web-2", "web-3"],
        "a name that is taken is passed over"
    );
    let pod = |name: &str| &cluster.pods[&ObjectKey::new("default", name)];
    assert!(
        pod("web-1").labels.is_empty() && pod("log-node-2").labels.is_empty(),
        "what is written out stays"
    );
    assert_eq!(&*pod("web-3").labels["app"], "web");
    assert_eq!(pod("log-node-2-2").node.as_deref(), Some("node-2"));
    assert!(cluster.pods.values().all(|pod| pod.addresses.len() == 1));
}

#[test]
fn what_is_pinned_is_kept_and_given_to_nobody_else() {
    let text = pod("a", "")
        + &pod("b", "status: {podIP: 10.244.0.2}")
        + &pod("c", "status: {podIP: \"fd00::7\"}")
        + &pod("d", "status: {phase: Succeeded, podIP: 10.244.0.3}")
        + &pod("e", "status: {phase: Failed}")
        + &pod("f", "spec: {hostNetwork: true, nodeName: node-1}");
    let cluster = place(&manifests(&text), &PlacementOptions { node_count: 1, ..IPV4 }, None);
    assert_eq!(
        describe(&cluster),
        [
            "a node-1 10.244.0.4",
            "b node-1 10.244.0.2",
            "c node-1 fd00::7",
            "d node-1 10.244.0.3",
            "e node-1 ",
            "f node-1 172.18.0.10",
        ]
    );
}

#[test]
fn a_pod_stays_where_it_was() {
    let before = place(&manifests(&(pod("b", "") + &pod("c", ""))), &IPV4, None);
    assert_eq!(describe(&before), ["b node-1 10.244.0.2", "c node-2 10.244.1.2"]);
    let text = pod("a", "") + &pod("b", "") + &pod("d", "");
    let after = place(&manifests(&text), &IPV4, Some(&before));
    assert_eq!(
        describe(&after),
        ["a node-2 10.244.1.3", "b node-1 10.244.0.2", "d node-1 10.244.0.3"],
        "what c had is not given away at once"
    );
    let pinned = pod("b", "spec: {nodeName: node-2}") + &pod("x", "status: {podIP: 10.244.0.2}");
    let moved = place(&manifests(&pinned), &IPV4, Some(&before));
    // What is pinned goes before what was assigned. node-2 is named now, so it is the first.
    assert_eq!(describe(&moved), ["b node-2 10.244.0.3", "x node-1 10.244.0.2"]);
    let host = place(&manifests(&pod("b", "spec: {hostNetwork: true}")), &IPV4, Some(&before));
    assert_eq!(describe(&host), ["b node-1 172.18.0.10"]);
    let back = place(&manifests(&pod("b", "")), &IPV4, Some(&host));
    assert_eq!(describe(&back), ["b node-1 10.244.0.2"]);
}

#[test]
fn nodes_keep_their_addresses_when_others_are_named() {
    let before = place(&manifests(&pod("a", "")), &IPV4, None);
    let after = place(
        &manifests(&pod("a", "spec: {nodeName: early}")),
        &PlacementOptions { node_count: 3, ..IPV4 },
        Some(&before),
    );
    assert_eq!(node_addresses(&after), ["early 172.18.0.12", "node-1 172.18.0.10", "node-2 172.18.0.11"]);
}

#[test]
fn families() {
    let text = pod("a", "") + &pod("b", "status: {podIP: 10.9.9.9}") + &service("s", "ports: [{port: 80}]");
    let cluster = place(&manifests(&text), &PlacementOptions { ipv4: false, ..DUAL }, None);
    assert_eq!(describe(&cluster), ["a node-1 fd00:10:244::2", "b node-2 10.9.9.9"]);
    let addresses = &cluster.services[&ObjectKey::new("default", "s")].cluster_addresses;
    assert_eq!(addresses[..], ["fd00:10:96::10".parse::<IpAddr>().unwrap()]);
    let four = place(&manifests(&text), &IPV4, None);
    let both = place(&manifests(&text), &DUAL, Some(&four));
    assert_eq!(describe(&both)[0], "a node-1 10.244.0.2,fd00:10:244::2", "the missing family is added");
}

#[test]
fn services_get_cluster_addresses() {
    let text = service("a", "ports: [{port: 80}]")
        + &service("b", "clusterIP: 10.96.0.10")
        + &service("c", "clusterIP: None")
        + &service("d", "type: ExternalName")
        + &service("e", "selector: {a: b}");
    let cluster = place(&manifests(&text), &IPV4, None);
    let addresses = |cluster: &Cluster| -> Vec<String> {
        let of =
            |service: &Service| service.cluster_addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
        cluster.services.values().map(|service| of(service).join(",")).collect()
    };
    assert_eq!(addresses(&cluster), ["10.96.0.11", "10.96.0.10", "", "", "10.96.0.12"]);
    let text = service("0", "").replace("name: 0", "name: a0") + &service("e", "");
    assert_eq!(addresses(&place(&manifests(&text), &IPV4, Some(&cluster))), ["10.96.0.13", "10.96.0.12"]);
    // What a Service says now is not what it had.
    let text = service("a", "clusterIP: None") + &service("e", "clusterIP: 10.96.0.77");
    assert_eq!(addresses(&place(&manifests(&text), &IPV4, Some(&cluster))), ["", "10.96.0.77"]);
}

#[test]
fn ten_thousand_pods_on_one_node() {
    let one = PlacementOptions { node_count: 1, ..DUAL };
    let cluster = place(&manifests(&workload("Deployment", "web", 10_000)), &one, None);
    let addresses: BTreeSet<IpAddr> = cluster.pods.values().flat_map(|pod| pod.addresses.clone()).collect();
    assert_eq!(addresses.len(), 20_000);
    assert!(addresses.contains(&"10.245.0.2".parse().unwrap()));
    let many = place(
        &manifests(&workload("DaemonSet", "log", 1)),
        &PlacementOptions { node_count: 1000, ..DUAL },
        None,
    );
    let addresses: BTreeSet<IpAddr> = many.pods.values().flat_map(|pod| pod.addresses.clone()).collect();
    assert_eq!(addresses.len(), 2000);
}

/// Objects of many kinds, each a file of its own.
fn files() -> Vec<String> {
    let mut files: Vec<String> = (0..9).map(|index| pod(&format!("p{index}"), "")).collect();
    files.extend([
        pod("pinned", "spec: {nodeName: special}\nstatus: {podIP: 10.244.1.2}"),
        pod("done", "status: {phase: Succeeded, podIP: 10.244.1.3}"),
        workload("Deployment", "web", 5),
        workload("StatefulSet", "web", 3),
        workload("DaemonSet", "log", 1),
        service("a", "ports: [{port: 80}]"),
        service("b", "ports: [{port: 80}]"),
    ]);
    files
}

fn without_locations(mut cluster: Cluster) -> Cluster {
    cluster.pods.values_mut().for_each(|pod| pod.location = None);
    cluster.services.values_mut().for_each(|service| service.location = None);
    cluster
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_of_files_does_not_matter(
        shuffled in Just(files()).prop_shuffle(),
        kept in proptest::sample::subsequence(files(), 0..files().len()),
    ) {
        let before = place(&manifests(&kept.concat()), &DUAL, None);
        let first = without_locations(place(&manifests(&files().concat()), &DUAL, Some(&before)));
        let second = without_locations(place(&manifests(&shuffled.concat()), &DUAL, Some(&before)));
        prop_assert_eq!(&first, &second);
        let mut seen = BTreeSet::new();
        let own = first.pods.values().filter(|pod| pod.takes_part()).flat_map(|pod| &pod.addresses);
        let services = first.services.values().flat_map(|service| &service.cluster_addresses);
        for address in own.chain(services).chain(first.nodes.values().flat_map(|node| &node.addresses)) {
            prop_assert!(seen.insert(*address), "{} twice", address);
        }
        let pinned = ["10.244.1.2", "10.244.1.3"].map(|text| text.parse::<IpAddr>().unwrap());
        for (key, pod) in &before.pods {
            if !pod.addresses.iter().any(|address| pinned.contains(address)) {
                prop_assert_eq!(&pod.addresses, &first.pods[key].addresses);
            }
        }
        let again = without_locations(place(&manifests(&files().concat()), &DUAL, Some(&first)));
        prop_assert_eq!(again, first);
    }
}
