//! Pods written out beside the workload that made them, as `kubectl get deployments,replicasets,pods` prints them.

use super::*;
use crate::placement::{PlacementOptions, place};
use crate::workload::workload_pods;

fn owned(kind: &str, name: &str, owner: (&str, &str), rest: &str) -> String {
    let version = if kind == "Pod" { "v1" } else { "apps/v1" };
    format!(
        "---\napiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {name}\n  labels: {{pod-template-hash: 7d9}}\n  \
         ownerReferences: [{{kind: Event, name: other}}, {{kind: {}, name: {}, controller: true}}]\n{rest}\n",
        owner.0, owner.1
    )
}

fn deployment(name: &str) -> String {
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec: {{replicas: 3, template: {{}}}}\n"
    )
}

/// The names of all pods, and each workload with its own.
fn pods_of(text: &str) -> (Vec<String>, Vec<(String, Vec<String>)>) {
    let manifests = read_clean(text);
    let cluster = place(&manifests, &PlacementOptions { node_count: 2, ipv4: true, ipv6: false }, None);
    let named = |pods: &[ObjectKey]| pods.iter().map(|key| key.name.to_string()).collect::<Vec<_>>();
    let workloads = workload_pods(&manifests, &cluster);
    (
        cluster.pods.keys().map(|key| key.name.to_string()).collect(),
        workloads
            .iter()
            .map(|((kind, key), pods)| (format!("{}/{}", kind.name(), key.name), named(pods)))
            .collect(),
    )
}

#[test]
fn a_workloads_pods_that_are_written_out_are_all_it_has() {
    let set = "spec: {replicas: 3, template: {}}";
    let old = "spec: {replicas: 0, template: {}}";
    let pods = owned("Pod", "web-7d9-a", ("ReplicaSet", "web-7d9"), "")
        + &owned("Pod", "web-7d9-b", ("ReplicaSet", "web-7d9"), "");
    let sets = owned("ReplicaSet", "web-7d9", ("Deployment", "web"), set)
        + &owned("ReplicaSet", "web-c0f", ("Deployment", "web"), old);
    let both = ["web-7d9-a", "web-7d9-b"].map(str::to_owned).to_vec();
    let expected = (both.clone(), vec![("Deployment/web".to_owned(), both.clone())]);
    for text in [
        deployment("web") + &sets + &pods,
        pods.clone() + &sets + &deployment("web"),
        deployment("web") + &pods,
        sets.clone() + &pods,
        pods.clone(),
    ] {
        assert_eq!(pods_of(&text), expected, "{text}");
    }
    let three = ["web-0", "web-1", "web-2"].map(str::to_owned).to_vec();
    let made = (three.clone(), vec![("Deployment/web".to_owned(), three)]);
    assert_eq!(pods_of(&(deployment("web") + &sets)), made, "its own pods, and none of its ReplicaSets");
    assert_eq!(pods_of(&sets), made, "the ReplicaSets stand for it");
    let (all, _) = pods_of(&(deployment("web") + &deployment("api") + &pods));
    assert_eq!(all, ["api-0", "api-1", "api-2", "web-7d9-a", "web-7d9-b"], "another's pods are still made");
}

#[test]
fn owners_of_each_kind_and_of_none() {
    let owner =
        |text: &str| read_clean(text).owners.into_values().next().map(|(kind, key)| (kind, key.to_string()));
    let pod = |kind: &str, name: &str| owner(&owned("Pod", "p", (kind, name), ""));
    use WorkloadKind::{DaemonSet, Deployment, Job, ReplicaSet, StatefulSet};
    assert_eq!(pod("ReplicaSet", "web-7d9"), Some((Deployment, "default/web".to_owned())));
    assert_eq!(pod("ReplicaSet", "web-other"), Some((ReplicaSet, "default/web-other".to_owned())));
    assert_eq!(pod("StatefulSet", "db"), Some((StatefulSet, "default/db".to_owned())));
    assert_eq!(pod("DaemonSet", "log"), Some((DaemonSet, "default/log".to_owned())));
    assert_eq!(pod("Job", "once"), Some((Job, "default/once".to_owned())));
    assert_eq!(pod("Node", "worker-1"), None, "a static pod is nobody's");
    // Of a Deployment's workloads only ReplicaSets are its rollout.
    let (all, _) =
        pods_of(&owned("StatefulSet", "db", ("Deployment", "web"), "spec: {replicas: 2, template: {}}"));
    assert_eq!(all, ["db-0", "db-1"]);
    assert_eq!(
        owner(&owned("Pod", "p", ("Job", "once"), "").replace("controller: true", "controller: false")),
        None
    );
    // The later object of a name is used, with what it says of its owner.
    let replaced =
        owned("Pod", "p", ("Job", "once"), "") + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\n";
    assert!(read_text(&replaced).owners.is_empty());
    let bad =
        read_text(&owned("Pod", "p", ("Job", "once"), "").replace("controller: true", "controller: 'true'"));
    assert_eq!(bad.problems[0].field.as_deref(), Some("metadata.ownerReferences[1].controller"));
    assert!(bad.owners.is_empty() && bad.pods.is_empty(), "refused as a whole");
    let first = owned("Pod", "p", ("Job", "once"), "");
    let second = first.replace("controller: true", "controller: 'true'");
    let kept = read_text(&(first + &second));
    assert_eq!((kept.pods.len(), kept.owners.len()), (1, 1), "the first stays, and whose it is");
}

#[test]
fn pods_that_are_not_made_do_not_count_for_the_limit() {
    let many = |name: &str| deployment(name).replace("replicas: 3", &format!("replicas: {REPLICA_LIMIT}"));
    let text = many("web") + &owned("Pod", "web-7d9-a", ("ReplicaSet", "web-7d9"), "") + &many("api");
    assert_eq!(read_clean(&text).workloads.len(), 2);
    assert_eq!(read_text(&(many("web") + &many("api"))).problems.len(), 1);
}
