use podwall_compiler::NodeOptions;
use podwall_policy::read::{Source, read};
use podwall_policy::{PlacementOptions, place};

use super::*;

const CLUSTER: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node-1, containers: [{name: c}]}
status: {podIP: 10.0.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {nodeName: node-1, containers: [{name: c}]}
status: {podIP: 10.0.0.3}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web-egress, namespace: shop, annotations: {podwall.io/mode: audit}}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}
";

fn engine() -> Engine {
    let manifests = read(&[Source { name: "c.yaml".into(), bytes: CLUSTER.into() }], "default");
    assert_eq!(manifests.problems, []);
    let cluster = place(&manifests, &PlacementOptions { node_count: 1, ipv4: true, ipv6: false }, None);
    let flow_log = Some(FlowLog { group: 1, allowed: true });
    let mut engine = Engine::new("node-1".into(), NodeOptions { flow_log, ..NodeOptions::default() });
    cluster.pods.into_iter().for_each(|(key, pod)| engine.set_pod(key, pod));
    cluster.policies.into_iter().for_each(|(key, policy)| engine.set_policy(key, policy));
    engine.take_changes();
    engine
}

fn packet(prefix: &str, source: &str, destination: &str, port: Option<u16>) -> LoggedPacket {
    LoggedPacket {
        prefix: prefix.to_owned(),
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol: if port.is_some() { 6 } else { 1 },
        destination_port: port,
    }
}

fn take(flows: &mut Flows, packets: Vec<LoggedPacket>, lost: u64) {
    let is_local = |address: IpAddr| address == "172.18.0.10".parse::<IpAddr>().unwrap();
    flows.take(Logged { packets, lost }, &engine(), &"node-1".into(), is_local);
}

#[test]
fn a_record_says_who_and_why() {
    let mut flows = Flows::off();
    let mut following = flows.subscribe().following;
    let denied = || packet("podwall denied ingress", "10.0.0.2", "10.0.0.3", Some(5432));
    take(&mut flows, vec![denied(), denied()], 0);
    take(&mut flows, vec![denied(), packet("of another program", "10.0.0.2", "10.0.0.3", Some(1))], 7);
    take(&mut flows, vec![packet("podwall audit egress", "10.0.0.2", "203.0.113.9", None)], 0);
    take(&mut flows, vec![packet("podwall allowed", "172.18.0.10", "10.0.0.2", Some(80))], 0);
    // Not of a pod of this node.
    take(&mut flows, vec![packet("podwall allowed", "10.9.9.9", "203.0.113.9", Some(80))], 0);
    assert_eq!(flows.lost(), 7);
    let records = flows.subscribe().records;
    let say = |record: &FlowRecord| {
        let end = |end: &FlowEnd| match (&end.pod, end.own_node) {
            (Some(pod), _) => pod.to_string(),
            (None, true) => "node".to_owned(),
            (None, false) => end.address.to_string(),
        };
        format!(
            "{:?} {} {} {}/{:?} {:?} x{}",
            record.verdict,
            end(&record.from),
            end(&record.to),
            record.protocol,
            record.port,
            record.policies,
            record.count
        )
    };
    let mut said: Vec<String> = records.iter().map(say).collect();
    said.sort();
    assert_eq!(
        said,
        [
            "Allowed node shop/web TCP/Some(80) [] x1",
            "Audit shop/web 203.0.113.9 1/None [\"shop/web-egress\"] x1",
            "Denied shop/web shop/db TCP/Some(5432) [\"shop/db\"] x3",
        ]
    );
    // Who follows is told what came together.
    assert_eq!(following.try_recv().unwrap().count, 2);
    assert_eq!(following.try_recv().unwrap().count, 1);
}

#[test]
fn what_is_kept_is_bounded_and_of_each_verdict() {
    let mut flows = Flows::off();
    take(&mut flows, vec![packet("podwall audit egress", "10.0.0.2", "203.0.113.9", None)], 0);
    for chunk in 0..RECORDS_MAX as u16 / 100 + 10 {
        let packets = (0..100)
            .map(|port| packet("podwall denied ingress", "10.0.0.2", "10.0.0.3", Some(chunk * 100 + port)));
        take(&mut flows, packets.collect(), 0);
    }
    let records = flows.subscribe().records;
    let of = |verdict| records.iter().filter(|record| record.verdict == verdict).count();
    assert!(
        (RECORDS_MAX / 2..=RECORDS_MAX).contains(&of(FlowVerdict::Denied)),
        "{}",
        of(FlowVerdict::Denied)
    );
    assert_eq!(of(FlowVerdict::Audit), 1);
}
