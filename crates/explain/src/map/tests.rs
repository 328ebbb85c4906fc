//! What a map says of two ends is what `evaluate` says of their pods.

use std::time::Instant;

use podwall_policy::{
    Endpoint, Flow, FlowEnd, FlowRecord, FlowVerdict, ObjectKey, PlacementOptions, Protocol, Source,
    Transport, evaluate,
};

use super::Map;
use crate::snapshot::Snapshot;

fn snapshot(text: &str) -> Snapshot {
    let source = Source { name: "a.yaml".to_owned(), bytes: text.into() };
    let placement = PlacementOptions { node_count: 2, ipv4: true, ipv6: false };
    let snapshot = Snapshot::read(&[source], "default", &placement, None);
    assert!(snapshot.problems().is_empty(), "{:?}", snapshot.problems());
    snapshot
}

fn workload(namespace: &str, name: &str) -> String {
    format!(
        "---\nkind: Deployment\napiVersion: apps/v1\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{replicas: \
         2, template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: c}}]}}}}}}\n"
    )
}

fn policy(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "---\nkind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {{name: {name}, namespace: \
         {namespace}}}\nspec: {{{spec}}}\n"
    )
}

fn shop() -> Snapshot {
    let objects = [
        workload("shop", "web"),
        workload("shop", "db"),
        workload("other", "job"),
        policy(
            "shop",
            "db",
            "podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: \
                {app: web}}}], ports: [{port: 5432}]}]",
        ),
        policy(
            "shop",
            "web",
            "podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: \
                203.0.113.0/24}}], ports: [{port: 443}]}]",
        ),
    ];
    snapshot(&objects.concat())
}

fn texts(map: &Map) -> Vec<String> {
    let name = |index: usize| map.ends[index].name.clone();
    map.edges().map(|(from, to, ports)| format!("{} -> {} {ports}", name(from), name(to))).collect()
}

#[test]
fn edges_are_what_evaluate_allows() {
    let state = shop();
    let map = Map::new(&state, &[]);
    assert_eq!(
        texts(&map),
        [
            "shop/deployment/web -> shop/deployment/db TCP/5432",
            "203.0.113.0/24 -> shop/deployment/web TCP/443",
        ]
    );
    let pods: Vec<&ObjectKey> = state.cluster.pods.keys().collect();
    let end_of = |pod: &ObjectKey| {
        let workload = pod.name.rsplit_once('-').unwrap().0;
        let name = format!("{}/deployment/{workload}", pod.namespace);
        map.ends.iter().position(|end| end.name == name).unwrap()
    };
    for from in &pods {
        for to in pods.iter().filter(|to| to != &from) {
            let endpoint = |pod: &ObjectKey| Endpoint::Pod {
                pod: pod.clone(),
                address: state.cluster.pods[pod].addresses[0],
            };
            for port in [443, 5432] {
                let transport = Transport::Port(Protocol::Tcp, port);
                let flow = Flow { from: endpoint(from), to: endpoint(to), transport };
                let (from, to) = (end_of(from), end_of(to));
                let judged = map.groups[map.ends[from].group].egress.is_some()
                    || map.groups[map.ends[to].group].ingress.is_some();
                let drawn = map.edges().any(|it| (it.0, it.1) == (from, to) && it.2 == format!("TCP/{port}"));
                assert_eq!(evaluate(&state.cluster, &flow).allowed(), drawn || !judged, "{flow:?}");
            }
        }
    }
}

fn record(state: &Snapshot, from: &str, to: &str, verdict: FlowVerdict) -> FlowRecord {
    let end = |name: &str| match name.split_once('/') {
        Some((namespace, pod)) => {
            let key = ObjectKey::new(namespace, pod);
            let address =
                state.cluster.pods.get(&key).map_or("10.9.9.9".parse().unwrap(), |it| it.addresses[0]);
            FlowEnd { address, pod: Some(key), own_node: false }
        }
        None => FlowEnd { address: name.parse().unwrap(), pod: None, own_node: false },
    };
    FlowRecord {
        first_seen_ms: 1,
        last_seen_ms: 1,
        verdict,
        direction: None,
        from: end(from),
        to: end(to),
        protocol: "TCP".to_owned(),
        port: Some(443),
        policies: Vec::new(),
        count: 3,
    }
}

#[test]
fn flows_are_placed_by_pod_workload_and_block() {
    let state = shop();
    let records = [
        record(&state, "203.0.113.7", "shop/web-0", FlowVerdict::Allowed),
        record(&state, "203.0.113.8", "shop/web-1", FlowVerdict::Allowed),
        record(&state, "other/job-7d4b9c5f6d-x2x9k", "shop/db-1", FlowVerdict::Denied),
        record(&state, "other/unheard-of", "shop/db-1", FlowVerdict::Denied),
    ];
    let map = Map::new(&state, &records);
    let seen = map.observed.iter().map(|it| {
        format!(
            "{} -> {} {} {:?} {}",
            map.ends[it.from].name, map.ends[it.to].name, it.port, it.verdict, it.count
        )
    });
    assert_eq!(
        seen.collect::<Vec<_>>(),
        [
            "other/deployment/job -> shop/deployment/db TCP/443 Denied 3",
            "203.0.113.0/24 -> shop/deployment/web TCP/443 Allowed 6",
        ]
    );
    assert_eq!(map.unplaced, 1);
}

#[test]
fn pages_hold_what_objects_are_called_as_text_only() {
    let mut map = Map::new(&shop(), &[]);
    map.ends[0].name = "x/</script><script>alert(1)</script>".to_owned();
    let page = map.to_html();
    assert!(!page.contains("<script>alert"), "a name became part of the page");
    assert!(!map.to_svg().contains("<script>"));
    for left in ["/*data*/", "/*places*/", "/*script*/", "<!--picture-->", "/*style*/"] {
        assert!(!page.contains(left), "{left} was not filled in");
    }
    assert!(
        !page.contains("http://")
            || page.matches("http://").count() == page.matches("http://www.w3.org/").count()
    );
}

/// Prints how long it takes and how large the page is. The limit is generous: a loaded machine is no bug.
#[test]
fn five_hundred_workloads() {
    let text: String = (0..500)
        .map(|index| {
            let (namespace, name) = (format!("team-{}", index / 25), format!("service-{}", index % 25));
            let next = (index + 1) % 25;
            let spec = format!(
                "podSelector: {{matchLabels: {{app: {name}}}}}, policyTypes: [Ingress, Egress], ingress: [{{from: \
                 [{{podSelector: {{matchLabels: {{app: service-{next}}}}}}}], ports: [{{port: {}}}]}}], egress: [{{to: \
                 [{{podSelector: {{}}}}]}}, {{to: [{{ipBlock: {{cidr: 198.51.100.0/24}}}}], ports: [{{port: 443}}]}}]",
                8000 + index % 7
            );
            workload(&namespace, &name) + &policy(&namespace, &name, &spec)
        })
        .collect();
    let state = snapshot(&text);
    let began = Instant::now();
    let map = Map::new(&state, &[]);
    let made = began.elapsed();
    let page = map.to_html();
    println!(
        "500 workloads, 500 policies: map {made:?}, page {:?}, {} KiB, {} edges",
        began.elapsed() - made,
        page.len() >> 10,
        map.edges().count()
    );
    assert_eq!(map.ends.iter().filter(|end| end.namespace.is_some()).count(), 500);
    assert!(made.as_secs() < 60, "{made:?}");
    assert!(page.len() < 4 << 20);
}
