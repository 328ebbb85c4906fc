//! Pods and namespaces that come, go and move while policies stay.

use serde_json::{Value, json};

use super::actions::{Steps, apply, delete, with_b_of_y};
use super::{Direction, one_step};
use crate::case::{Action, Case, Object};
use crate::grid::{NODES, addresses, namespace, pod, pod_at};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for direction in Direction::BOTH {
        for (tag, changes) in
            [("comings-and-goings", comings_and_goings(direction)), ("addresses", moves(direction))]
        {
            for (name, steps) in changes {
                cases.push(Case::new(
                    format!("lifecycle/{name}/{}", direction.tag()),
                    ["lifecycle", tag, name, direction.tag()],
                    steps,
                ));
            }
        }
        let mut host = pod_at("x", "host", json!({"pod": "a"}), NODES[0], &[]);
        host["spec"]["hostNetwork"] = json!(true);
        host["status"] = json!({"phase": "Running"});
        let deny = direction.policy("deny", json!({}), json!([]));
        cases.push(one_step(
            format!("lifecycle/host-network/{}", direction.tag()),
            &["lifecycle", "host-network", direction.tag()],
            vec![host, deny, with_b_of_y(direction)],
        ));
    }
    cases
}

/// A pod that is not of the grid, on the first node.
fn another(namespace: &str, name: &str, labels: Value, host: u8) -> Object {
    let addresses = [format!("10.244.0.{host}"), format!("fd00:10:244:0::{host}")];
    pod_at(namespace, name, labels, NODES[0], &addresses)
}

fn comings_and_goings(direction: Direction) -> Steps {
    let start = || apply(with_b_of_y(direction));
    let new_peer = || apply(another("y", "new", json!({"pod": "b"}), 100));
    let mut finished = pod("y", "b", json!({"pod": "b"}));
    finished["status"]["phase"] = json!("Succeeded");
    let mut terminating = pod("y", "b", json!({"pod": "b"}));
    terminating["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    vec![
        ("peer-comes-and-goes", vec![start(), new_peer(), delete("Pod", "y", "new")]),
        (
            "target-comes-and-goes",
            vec![start(), apply(another("x", "new", json!({"pod": "a"}), 101)), delete("Pod", "x", "new")],
        ),
        ("last-peer-goes", vec![start(), delete("Pod", "y", "b")]),
        ("pods-before-policy", vec![new_peer(), start()]),
        ("peer-finishes", vec![start(), apply(finished)]),
        ("peer-terminates", vec![start(), apply(terminating)]),
        (
            "namespace-comes",
            vec![
                start(),
                [
                    apply(namespace("w", json!({"ns": "y"}))),
                    apply(another("w", "b", json!({"pod": "b"}), 102)),
                    apply(another("w", "c", json!({"pod": "c"}), 103)),
                ]
                .concat(),
            ],
        ),
        ("namespace-of-peers-goes", vec![start(), delete("Namespace", "", "y")]),
        (
            "namespace-of-policy-goes-and-comes",
            vec![
                start(),
                delete("Namespace", "", "x"),
                [apply(namespace("x", json!({"ns": "x"}))), apply(pod("x", "a", json!({"pod": "a"})))]
                    .concat(),
            ],
        ),
    ]
}

fn moves(direction: Direction) -> Steps {
    let start = || apply(with_b_of_y(direction));
    let at = |namespace: &str, name: &str, of: (&str, &str)| {
        let (node, addresses) = addresses(of.0, of.1);
        Action::Apply(pod_at(namespace, name, json!({"pod": name}), node, &addresses))
    };
    let by_name = |name: &str| {
        let rule = direction.rule(Value::Null, json!([{"port": name}]));
        apply(direction.policy("changes", json!({}), json!([rule])))
    };
    let mut renamed = pod("x", "a", json!({"pod": "a"}));
    renamed["spec"]["containers"][0]["ports"] =
        json!([{"name": "serve-80-tcp", "containerPort": 81, "protocol": "TCP"}]);
    vec![
        ("peer-gets-another-address", vec![start(), apply(another("y", "b", json!({"pod": "b"}), 104))]),
        (
            "address-goes-to-a-stranger",
            vec![start(), [delete("Pod", "y", "b"), vec![at("z", "b", ("y", "b"))]].concat()],
        ),
        (
            "two-pods-change-addresses",
            vec![start(), vec![at("y", "b", ("y", "c")), at("y", "c", ("y", "b"))]],
        ),
        (
            "target-moves-to-the-other-node",
            vec![start(), [delete("Pod", "y", "c"), vec![at("x", "a", ("y", "c"))]].concat()],
        ),
        ("name-means-another-port", vec![by_name("serve-80-tcp"), apply(renamed)]),
    ]
}
