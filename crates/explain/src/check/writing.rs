//! What was written and does not mean what people think it means.

use podwall_policy::tree::{Scalar, Tree, Value};

use super::{Finding, Rule, Subject};
use crate::field::{Direction, FieldPath};

/// Ports that are spoken over UDP and hardly ever over TCP alone, and what speaks there.
const UDP_PORTS: [(&str, &str); 12] = [
    ("53", "DNS"),
    ("67", "DHCP"),
    ("68", "DHCP"),
    ("69", "TFTP"),
    ("123", "NTP"),
    ("161", "SNMP"),
    ("162", "SNMP traps"),
    ("500", "IKE"),
    ("4500", "IPsec"),
    ("4789", "VXLAN"),
    ("8472", "VXLAN"),
    ("51820", "WireGuard"),
];

pub(super) fn check(subject: &Subject, findings: &mut Vec<Finding>) {
    let Some(written) = subject.snapshot.written(subject.key) else { return };
    let at = |path: &FieldPath| written.at(path).filter(|tree| !tree.is_null());
    let has_types = at(&FieldPath::of(&["spec", "policyTypes"])).is_some_and(|tree| !items(tree).is_empty());
    let rules_of =
        |direction: Direction| at(&FieldPath::of(&["spec", direction.name()])).map(items).unwrap_or_default();
    let has_rules = |direction: Direction| !rules_of(direction).is_empty();
    if !has_types && has_rules(Direction::Egress) && !has_rules(Direction::Ingress) {
        let message = "has egress rules and no policyTypes, so it isolates for ingress too, and has no rule that \
                       allows any: write policyTypes: [Egress], or [Ingress, Egress] if that is meant";
        let path = FieldPath::of(&["spec", "egress"]);
        findings.push(Finding::new(subject, Rule::IngressClosedByDefault, &path, message.to_owned()));
    }
    for direction in Direction::BOTH {
        if has_types && has_rules(direction) && direction.rules(subject.policy).is_none() {
            let (name, kind) = (direction.name(), direction.policy_type());
            let message = format!(
                "policyTypes does not have {kind}, so the {name} rules count for nothing and {name} is not isolated: \
                 add {kind}, or remove them"
            );
            let path = FieldPath::of(&["spec", name]);
            findings.push(Finding::new(subject, Rule::RulesIgnored, &path, message));
            continue;
        }
        for (index, rule) in rules_of(direction).iter().enumerate() {
            check_rule(subject, direction, index, rule, findings);
        }
    }
}

fn check_rule(
    subject: &Subject,
    direction: Direction,
    index: usize,
    rule: &Tree,
    findings: &mut Vec<Finding>,
) {
    let peers = direction.peers();
    if let Some(entry) = rule.get(peers)
        && items(&entry.value).is_empty()
    {
        let written = if entry.value.is_null() { "nothing" } else { "an empty list" };
        let message = format!(
            "{peers} is {written}, which means everyone, addresses outside the cluster included: name the peers, or \
             leave {peers} out if everyone is meant"
        );
        let path = FieldPath::rule(direction, index).key(peers);
        findings.push(Finding::new(subject, Rule::EmptyPeerList, &path, message));
    }
    let ports = rule.get("ports").map(|entry| items(&entry.value)).unwrap_or_default();
    for (number, port) in ports.iter().enumerate() {
        if let Some(message) = udp_meant(port, ports) {
            let path = FieldPath::port(direction, index, number);
            findings.push(Finding::new(subject, Rule::PortProtocol, &path, message));
        }
    }
}

/// What is said of a port without protocol, unless its twin for UDP stands beside it.
fn udp_meant(port: &Tree, all: &[Tree]) -> Option<String> {
    let number = text(port, "port").filter(|_| text(port, "protocol").is_none())?;
    let (_, speaks) = UDP_PORTS.iter().find(|(known, _)| *known == number)?;
    let is_twin =
        |other: &Tree| text(other, "port") == Some(number) && text(other, "protocol") == Some("UDP");
    (!all.iter().any(is_twin)).then(|| {
        format!(
            "port {number} without protocol is TCP, and {speaks} is spoken over UDP: write protocol: UDP, or protocol: \
             TCP if that is meant"
        )
    })
}

fn items(tree: &Tree) -> &[Tree] {
    match &tree.value {
        Value::Sequence(items) => items,
        _ => &[],
    }
}

fn text<'t>(tree: &'t Tree, key: &str) -> Option<&'t str> {
    match &tree.get(key)?.value {
        value if value.is_null() => None,
        Tree { value: Value::Scalar(Scalar { text, .. }), .. } => Some(text),
        _ => None,
    }
}
