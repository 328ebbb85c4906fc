//! Rules of every kind that we write, given to the kernel in a network namespace that holds nothing else: what a kernel
//! lacks is found by trying, not by its version.

use std::collections::BTreeMap;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use podwall_compiler::{Attachment, Closed, FlowLog, NodeOptions, NodeState, UnknownPods, compile};
use podwall_netlink::Kernel;
use podwall_policy::read::{Source, read};
use podwall_policy::{ObjectKey, PlacementOptions, place};
use podwall_ruleset::{HardwareAddress, InterfaceName, Known, Ruleset, diff};

use super::facts::RuleTrial;

const NODE: &str = "node-1";

/// Any group: nobody listens in a namespace of its own.
const FLOW_LOG: FlowLog = FlowLog { group: 1, allowed: true };

/// Selectors, blocks with exceptions, ports by number, range and name, protocols without ports, both
/// directions, both modes.
const MANIFESTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: trial, labels: {team: trial}}
---
apiVersion: v1
kind: Pod
metadata: {name: routed, namespace: trial, labels: {app: a}}
spec: {nodeName: node-1, containers: [{name: c, image: i, ports: [{name: http, containerPort: 80}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: bridged, namespace: trial, labels: {app: b}}
spec: {nodeName: node-1, containers: [{name: c, image: i, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: known-by-address, namespace: trial, labels: {app: c}}
spec: {nodeName: node-1, containers: [{name: c, image: i}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: trial, namespace: trial}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: a}}}, {ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]
    ports: [{port: 80}, {port: 8000, endPort: 9000}, {port: http}, {port: 53, protocol: UDP}, {port: 9, protocol: SCTP}]
  - from: [{namespaceSelector: {matchLabels: {team: trial}}}, {ipBlock: {cidr: "2001:db8::/32"}}]
  egress:
  - to: [{podSelector: {matchLabels: {app: b}}}]
    ports: [{port: http}, {protocol: UDP}]
  - to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.0.0/16]}}, {ipBlock: {cidr: "::/0"}}]
    ports: [{port: 443}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: audited, namespace: trial, annotations: {podwall.io/mode: audit}}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
"#;

/// Tries them. The namespace goes with the thread that made it.
pub fn run() -> RuleTrial {
    let tried = thread::spawn(|| {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            return RuleTrial::NotTried(format!("no network namespace can be made: {error}"));
        }
        let mut kernel = match Kernel::open() {
            Ok(kernel) => kernel,
            Err(error) => return RuleTrial::NotTried(error.to_string()),
        };
        let mut try_rules =
            |flow_log| kernel.apply(&diff(&Known::Exactly(Ruleset::default()), &ruleset(flow_log)));
        let Err(refusal) = try_rules(Some(FLOW_LOG)) else {
            return RuleTrial::Taken;
        };
        match try_rules(None) {
            Ok(()) => RuleTrial::WithoutLog(refusal.to_string()),
            Err(refusal) => RuleTrial::Refused(refusal.to_string()),
        }
    });
    tried.join().unwrap_or_else(|_| RuleTrial::NotTried("the trial broke off".to_owned()))
}

fn ruleset(flow_log: Option<FlowLog>) -> Ruleset {
    let source = Source { name: "trial".to_owned(), bytes: MANIFESTS.into() };
    let manifests = read(&[source], "trial");
    let cluster = place(&manifests, &PlacementOptions { node_count: 1, ipv4: true, ipv6: true }, None);
    let interface = |name: &str| InterfaceName::new(name).expect("a plain name");
    let attachments = BTreeMap::from([
        (ObjectKey::new("trial", "routed"), Attachment::Routed(interface("trial0"))),
        (
            ObjectKey::new("trial", "bridged"),
            Attachment::Bridged {
                port: interface("trial1"),
                hardware_address: Some(HardwareAddress([2, 0, 0, 0, 0, 1])),
            },
        ),
    ]);
    let options = NodeOptions {
        anti_spoofing: true,
        unknown_pods: UnknownPods::Drop {
            interface_prefixes: vec![interface("trial")],
            bridge_ranges: vec!["10.9.0.0/24".parse().expect("a network")],
        },
        revoked_mark: Some(0x0100_0000),
        counters: true,
        flow_log,
    };
    let closed = Closed::default();
    let state = NodeState {
        cluster: &cluster,
        node: NODE,
        attachments: &attachments,
        closed: &closed,
        options: &options,
    };
    compile(state).ruleset
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kinds of parts that any ruleset of ours has are in what is tried.
    #[test]
    fn what_is_tried_has_every_part() {
        let text = ruleset(Some(FLOW_LOG)).to_string();
        for part in [
            "table inet podwall",
            "table bridge podwall",
            "ct mark",
            "ct status dnat",
            "vmap @egress",
            "vmap @ingress.v4",
            "flags interval",
            "counter",
            "iifname . ip saddr",
            "arp",
            "icmpv6 type",
            "ether saddr",
            "tcp . 80",
            "8000-9000",
            "@sources.v6",
            "goto",
            "jump",
            "oifname",
            "update @denied/egress.v4",
            "limit rate",
            "log prefix",
        ] {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
    }
}
