use std::net::IpAddr;

use podwall_policy::read::{Source, read};
use podwall_policy::{Peer, Peers, Pod, PortMatch, Ports};
use serde_json::{Value, json};

use super::*;

fn said(kind: Kind, object: &Value) -> Said {
    read_object(kind, &parse_item(kind, object.to_string().as_bytes()).unwrap())
}

fn pod(object: &Value) -> (Pod, Vec<String>) {
    match said(Kind::Pod, object) {
        Said::Present(Object::Pod { pod, .. }, problems) => {
            (*pod, problems.iter().map(ToString::to_string).collect())
        }
        other => panic!("{other:?}"),
    }
}

fn policy(object: &Value) -> PolicyReading {
    match said(Kind::NetworkPolicy, object) {
        Said::Present(Object::NetworkPolicy { reading, .. }, _) => *reading,
        other => panic!("{other:?}"),
    }
}

/// A pod with every field that policy reads, and many that it does not.
fn full_pod() -> Value {
    json!({
        "metadata": {
            "name": "web-1", "namespace": "app", "uid": "u1", "resourceVersion": "5",
            "generateName": "web-", "generation": 1, "somethingNew": {"a": 1},
            "labels": {"app": "web", "empty": ""},
            "annotations": {"podwall.io/anti-spoofing": "disabled", "other": "x"},
            "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z",
            "managedFields": [{"fieldsV1": {"f:metadata": {}}}],
        },
        "spec": {
            "nodeName": "n1", "hostNetwork": false, "somethingNew": [1],
            "containers": [
                {"name": "a", "env": [{"name": "X"}], "ports": [
                    {"name": "http", "containerPort": 80, "hostPort": 80},
                    {"containerPort": 53, "protocol": "UDP"}]},
                {"name": "b"}],
            "initContainers": [
                {"name": "once", "ports": [{"containerPort": 1}]},
                {"name": "sidecar", "restartPolicy": "Always", "ports": [{"name": "s", "containerPort": 2}]}],
        },
        "status": {
            "phase": "Running", "podIP": "10.0.0.1", "hostIP": "1.2.3.4", "startTime": "2026-01-01T00:00:05Z",
            "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
        },
    })
}

#[test]
fn a_pod_is_what_the_same_manifest_says() {
    let mut object = full_pod();
    let (from_api, problems) = pod(&object);
    assert_eq!(problems, [""; 0]);
    assert_eq!((from_api.ports.len(), from_api.addresses.len(), from_api.anti_spoofing), (3, 2, Some(false)));
    // What is no field of a manifest.
    object["metadata"].as_object_mut().unwrap().remove("somethingNew");
    object["spec"].as_object_mut().unwrap().remove("somethingNew");
    (object["apiVersion"], object["kind"]) = (json!("v1"), json!("Pod"));
    let source = Source { name: "-".into(), bytes: object.to_string().into() };
    let manifests = read(&[source], "default");
    let mut from_manifest = manifests.pods[&ObjectKey::new("app", "web-1")].clone();
    from_manifest.location = None;
    assert_eq!(from_api, from_manifest);
}

#[test]
fn one_bad_field_never_loses_a_pod() {
    let mut object = full_pod();
    object["status"]["podIPs"] = json!([{"ip": "10.0.0.300"}, {"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}, {"ip": 5}, {}, {"ip": "fd00::1"}]);
    object["spec"]["containers"][0]["ports"] = json!([{"containerPort": 0}, {"containerPort": 7, "protocol": "QUIC"}, {"name": "ok", "containerPort": 8}]);
    object["metadata"]["annotations"]["podwall.io/anti-spoofing"] = json!("\u{1b}[31moff");
    let (pod, problems) = pod(&object);
    let addresses: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
    assert_eq!(pod.addresses, addresses, "the first of each family that can be read");
    assert_eq!(pod.ports.iter().map(|port| port.port).collect::<Vec<_>>(), [8, 2]);
    assert_eq!(pod.anti_spoofing, None);
    assert_eq!(problems.len(), 7, "{problems:#?}");
    assert!(problems.iter().all(|it| it.starts_with("Pod app/web-1: ") && !it.contains('\u{1b}')));
}

#[test]
fn what_takes_part_in_nothing_is_gone() {
    for (pointer, value) in [("phase", "Succeeded"), ("phase", "Failed")] {
        let mut object = full_pod();
        object["status"][pointer] = json!(value);
        assert!(matches!(said(Kind::Pod, &object), Said::Gone(key) if key == ObjectKey::new("app", "web-1")));
    }
    let mut object = full_pod();
    object["spec"]["hostNetwork"] = json!(true);
    assert!(matches!(said(Kind::Pod, &object), Said::Gone(_)));
}

#[test]
fn what_cannot_be_read_is_named_if_it_can_be() {
    for broken in [json!("text"), json!([1]), json!(7)] {
        let object = json!({"metadata": {"name": "a", "namespace": "n"}, "spec": broken, "status": {}});
        assert!(matches!(said(Kind::Pod, &object), Said::Unread(key, _) if key == ObjectKey::new("n", "a")));
        let object = json!({"metadata": {"name": "a", "labels": broken}});
        assert!(matches!(said(Kind::Namespace, &object), Said::Unread(..)));
    }
    for nameless in [
        json!({}),
        json!({"metadata": {"name": ""}}),
        json!(null),
        json!([]),
        json!({"metadata": {"name": []}}),
    ] {
        for kind in Kind::ALL {
            assert!(matches!(said(kind, &nameless), Said::Nameless(_)), "{nameless}");
        }
    }
}

#[test]
fn a_namespace_always_has_the_label_of_its_name_s48() {
    let object =
        json!({"metadata": {"name": "n", "labels": {"a": "b"}}, "spec": {"finalizers": ["kubernetes"]}});
    let Said::Present(Object::Namespace(key, labels, _), _) = said(Kind::Namespace, &object) else {
        panic!()
    };
    assert_eq!((&*key.name, &*key.namespace), ("n", ""));
    assert_eq!(&*labels["kubernetes.io/metadata.name"], "n");
    assert_eq!(&*labels["a"], "b");
}

fn policy_of(spec: Value) -> Value {
    json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 2, "somethingNew": 1,
            "managedFields": [{"fieldsV1": {"f:spec": {}}}], "annotations": {"a": "b"}},
        "spec": spec,
        "status": {"conditions": []},
        "somethingNew": {"x": 1},
    })
}

#[test]
fn what_surrounds_the_spec_of_a_policy_does_not_matter() {
    let object = policy_of(json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}));
    let PolicyReading::Read { policy, problems, .. } = policy(&object) else { panic!() };
    assert_eq!((problems.len(), policy.ingress.map(|it| it.len()), policy.egress), (0, Some(1), None));
}

#[test]
fn what_is_new_in_a_peer_or_port_matches_nothing_s38() {
    let object = policy_of(json!({"podSelector": {}, "ingress": [{
        "from": [{"podSelector": {}, "newSelector": {}}, {"newPeer": {}}, {"podSelector": {"newField": 1}}],
        "ports": [{"port": 80, "newPort": 1}],
    }]}));
    let PolicyReading::Read { policy, problems, .. } = policy(&object) else { panic!() };
    let rule = &policy.ingress.unwrap()[0];
    assert!(matches!(&rule.peers, Peers::Only(peers) if peers.iter().all(|peer| *peer == Peer::Unreadable)));
    assert!(matches!(&rule.ports, Ports::Only(ports) if ports == &[PortMatch::Unreadable]));
    assert_eq!(problems.len(), 4);
}

#[test]
fn what_is_new_in_the_spec_of_a_policy_closes() {
    let specs = [
        json!({"podSelector": {}, "newField": 1}),
        json!({"podSelector": {}, "ports": []}),
        json!({"podSelector": {}, "ingress": [{"newField": 1}]}),
        json!({"podSelector": {"newField": 1}}),
        json!("text"),
        json!(null),
    ];
    for spec in specs {
        let PolicyReading::Refused { key, closing, .. } = policy(&policy_of(spec.clone())) else {
            panic!("{spec}")
        };
        assert_eq!(key, ObjectKey::new("n", "p"));
        assert!(closing.pod_selector.is_empty() && closing.ingress == Some(vec![]));
    }
}

#[test]
fn events() {
    let event = |text: &str| read_event(Kind::Pod, text.as_bytes());
    assert!(matches!(event(r#"{"type":"ADDED","object":{}}"#), Ok(Event::Object { gone: false, .. })));
    assert!(matches!(event(r#"{"object":{},"type":"DELETED"}"#), Ok(Event::Object { gone: true, .. })));
    assert!(matches!(event(r#"{"type":"NEW","object":{}}"#), Ok(Event::Unknown)));
    let end = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
    assert!(matches!(event(end), Ok(Event::Bookmark { version, ends_list: true }) if version == "7"));
    let bookmark = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"8"}}}"#;
    assert!(matches!(event(bookmark), Ok(Event::Bookmark { ends_list: false, .. })));
    let gone = r#"{"type":"ERROR","object":{"kind":"Status","status":"Failure","code":410}}"#;
    assert!(matches!(event(gone), Ok(Event::Failed(Failure::Expired))));
    let other = r#"{"type":"ERROR","object":{"message":"m"}}"#;
    assert!(matches!(event(other), Ok(Event::Failed(Failure::Refused { code: 500, .. }))));
    let deep = format!(r#"{{"type":"ADDED","object":{{"metadata":{{"labels":{}"#, "[".repeat(100_000));
    for text in
        ["", "{}", "[]", "7", r#"{"type":"ADDED"}"#, r#"{"type":"ADDED","object":{"a":}}"#, "{} {}", &deep]
    {
        assert!(event(text).is_err(), "{}", &text[..text.len().min(60)]);
    }
}
