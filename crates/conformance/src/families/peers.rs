//! Whom a rule names: every kind of peer, alone and together.

use serde_json::{Value, json};

use super::{Direction, Spelled, one_step};
use crate::case::Case;
use crate::grid::{addresses, ipv4};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for direction in Direction::BOTH {
        let target = json!({"matchLabels": {"pod": "a"}});
        for (name, tag, rules) in rule_lists(direction) {
            let except = if rules.to_string().contains("except") { "except" } else { "peers" };
            cases.push(one_step(
                format!("peers/{name}/{}", direction.tag()),
                &["peers", tag, except, direction.tag()],
                vec![direction.policy("peers", target.clone(), rules)],
            ));
        }
    }
    cases
}

/// Rules without ports, each with the tag of what it is about.
fn rule_lists(direction: Direction) -> Vec<(&'static str, &'static str, Value)> {
    let one_rule = |peers: Value| json!([direction.rule(peers, Value::Null)]);
    let of = |tag: &'static str, list: Vec<Spelled>| {
        list.into_iter().map(move |(name, peers)| (name, tag, one_rule(peers))).collect::<Vec<_>>()
    };
    let two = |first: Value, second: Value| {
        json!([direction.rule(first, Value::Null), direction.rule(second, Value::Null)])
    };
    let mut lists = of("selectors", selectors());
    lists.extend(of("blocks", blocks()));
    lists.push((
        "two-rules",
        "several",
        two(json!([{"podSelector": {"matchLabels": {"pod": "b"}}}]), json!([in_namespace("z")])),
    ));
    lists.push((
        "excepted-by-one-rule-named-by-the-other",
        "several",
        two(
            json!([block(json!(["10.244.0.0/16"]), json!([format!("{}/32", ipv4("y", "b"))]))]),
            json!([{"podSelector": {"matchLabels": {"pod": "b"}}, "namespaceSelector": {"matchLabels": {"ns": "y"}}}]),
        ),
    ));
    lists.push((
        "except-of-one-rule-is-not-the-others",
        "several",
        two(
            json!([block(json!(["10.244.0.0/16"]), json!(["10.244.1.0/24"]))]),
            json!([block(json!(["10.244.1.0/24"]), Value::Null)]),
        ),
    ));
    lists
}

pub(super) fn in_namespace(name: &str) -> Value {
    json!({"namespaceSelector": {"matchLabels": {"ns": name}}})
}

fn selectors() -> Vec<Spelled> {
    let pod = |name: &str| json!({"matchLabels": {"pod": name}});
    let namespace = |name: &str| json!({"matchLabels": {"ns": name}});
    let expression = |key: &str, operator: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
    vec![
        ("absent", Value::Null),
        ("empty-list", json!([])),
        ("own-pods", json!([{"podSelector": {}}])),
        ("own-pod-b", json!([{"podSelector": pod("b")}])),
        ("own-pods-not-b", json!([{"podSelector": expression("pod", "NotIn", json!(["b"]))}])),
        ("no-pod", json!([{"podSelector": pod("q")}])),
        ("all-namespaces", json!([{"namespaceSelector": {}}])),
        ("namespace-y", json!([in_namespace("y")])),
        ("own-namespace-by-label", json!([in_namespace("x")])),
        ("not-own-namespace", json!([{"namespaceSelector": expression("ns", "NotIn", json!(["x"]))}])),
        (
            "namespace-by-name",
            json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "z"}}}]),
        ),
        (
            "two-namespaces-by-name",
            json!([{"namespaceSelector": expression("kubernetes.io/metadata.name", "In", json!(["y", "z"]))}]),
        ),
        ("no-namespace", json!([in_namespace("q")])),
        ("pod-b-of-y", json!([{"namespaceSelector": namespace("y"), "podSelector": pod("b")}])),
        ("pod-b-of-all", json!([{"namespaceSelector": {}, "podSelector": pod("b")}])),
        ("all-of-y", json!([{"namespaceSelector": namespace("y"), "podSelector": {}}])),
        ("y-or-own-b", json!([in_namespace("y"), {"podSelector": pod("b")}])),
        (
            "five-peers",
            json!([
                {"podSelector": pod("b")},
                {"namespaceSelector": namespace("y"), "podSelector": pod("a")},
                {"namespaceSelector": namespace("y"), "podSelector": pod("c")},
                {"namespaceSelector": namespace("z"), "podSelector": pod("b")},
                {"namespaceSelector": namespace("z"), "podSelector": expression("pod", "In", json!(["c"]))},
            ]),
        ),
        ("one-peer-twice", json!([in_namespace("y"), in_namespace("y")])),
    ]
}

fn block(cidr: Value, except: Value) -> Value {
    let cidr = cidr[0].clone();
    match except {
        Value::Null => json!({"ipBlock": {"cidr": cidr}}),
        _ => json!({"ipBlock": {"cidr": cidr, "except": except}}),
    }
}

fn blocks() -> Vec<Spelled> {
    let whole = |cidr: &str| block(json!([cidr]), Value::Null);
    let without = |cidr: &str, except: &[&str]| block(json!([cidr]), json!(except));
    let b_of_y = format!("{}/32", ipv4("y", "b"));
    let b_of_y_ipv6 = format!("{}/128", addresses("y", "b").1[1]);
    vec![
        ("all-ipv4", json!([whole("0.0.0.0/0")])),
        ("all-ipv6", json!([whole("::/0")])),
        ("all-of-both", json!([whole("0.0.0.0/0"), whole("::/0")])),
        ("one-pod", json!([whole(&b_of_y)])),
        ("one-pod-ipv6", json!([whole(&b_of_y_ipv6)])),
        ("a-node's-pods", json!([whole("10.244.1.0/24")])),
        ("host-bits", json!([whole("10.244.1.77/24")])),
        ("half-of-everything", json!([whole("0.0.0.0/1")])),
        ("outside", json!([whole("203.0.113.0/24"), whole("2001:db8::/32")])),
        ("without-one-pod", json!([without("10.244.0.0/16", &[&b_of_y])])),
        ("without-two-parts", json!([without("10.244.0.0/16", &["10.244.0.0/25", "10.244.1.16/28"])])),
        (
            "excepts-that-overlap",
            json!([without("10.244.0.0/16", &["10.244.1.0/24", "10.244.1.0/25", "10.244.1.0/24"])]),
        ),
        ("excepted-but-named-again", json!([without("10.244.0.0/16", &[&b_of_y]), whole(&b_of_y)])),
        ("blocks-in-one-another", json!([whole("10.244.0.0/16"), whole("10.244.1.0/24"), whole(&b_of_y)])),
        (
            "block-in-another's-except",
            json!([without("10.0.0.0/8", &["10.244.0.0/16"]), whole("10.244.1.0/24")]),
        ),
        ("nothing-left", json!([without("10.244.0.0/16", &["10.244.0.0/17", "10.244.128.0/17"])])),
        ("block-or-selector", json!([whole("10.244.0.0/24"), in_namespace("y")])),
        ("everything-without-ipv6-pods", json!([whole("0.0.0.0/0"), without("::/0", &["fd00:10:244::/48"])])),
    ]
}
