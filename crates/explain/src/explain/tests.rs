//! The seven symptoms of A15: the answer names the cause.

use podwall_policy::{PlacementOptions, Source};

use super::*;

const PODS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: ingress}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop, labels: {role: fronted}}
spec: {containers: [{name: c, image: x}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: x, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}, {port: 81, targetPort: 8081}]}
---
apiVersion: v1
kind: Pod
metadata: {name: controller, namespace: ingress, labels: {app: nginx}}
spec: {containers: [{name: c, image: x}]}
---
apiVersion: v1
kind: Pod
metadata: {name: coredns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec: {containers: [{name: c, image: x, ports: [{containerPort: 53, protocol: UDP}, {containerPort: 53}]}]}
"#;

fn ask(specs: &[&str], from: &str, to: &str, port: Option<&str>) -> Result<Answer, Refusal> {
    let policy = |(index, spec): (usize, &&str)| {
        format!(
            "\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
             metadata: {{name: p{index}, namespace: shop}}\nspec: {spec}\n"
        )
    };
    let policies: String = specs.iter().enumerate().map(policy).collect();
    let source = Source { name: "a.yaml".to_owned(), bytes: format!("{PODS}{policies}").into() };
    let placement = PlacementOptions { node_count: 2, ipv4: true, ipv6: false };
    let snapshot = Snapshot::read(&[source], "default", &placement, None);
    assert!(snapshot.problems().is_empty(), "{:?}", snapshot.problems());
    let dialled = port.map(|port| port.parse().unwrap());
    explain(&snapshot, &Question { from: from.parse().unwrap(), to: to.parse().unwrap(), dialled })
}

/// Asks, and checks the verdict and that the text says all of `causes`.
fn symptom(specs: &[&str], (from, to, port): (&str, &str, &str), allowed: bool, causes: &[&str]) {
    let answer = ask(specs, from, to, Some(port)).unwrap();
    let text = answer.to_text();
    assert_eq!(answer.allowed(), allowed, "{text}");
    for cause in causes {
        assert!(text.contains(cause), "does not say {cause:?}:\n{text}");
    }
}

#[test]
fn symptom_1_policy_applied_and_traffic_still_flows() {
    symptom(
        &["{podSelector: {matchLabels: {app: wbe}}}"],
        ("shop/client", "shop/deployment/web", "TCP/8080"),
        true,
        &["no policy isolates it", "shop/p0 selects pods app=wbe (there is none); shop/web-0 has app=web"],
    );
    symptom(
        &["{podSelector: {}, policyTypes: [Egress], egress: [{}]}"],
        ("ingress/controller", "shop/web-0", "TCP/8080"),
        true,
        &["shop/p0 selects it, but its policyTypes do not have Ingress"],
    );
}

#[test]
fn a_policy_in_audit_mode_is_named_and_denies_nothing() {
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
                  metadata: {name: p, namespace: shop, annotations: {podwall.io/mode: audit}}\n\
                  spec: {podSelector: {matchLabels: {app: web}}}\n";
    let source = Source { name: "a.yaml".to_owned(), bytes: format!("{PODS}\n---\n{policy}").into() };
    let placement = PlacementOptions { node_count: 2, ipv4: true, ipv6: false };
    let snapshot = Snapshot::read(&[source], "default", &placement, None);
    let (from, to) = ("shop/client".parse().unwrap(), "shop/deployment/web".parse().unwrap());
    let dialled = Some("TCP/8080".parse().unwrap());
    let answer = explain(&snapshot, &Question { from, to, dialled }).unwrap();
    let text = answer.to_text();
    assert!(answer.allowed(), "{text}");
    assert!(text.contains("shop/p selects it, but is in audit mode: it is not enforced"), "{text}");
    assert!(text.contains("note: shop/p would deny this, and is in audit mode"), "{text}");
}

#[test]
fn symptom_2_dns_stopped() {
    symptom(
        &["{podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}"],
        ("shop/client", "kube-system/coredns", "UDP/53"),
        false,
        &[
            "isolated by shop/p0 (a.yaml:",
            "shop/client cannot look up names: no rule allows it UDP/53 and TCP/53 to the DNS pods (kube-system/coredns)",
        ],
    );
}

#[test]
fn symptom_3_bad_gateway_from_the_ingress_controller() {
    symptom(
        &[
            "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress}}, podSelector: {matchLabels: {app: ngnix}}}], ports: [{port: 8080}]}]}",
        ],
        ("ingress/controller", "shop/service/web", "TCP/80"),
        false,
        &["DENIED  ingress/controller -> shop/web-0 TCP/8080", "ingress/controller has app=nginx"],
    );
}

#[test]
fn symptom_4_traffic_within_the_namespace_is_blocked() {
    symptom(
        &[
            "{podSelector: {}}",
            "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {role: frontend}}}]}]}",
        ],
        ("shop/client", "shop/web-0", "TCP/8080"),
        false,
        &[
            "isolated by shop/p0",
            "isolated by shop/p1",
            "shop/p1 spec.ingress[0].from[0]",
            "allows pods role=frontend of its own namespace; shop/client has role=fronted",
            "shop/p0 spec.ingress (a.yaml:",
        ],
    );
}

#[test]
fn symptom_5_a_rule_across_namespaces_does_not_match() {
    symptom(
        &["{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {name: ingress}}}]}]}"],
        ("ingress/controller", "shop/web-0", "TCP/8080"),
        false,
        &[
            "allows all pods of namespaces name=ingress; namespace ingress has no label name",
            "every namespace has kubernetes.io/metadata.name=ingress",
        ],
    );
}

#[test]
fn symptom_6_egress_to_an_outside_api_is_blocked() {
    symptom(
        &[
            "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.99/32]}}, {ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 443}]}, {to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]}",
        ],
        ("shop/client", "203.0.113.99", "TCP/443"),
        false,
        &[
            "203.0.113.99 is in what is left out, 203.0.113.99/32",
            "allows 192.0.2.0/24; 203.0.113.99 is not in it",
        ],
    );
}

#[test]
fn symptom_7_policy_allows_and_it_still_times_out() {
    symptom(
        &["{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 8081}]}]}"],
        ("shop/client", "shop/service/web", "TCP/81"),
        true,
        &[
            "allowed by shop/p0 spec.ingress[0] and spec.ingress[0].ports[0] (a.yaml:",
            "policy allows, but shop/service/web TCP/81 leads to TCP/8081, and no container of shop/web-0 declares TCP/8081 \
             (declared: TCP/8080 (http))",
        ],
    );
}

#[test]
fn ports_are_asked_after_translation() {
    let policy = ["{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 80}]}]}"];
    symptom(
        &policy,
        ("shop/client", "shop/svc/web", "TCP/80"),
        false,
        &[
            "shop/client -> shop/web-0 TCP/8080 by shop/service/web TCP/80",
            "allows only TCP/80, not TCP/8080",
        ],
    );
}

#[test]
fn without_a_port_all_that_are_declared() {
    let answer = ask(&[], "shop/client", "kube-system/coredns", None).unwrap();
    let ports: Vec<&str> = answer.connections.iter().map(|it| it.port.as_str()).collect();
    assert_eq!(ports, ["TCP/53", "UDP/53"]);
    assert!(matches!(ask(&[], "shop/web-0", "shop/client", None), Err(Refusal::Unclear(_))));
}

#[test]
fn names_that_nothing_has_come_with_the_nearest() {
    let Err(Refusal::Unknown(unknown)) = ask(&[], "shop/clint", "shop/web-0", None) else { panic!("found") };
    assert_eq!(unknown.to_string(), "there is no shop/clint; nearest: shop/client");
    let Err(Refusal::Unknown(unknown)) = ask(&[], "shop/client", "shop/svc/web", Some("TCP/82")) else {
        panic!("found")
    };
    assert!(unknown.to_string().contains("does not have TCP/82; its ports: TCP/80, TCP/81"), "{unknown}");
}

#[test]
fn replicas_reach_each_other_and_json_says_the_same() {
    let policy = ["{podSelector: {matchLabels: {app: web}}}"];
    let answer = ask(&policy, "shop/deployment/web", "shop/deployment/web", None).unwrap();
    assert_eq!((answer.allowed(), answer.connections[0].alike), (false, 1));
    let json: serde_json::Value = serde_json::from_str(&answer.to_json()).unwrap();
    assert_eq!(json["allowed"], false);
    assert_eq!(json["connections"][0]["ingress"]["verdict"], "denied");
    assert_eq!(json["connections"][0]["ingress"]["isolating"][0]["policy"], "shop/p0");
    assert_eq!(json["connections"][0]["ingress"]["misses"][0]["field"], "spec.ingress");
}
