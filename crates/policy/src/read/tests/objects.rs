//! Pods, workloads, Services, Namespaces, Nodes and lists of them: S48, S63, S80 to S89, S105, S106.

use super::*;
use crate::model::{ContainerPort, Mode, ServicePort, TargetPort};
use crate::placement::{PlacementOptions, place};

fn pod(rest: &str) -> Pod {
    let manifests = read_clean(&format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\n{rest}\n"));
    manifests.pods[&ObjectKey::new("default", "p")].clone()
}

fn addresses(pod: &Pod) -> Vec<String> {
    pod.addresses.iter().map(ToString::to_string).collect()
}

/// The only problem of an object that is refused and left out.
fn refused(text: &str) -> Problem {
    let mut manifests = read_text(text);
    assert_eq!(manifests.problems.len(), 1, "{text}: {:?}", manifests.problems);
    let problem = manifests.problems.remove(0);
    assert_eq!(problem.consequence, Consequence::Refused, "{text}");
    assert!(problem.message.contains("left out"), "{problem}");
    assert_eq!(manifests, Manifests::default(), "{text}");
    problem
}

#[test]
fn namespaces_have_their_name_as_a_label_s48() {
    let manifests = read_clean(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  labels: {x: z, kubernetes.io/metadata.name: wrong}\n",
    );
    let labels = &manifests.namespaces["a"];
    assert_eq!(&*labels["kubernetes.io/metadata.name"], "a");
    assert_eq!(&*labels["x"], "z");
}

#[test]
fn pod_addresses_s80_s89() {
    assert_eq!(addresses(&pod("")), [""; 0], "S80");
    assert_eq!(addresses(&pod("status: {podIP: 10.0.0.1}")), ["10.0.0.1"], "S89: old fixtures");
    assert_eq!(
        addresses(&pod("status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: \"fd00::1\"}]}")),
        ["10.0.0.1", "fd00::1"]
    );
    assert_eq!(addresses(&pod("status: {podIP: \"\", podIPs: []}")), [""; 0]);
    assert_eq!(addresses(&pod("status: {podIP: 010.0.0.1}")), ["10.0.0.1"]);
}

#[test]
fn pod_lifecycle_s81_s82_s84_s87() {
    for (phase, finished) in
        [("Succeeded", true), ("Failed", true), ("Completed", true), ("Running", false), ("Pending", false)]
    {
        let pod = pod(&format!("status: {{phase: {phase}, podIP: 10.0.0.1}}"));
        assert_eq!(pod.finished, finished, "{phase}");
        assert_eq!(addresses(&pod), ["10.0.0.1"]);
    }
    let manifests = read_clean(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  deletionTimestamp: 2024-01-02T00:00:00Z\n  \
         creationTimestamp: 2024-01-01T00:00:00Z\nstatus: {phase: Running}\n",
    );
    let pod = &manifests.pods[&ObjectKey::new("default", "p")];
    assert!(pod.terminating && !pod.finished, "S82");
    assert_eq!(&*pod.started, "2024-01-01T00:00:00Z", "S84");
    let started = self::pod("status: {startTime: \"2024-01-03T00:00:00Z\"}").started;
    assert_eq!(&*started, "2024-01-03T00:00:00Z");
}

#[test]
fn host_network_s63_and_node_s88() {
    let pod = pod("spec: {hostNetwork: true, nodeName: n1}");
    assert!(pod.host_network && !pod.takes_part());
    assert_eq!(pod.node.as_deref(), Some("n1"));
    assert!(!self::pod("spec: {hostNetwork: no}").host_network, "kubectl reads no as false");
}

#[test]
fn container_ports_s105_s106() {
    let pod = pod(
        "spec:\n  containers:\n  - name: a\n    image: x\n    ports:\n    - {name: http, containerPort: 80}\n  \
        - ports: [{name: http, containerPort: 81, protocol: UDP, hostPort: 1}]\n  - {}\n  initContainers:\n  \
        - restartPolicy: Always\n    ports: [{containerPort: 90}]\n  - ports: [{name: once, containerPort: 91}]\n",
    );
    let port =
        |name: Option<&str>, port, protocol| ContainerPort { name: name.map(Into::into), port, protocol };
    assert_eq!(
        pod.ports,
        [
            port(Some("http"), 80, Protocol::Tcp),
            port(Some("http"), 81, Protocol::Udp),
            port(None, 90, Protocol::Tcp)
        ]
    );
}

#[test]
fn pods_that_are_refused() {
    let cases = [
        ("status: {podIP: 10.0.0.256}", "status.podIP", "not an IP address"),
        ("status: {podIPs: [10.0.0.1]}", "status.podIPs[0]", "must be a mapping"),
        (
            "status: {podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.2}]}",
            "status.podIPs[1].ip",
            "one address of each family",
        ),
        ("spec: {hostNetwork: \"true\"}", "spec.hostNetwork", "must be true or false"),
        ("spec: {nodeName: 1}", "spec.nodeName", "must be a string"),
        ("spec: {containers: {}}", "spec.containers", "must be a list"),
        ("spec: {containers: [{ports: [{}]}]}", "spec.containers[0].ports[0].containerPort", "is missing"),
        (
            "spec: {containers: [{ports: [{containerPort: \"80\"}]}]}",
            "spec.containers[0].ports[0].containerPort",
            "without quotes",
        ),
        (
            "spec: {containers: [{ports: [{containerPort: http}]}]}",
            "spec.containers[0].ports[0].containerPort",
            "must be a number, not the string",
        ),
        ("spec: []", "spec", "must be a mapping"),
        ("sepc: {}", "sepc", "did you mean spec?"),
    ];
    for (rest, field, message) in cases {
        let problem = refused(&format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\n{rest}\n"));
        assert_eq!((problem.field.as_deref(), problem.line), (Some(field), Some(4)), "{rest}");
        assert!(problem.message.contains(message), "{problem}");
        assert_eq!(problem.object.as_deref(), Some("Pod p"));
    }
    let elsewhere = refused("apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: n}\nspec: []\n");
    assert_eq!(elsewhere.object.as_deref(), Some("Pod n/p"));
    let misspelt = refused("apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  lables: {a: b}\n");
    assert_eq!((misspelt.field.as_deref(), misspelt.line), (Some("metadata.lables"), Some(5)));
    assert!(
        refused("apiVersion: v1\nkind: Pod\nmetadata: {generateName: p-}\n").message.contains("generateName")
    );
    assert!(refused("apiVersion: v1\nkind: Pod\nmetadata: {name: p, name: q}\n").message.contains("twice"));
}

#[test]
fn workloads() {
    let text = |kind: &str, spec: &str| {
        let version = if kind == "Job" { "batch/v1" } else { "apps/v1" };
        format!(
            "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: w}}\nspec:\n  {spec}\n  template:\n    metadata:\n      \
             labels: {{app: web}}\n    spec: {{nodeName: n1, containers: [{{ports: [{{containerPort: 80}}]}}]}}\n"
        )
    };
    use WorkloadKind::{DaemonSet, Deployment, Job, ReplicaSet, StatefulSet};
    for (kind, spec, count) in [
        (Deployment, "replicas: 3", Count::Replicas(3)),
        (Deployment, "selector: {}", Count::Replicas(1)),
        (ReplicaSet, "replicas: 0", Count::Replicas(0)),
        (StatefulSet, "serviceName: x", Count::Replicas(1)),
        (DaemonSet, "replicas: 7", Count::EveryNode),
        (Job, "parallelism: 2", Count::Replicas(2)),
        (Job, "completions: 5", Count::Replicas(1)),
    ] {
        let manifests = read_clean(&text(kind.name(), spec));
        let workload = &manifests.workloads[&(kind, ObjectKey::new("default", "w"))];
        assert_eq!(workload.count, count, "{kind:?} {spec}");
        assert_eq!(&*workload.template.labels["app"], "web");
        assert_eq!((workload.template.node.as_deref(), workload.template.ports.len()), (Some("n1"), 1));
        assert_eq!(workload.template.location.as_ref().map(|location| location.line), Some(1));
    }
    for (spec, field) in [
        ("replicas: -1", "spec.replicas"),
        ("replicas: 1.5", "spec.replicas"),
        ("replicas: three", "spec.replicas"),
    ] {
        assert_eq!(refused(&text("Deployment", spec)).field.as_deref(), Some(field), "{spec}");
    }
    let bare = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: w}\n";
    assert_eq!(refused(bare).field.as_deref(), Some("spec"));
    assert_eq!(refused(&format!("{bare}spec: {{replicas: 1}}\n")).field.as_deref(), Some("spec.template"));
    let misspelt = format!("{bare}spec: {{template: {{metadata: {{lables: {{}}}}}}}}\n");
    assert_eq!(refused(&misspelt).field.as_deref(), Some("spec.template.metadata.lables"));
}

#[test]
fn replicas_are_limited() {
    let deployment = |name: &str, replicas: usize| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec: {{replicas: {replicas}, template: {{}}}}\n---\n"
        )
    };
    read_clean(&deployment("a", REPLICA_LIMIT));
    let text =
        deployment("a", 2_000_000_000) + &deployment("b", 9_999) + &deployment("c", 2) + &deployment("d", 1);
    let manifests = read_text(&text);
    let names: Vec<_> = manifests.workloads.keys().map(|(_, key)| &*key.name).collect();
    assert_eq!(names, ["b", "d"]);
    let lines: Vec<_> =
        manifests.problems.iter().map(|problem| (problem.line, problem.consequence)).collect();
    assert_eq!(lines, [(Some(1), Consequence::Refused), (Some(11), Consequence::Refused)]);
}

#[test]
fn services() {
    let service = |spec: &str| {
        let manifests =
            read_clean(&format!("apiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec: {spec}\n"));
        manifests.services[&ObjectKey::new("default", "s")].clone()
    };
    let plain = service(
        "{selector: {app: web}, ports: [{port: 80}, {port: 53, protocol: UDP, targetPort: dns}, {port: 1, targetPort: 2}]}",
    );
    assert_eq!(&*plain.selector.as_ref().unwrap()["app"], "web");
    assert!(!plain.headless && plain.cluster_addresses.is_empty());
    let port = |protocol, port, target| ServicePort { protocol, port, target };
    assert_eq!(
        plain.ports,
        [
            port(Protocol::Tcp, 80, TargetPort::Number(80)),
            port(Protocol::Udp, 53, TargetPort::Named("dns".into())),
            port(Protocol::Tcp, 1, TargetPort::Number(2)),
        ]
    );
    assert!(service("{clusterIP: None}").headless && service("{clusterIPs: [None]}").headless, "S154");
    let unassigned = service("{clusterIP: \"\"}");
    assert!(!unassigned.headless && unassigned.cluster_addresses.is_empty());
    assert_eq!(service("{clusterIP: 10.96.0.1}").cluster_addresses.len(), 1);
    assert_eq!(
        service("{clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, \"fd00::1\"]}").cluster_addresses.len(),
        2
    );
    assert_eq!(service("{selector: {}}").selector, None);
    let external = service("{type: ExternalName, externalName: example.com, selector: {a: b}}");
    assert!(external.headless && external.selector.is_none() && external.cluster_addresses.is_empty());
    let bad = refused(
        "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  ports:\n  - {port: 80, targetPort: \"80\"}\n",
    );
    assert_eq!((bad.field.as_deref(), bad.line), (Some("spec.ports[0].targetPort"), Some(6)));
}

#[test]
fn nodes() {
    let manifests = read_clean(
        "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\nstatus:\n  addresses:\n  - {type: Hostname, address: host}\n  \
         - {type: InternalIP, address: 192.168.0.1}\n  - {type: InternalIP, address: \"fd00::1\"}\n  \
         - {type: ExternalIP, address: 1.2.3.4}\n",
    );
    assert_eq!(
        manifests.nodes["n1"].addresses,
        ["192.168.0.1".parse::<std::net::IpAddr>().unwrap(), "fd00::1".parse().unwrap()]
    );
}

#[test]
fn lists_of_objects() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n\
        - apiVersion: v1\n  kind: List\n  items:\n  - apiVersion: v1\n    kind: Pod\n    metadata: {name: b}\n    oops: 1\n";
    let manifests = read_text(list);
    assert!(manifests.pods.contains_key(&ObjectKey::new("default", "a")));
    assert!(!manifests.unreadable(), "one object is refused, and all is read");
    assert_eq!(manifests.pods[&ObjectKey::new("default", "a")].location.as_ref().unwrap().line, 4);
    assert_eq!((manifests.problems.len(), manifests.problems[0].line), (1, Some(13)));
    let typed = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicyList\nmetadata: {}\nitems:\n\
        - metadata: {name: p}\n  spec: {podSelector: {}}\n- metadata: {name: q}\n  spec: {oops: 1}\n";
    let manifests = read_text(typed);
    assert_eq!(manifests.policies.len(), 2);
    assert_eq!((manifests.problems.len(), manifests.problems[0].line), (1, Some(8)));
    let unknown = "apiVersion: example.com/v1\nkind: WidgetList\nitems: [{metadata: {name: a}}, {metadata: {name: b}}]\n";
    assert_eq!(read_text(unknown).problems.len(), 1, "one of the list and none of what is in it");
    read_clean("apiVersion: v1\nkind: List\nitems: []\n");
    read_clean("apiVersion: v1\nkind: PodList\nitems: null\n");
}

#[test]
fn audit_mode_is_the_policys_or_its_namespaces() {
    let namespace = |mode: &str| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: n, annotations: {{podwall.io/mode: {mode}}}}}\n"
        )
    };
    let policy = |annotations: &str| {
        format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
             metadata: {{name: p, namespace: n, annotations: {{{annotations}}}}}\nspec: {{podSelector: {{}}}}\n"
        )
    };
    let modes =
        [("", None), ("podwall.io/mode: audit", Some(true)), ("podwall.io/mode: enforce", Some(false))];
    for (of_namespace, is_default) in [("enforce", false), ("audit", true)] {
        for (annotation, own) in modes {
            let text = namespace(of_namespace) + &policy(annotation);
            let manifests = read(&[Source { name: "a.yaml".into(), bytes: text.into_bytes() }], "default");
            assert_eq!(manifests.problems, []);
            let cluster =
                place(&manifests, &PlacementOptions { node_count: 1, ipv4: true, ipv6: false }, None);
            let (key, policy) = cluster.policies.first_key_value().unwrap();
            let audited = cluster.mode(key, policy) == Mode::Audit;
            assert_eq!(audited, own.unwrap_or(is_default), "{of_namespace} {annotation}");
            assert_eq!(cluster.with_all_enforced().policies[key].mode, None);
        }
    }
    // What cannot be understood is enforced, and said.
    let text = namespace("adit") + &policy("podwall.io/mode: odit");
    let manifests = read_text(&text);
    let problems: Vec<String> = manifests.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems[0].contains("adit is neither enforce nor audit; its policies are enforced"),
        "{problems:?}"
    );
    assert!(
        problems[1].contains("odit is neither enforce nor audit; the policy is enforced"),
        "{problems:?}"
    );
    let objects: Vec<_> = manifests.problems.iter().map(|it| it.object.as_deref().unwrap()).collect();
    assert_eq!(objects, ["Namespace n", "NetworkPolicy n/p"]);
    assert!(manifests.audited_namespaces.is_empty());
    assert_eq!(manifests.policies.values().next().unwrap().mode, Some(Mode::Enforce));
}
