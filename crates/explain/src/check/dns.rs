//! Pods that may send something, but not ask for names.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use podwall_policy::{
    Cluster, Endpoint, Flow, Labels, ObjectKey, Ports, Protocol, Transport, Verdict, evaluate,
};

use super::{Finding, Rule, Severity, Subject, imagined};
use crate::alone::Alone;
use crate::field::{Direction, FieldPath};
use crate::page::listed;

/// Where node-local DNS caches listen.
const NODE_LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 20, 10));

/// The pods that answer DNS, as every distribution labels them.
pub fn dns_pods(cluster: &Cluster) -> Vec<&ObjectKey> {
    let pods = cluster.pods.iter().filter(|(key, pod)| {
        &*key.namespace == "kube-system"
            && pod.labels.get("k8s-app").is_some_and(|value| &**value == "kube-dns")
            && pod.takes_part()
    });
    pods.map(|(key, _)| key).collect()
}

pub(super) fn check(subjects: &[Subject], findings: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    for subject in subjects.iter().filter(|subject| subject.policy.egress.is_some()) {
        // Pods of one policy may be subject to others too: each set of policies is looked at once.
        let all = subject.selected.iter().map(|key| Some(*key));
        let pods: Vec<Option<&ObjectKey>> = match subject.cluster().pods.is_empty() {
            true => vec![None],
            false => all.collect(),
        };
        for pod in pods {
            findings.extend(check_pod(subject, pod, &mut seen));
        }
    }
}

fn check_pod(
    subject: &Subject,
    pod: Option<&ObjectKey>,
    seen: &mut BTreeSet<Vec<ObjectKey>>,
) -> Option<Finding> {
    if let Some(key) = pod
        && let Some(address) = subject.cluster().pods[key].addresses.first()
        && seen
            .contains(&isolating(subject.cluster(), &Endpoint::Pod { pod: key.clone(), address: *address })?)
    {
        return None;
    }
    let (mut cluster, from) = subject.cluster_with(pod)?;
    let isolating = isolating(&cluster, &from)?;
    if !seen.insert(isolating.clone()) {
        return None;
    }
    if dns_pods(&cluster).is_empty() {
        let labels = Labels::from([("k8s-app".into(), "kube-dns".into())]);
        cluster.pods.insert(ObjectKey::new("kube-system", "coredns"), imagined(labels, 53));
    }
    let asks = |protocol| can_ask(&cluster, &from, &isolating, Transport::Port(protocol, 53));
    let (udp, tcp) = (asks(Protocol::Udp), asks(Protocol::Tcp));
    let (rule, missing) = match (udp, tcp) {
        (true, true) => return None,
        (true, false) => (Rule::DnsOverTcpForgotten, "TCP/53"),
        (false, true) => (Rule::DnsForgotten, "UDP/53"),
        (false, false) => (Rule::DnsForgotten, "UDP/53 and TCP/53"),
    };
    let names: Vec<String> = isolating.iter().map(ToString::to_string).collect();
    let what = match rule {
        Rule::DnsForgotten => "cannot look up names",
        _ => "cannot look up names whose answers are long",
    };
    let message = format!(
        "the pods that {} {} for egress {what}: no rule allows {missing} to the DNS pods (k8s-app=kube-dns of \
         kube-system) or anywhere",
        listed(&names, 3),
        if names.len() == 1 { "isolates" } else { "isolate" }
    );
    let mut finding = Finding::new(subject, rule, &FieldPath::of(&["spec", "egress"]), message);
    let sends = |key: &ObjectKey| {
        cluster
            .policies
            .get(key)
            .is_some_and(|policy| policy.egress.as_ref().is_some_and(|it| !it.is_empty()))
    };
    // Who may send nothing at all may not be in need of names.
    if !isolating.iter().any(sends) {
        finding.severity = Severity::Note;
    }
    Some(finding)
}

/// The policies that isolate the pod for egress.
fn isolating(cluster: &Cluster, from: &Endpoint) -> Option<Vec<ObjectKey>> {
    let flow = Flow { from: from.clone(), to: Endpoint::Outside(NODE_LOCAL), transport: Transport::Other };
    match evaluate(cluster, &flow).egress {
        Verdict::Allowed { isolating, .. } | Verdict::Denied { isolating } => Some(isolating),
        Verdict::Exempt(_) | Verdict::NotIsolated => None,
    }
}

/// True when DNS is allowed to the DNS pods or the node's cache, or a rule speaks of this port to anybody: then it was
/// not forgotten.
fn can_ask(cluster: &Cluster, from: &Endpoint, isolating: &[ObjectKey], transport: Transport) -> bool {
    let dns = dns_pods(cluster).into_iter().flat_map(|key| {
        let addresses = cluster.pods[key].addresses.iter();
        addresses.map(|address| Endpoint::Pod { pod: key.clone(), address: *address })
    });
    let flows =
        dns.chain([Endpoint::Outside(NODE_LOCAL)]).map(|to| Flow { from: from.clone(), to, transport });
    let allows = |flow: Flow| evaluate(cluster, &flow).egress.allows();
    if flows.into_iter().any(allows) {
        return true;
    }
    let flow = Flow { from: from.clone(), to: Endpoint::Outside(NODE_LOCAL), transport };
    let mut alone = Alone::new(cluster, &flow, Direction::Egress);
    isolating.iter().any(|key| {
        let rules = cluster.policies.get(key).and_then(|policy| policy.egress.as_deref()).unwrap_or_default();
        rules.iter().any(|rule| rule.ports != Ports::Any && alone.ports(key, &rule.ports))
    })
}
