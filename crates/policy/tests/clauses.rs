//! Expectations written from the clauses of the specification by hand: what each says of a connection.
//!
//! The cluster is the same for all: namespaces x (labelled ns=x), y (ns=y, team=ops) and z (not declared), each
//! with pods a, b and c (labelled pod=a and so on; c of x has no labels; a of x declares port http = 80/TCP,
//! b of x http = 8080/TCP and dns = 53/UDP) on two nodes: a on node-1, b and c on node-2.

use std::net::IpAddr;

use podwall_policy::read::{Source, read};
use podwall_policy::{
    Cluster, Decision, Endpoint, Exemption, Flow, Grant, ObjectKey, PlacementOptions, Protocol, Transport,
    Verdict, evaluate, place,
};

/// A clause, the specs of policies (each with its namespace), and lines `FROM -> TO PROTOCOL/PORT yes|no`.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const CASES: &[Case] = &[
    ("S4: not isolated, everything is allowed", &[], "x/a -> y/b TCP/80 yes\noutside -> x/a UDP/53 yes"),
    (
        "S2: only pods of the policy's own namespace",
        &[("x", "podSelector: {}")],
        "y/a -> x/b TCP/80 no\nx/b -> y/a TCP/80 yes\nx/a -> z/a TCP/80 yes\ny/b -> z/b TCP/80 yes",
    ),
    (
        "S5: the union of all policies",
        &[
            ("x", "podSelector: {}"),
            ("x", "podSelector: {matchLabels: {pod: a}}\ningress: [{from: [{podSelector: {}}]}]"),
            (
                "x",
                "podSelector: {}\ningress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}], ports: [{port: 80}]}]",
            ),
        ],
        "x/b -> x/a TCP/1 yes\nx/a -> x/b TCP/80 no\ny/a -> x/b TCP/80 yes\ny/a -> x/b TCP/81 no\nz/a -> x/a TCP/80 no",
    ),
    (
        "S6: both ends must allow",
        &[
            (
                "x",
                "podSelector: {}\npolicyTypes: [Egress]\negress: [{to: [{namespaceSelector: {matchLabels: {ns: y}}}]}]",
            ),
            ("y", "podSelector: {matchLabels: {pod: b}}\ningress: [{from: [{podSelector: {}}]}]"),
        ],
        "x/a -> y/a TCP/80 yes\nx/a -> y/b TCP/80 no\nx/a -> z/a TCP/80 no\ny/a -> y/b TCP/80 yes\ny/b -> x/a TCP/80 yes",
    ),
    (
        "S10, S11: no policyTypes and no egress rules is ingress only",
        &[("x", "podSelector: {}\negress: []")],
        "y/a -> x/a TCP/80 no\nx/a -> y/a TCP/80 yes",
    ),
    (
        "S12: no policyTypes and egress rules closes ingress too",
        &[("x", "podSelector: {}\negress: [{}]")],
        "y/a -> x/a TCP/80 no\nx/a -> y/a TCP/80 yes",
    ),
    (
        "S13: rules of a direction that policyTypes leaves out are nothing",
        &[
            ("x", "podSelector: {}\npolicyTypes: [Ingress]\ningress: [{}]\negress: []"),
            ("y", "podSelector: {}\npolicyTypes: [Egress]\ningress: [{}]\negress: [{}]"),
        ],
        "x/a -> z/a TCP/80 yes\nz/a -> x/a TCP/80 yes\ny/a -> z/a TCP/80 yes\nz/a -> y/a TCP/80 yes",
    ),
    (
        "S14: a type named twice is that type",
        &[("x", "podSelector: {}\npolicyTypes: [Ingress, Ingress]")],
        "y/a -> x/a TCP/80 no\nx/a -> y/a TCP/80 yes",
    ),
    (
        "S20: a null podSelector selects all",
        &[("x", "podSelector:")],
        "y/a -> x/a TCP/80 no\ny/a -> x/c TCP/80 no",
    ),
    (
        "S21: [{}] allows all",
        &[("x", "podSelector: {}\ningress: [{}]")],
        "outside -> x/a Other yes\ny/a -> x/a UDP/9 yes",
    ),
    (
        "S22, S29b: an empty from is anyone",
        &[("x", "podSelector: {}\ningress: [{from: [], ports: [{port: 80}]}]")],
        "outside -> x/a TCP/80 yes\ny/a -> x/a TCP/80 yes\ny/a -> x/a TCP/81 no",
    ),
    (
        "S23: ports [{}] is TCP, any port",
        &[("x", "podSelector: {}\ningress: [{ports: [{}]}]")],
        "y/a -> x/a TCP/1 yes\ny/a -> x/a TCP/65535 yes\ny/a -> x/a UDP/1 no\ny/a -> x/a Other no",
    ),
    (
        "S24: the protocol is TCP unless it is said",
        &[("x", "podSelector: {}\ningress: [{ports: [{port: 53}]}]")],
        "y/a -> x/a TCP/53 yes\ny/a -> x/a UDP/53 no\ny/a -> x/a SCTP/53 no",
    ),
    (
        "S25, S96: every port of one protocol",
        &[("x", "podSelector: {}\ningress: [{ports: [{protocol: UDP}]}]")],
        "y/a -> x/a UDP/53 yes\ny/a -> x/a TCP/53 no",
    ),
    (
        "S30: peers and ports of one rule together, rules apart, nothing across",
        &[(
            "x",
            "podSelector: {}\ningress:\n- from: [{namespaceSelector: {matchLabels: {ns: y}}}]\n  ports: [{port: 80}]\n- from: [{podSelector: {}}]\n  ports: [{port: 81}]",
        )],
        "y/a -> x/a TCP/80 yes\ny/a -> x/a TCP/81 no\nx/b -> x/a TCP/81 yes\nx/b -> x/a TCP/80 no",
    ),
    (
        "S31: a podSelector alone looks in the policy's namespace",
        &[("x", "podSelector: {}\ningress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]")],
        "x/b -> x/a TCP/80 yes\ny/b -> x/a TCP/80 no\nx/c -> x/a TCP/80 no",
    ),
    (
        "S33: both selectors in one peer must hold",
        &[(
            "x",
            "podSelector: {}\ningress: [{from: [{namespaceSelector: {matchLabels: {team: ops}}, podSelector: {matchLabels: {pod: b}}}]}]",
        )],
        "y/b -> x/a TCP/80 yes\ny/a -> x/a TCP/80 no\nx/b -> x/a TCP/80 no",
    ),
    (
        "S33: in two peers either will do",
        &[(
            "x",
            "podSelector: {}\ningress: [{from: [{namespaceSelector: {matchLabels: {team: ops}}}, {podSelector: {matchLabels: {pod: b}}}]}]",
        )],
        "y/a -> x/a TCP/80 yes\nx/b -> x/a TCP/80 yes\nx/c -> x/a TCP/80 no\nz/b -> x/a TCP/80 no",
    ),
    (
        "S34, S63: all namespaces are all pods, and no address outside, no node of another's",
        &[("x", "podSelector: {}\ningress: [{from: [{namespaceSelector: {}}]}]")],
        "x/b -> x/a TCP/80 yes\nz/c -> x/a TCP/80 yes\noutside -> x/a TCP/80 no\nnode-2 -> x/a TCP/80 no",
    ),
    (
        "S35: the own namespace is selected only if its labels match",
        &[(
            "x",
            "podSelector: {}\ningress: [{from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: NotIn, values: [x]}]}}]}]",
        )],
        "x/b -> x/a TCP/80 no\ny/a -> x/a TCP/80 yes\nz/a -> x/a TCP/80 yes",
    ),
    (
        "S45: NotIn holds where the label is absent",
        &[(
            "x",
            "podSelector: {}\ningress: [{from: [{podSelector: {matchExpressions: [{key: pod, operator: NotIn, values: [b]}]}}]}]",
        )],
        "x/c -> x/a TCP/80 yes\nx/b -> x/a TCP/80 no",
    ),
    (
        "S48: every namespace carries its name",
        &[(
            "x",
            "podSelector: {}\ningress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: z}}}]}]",
        )],
        "z/a -> x/a TCP/80 yes\ny/a -> x/a TCP/80 no",
    ),
    (
        "S60, S62: the own node always, another node as an address",
        &[("x", "podSelector: {}")],
        "node-1 -> x/a TCP/80 yes\nnode-2 -> x/a TCP/80 no\nnode-2 -> x/b TCP/80 yes",
    ),
    (
        "S62: another node by its address",
        &[("x", "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 172.18.0.0/16}}]}]")],
        "node-2 -> x/a TCP/80 yes\noutside -> x/a TCP/80 no",
    ),
    (
        "S64, S65: to a node, its own or another, egress decides and only addresses match",
        &[
            ("x", "podSelector: {}\npolicyTypes: [Egress]\negress: [{to: [{namespaceSelector: {}}]}]"),
            (
                "y",
                "podSelector: {}\npolicyTypes: [Egress]\negress: [{to: [{ipBlock: {cidr: 172.18.0.0/16}}]}]",
            ),
        ],
        "x/a -> node-1 TCP/6443 no\nx/a -> node-2 TCP/6443 no\ny/a -> node-1 TCP/6443 yes\ny/a -> x/a TCP/80 no",
    ),
    (
        "S70, S73: a pod cannot close itself to itself",
        &[("x", "podSelector: {}\npolicyTypes: [Ingress, Egress]")],
        "x/a -> x/a TCP/80 yes\nx/a -> x/b TCP/80 no",
    ),
    (
        "S95: both ends of a range",
        &[(
            "x",
            "podSelector: {}\ningress: [{ports: [{port: 32000, endPort: 32768}, {port: 9, endPort: 9}]}]",
        )],
        "y/a -> x/a TCP/31999 no\ny/a -> x/a TCP/32000 yes\ny/a -> x/a TCP/32768 yes\ny/a -> x/a TCP/32769 no\ny/a -> x/a TCP/9 yes",
    ),
    (
        "S97: any port absorbs a port",
        &[("x", "podSelector: {}\ningress: [{ports: [{}, {port: 80}]}]")],
        "y/a -> x/a TCP/80 yes\ny/a -> x/a TCP/81 yes\ny/a -> x/a UDP/80 no",
    ),
    (
        "S99, S120: other protocols by rules without ports only",
        &[("x", "podSelector: {}\ningress: [{from: [{podSelector: {}}]}, {ports: [{port: 80}]}]")],
        "x/b -> x/a Other yes\ny/a -> x/a Other no\ny/a -> x/a TCP/80 yes",
    ),
    (
        "S100 to S103: a name is what the destination pod means by it, for its protocol",
        &[("x", "podSelector: {}\ningress: [{ports: [{port: http}, {port: dns}]}]")],
        "y/a -> x/a TCP/80 yes\ny/a -> x/a TCP/8080 no\ny/a -> x/b TCP/8080 yes\ny/a -> x/b TCP/80 no\ny/a -> x/b TCP/53 no\ny/a -> x/b UDP/53 no\ny/a -> x/c TCP/80 no",
    ),
    (
        "S102: on egress, each peer's own",
        &[(
            "y",
            "podSelector: {}\npolicyTypes: [Egress]\negress: [{ports: [{port: http}], to: [{namespaceSelector: {matchLabels: {ns: x}}}]}]",
        )],
        "y/a -> x/a TCP/80 yes\ny/a -> x/a TCP/8080 no\ny/a -> x/b TCP/8080 yes\ny/a -> x/c TCP/80 no\ny/a -> outside TCP/80 no",
    ),
    (
        "S104: a name and a block match the pods in the block; a name alone all pods",
        &[
            (
                "y",
                "podSelector: {matchLabels: {pod: a}}\npolicyTypes: [Egress]\negress: [{ports: [{port: http}], to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]",
            ),
            (
                "y",
                "podSelector: {matchLabels: {pod: b}}\npolicyTypes: [Egress]\negress: [{ports: [{port: http}]}]",
            ),
        ],
        "y/a -> x/a TCP/80 yes\ny/a -> outside TCP/80 no\ny/b -> x/b TCP/8080 yes\ny/b -> outside TCP/8080 no",
    ),
    (
        "S112: an SCTP rule isolates and is never TCP",
        &[("x", "podSelector: {}\ningress: [{ports: [{port: 80, protocol: SCTP}]}]")],
        "y/a -> x/a SCTP/80 yes\ny/a -> x/a TCP/80 no\ny/a -> x/a UDP/80 no",
    ),
    (
        "S130, S139: an except takes from its own block only",
        &[(
            "x",
            "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.0/26]}}, {ipBlock: {cidr: 203.0.113.50/32}}]}]",
        )],
        "outside -> x/a TCP/80 yes\noutside-2 -> x/a TCP/80 no\noutside-3 -> x/a TCP/80 yes",
    ),
    (
        "S131, S132: host bits and leading zeros",
        &[("x", "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 203.000.113.007/24}}]}]")],
        "outside -> x/a TCP/80 yes\ny/a -> x/a TCP/80 no",
    ),
    (
        "S134: 0.0.0.0/0 is IPv4 only",
        &[
            ("x", "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]"),
            ("y", "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: '::/0'}}]}]"),
        ],
        "outside -> x/a TCP/80 yes\noutside6 -> x/a TCP/80 no\noutside -> y/a TCP/80 no\noutside6 -> y/a TCP/80 yes",
    ),
    (
        "S136: a block holds pods too",
        &[("x", "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 10.244.0.0/24}}]}]")],
        "y/a -> x/a TCP/80 yes\ny/b -> x/a TCP/80 no",
    ),
    (
        "S145, S146: selectors hold for every address of a pod",
        &[("x", "podSelector: {}\ningress: [{from: [{podSelector: {}}]}]")],
        "x/b -> x/a TCP/80 yes\nx/b -> x/a6 TCP/80 yes\ny/b -> x/a6 TCP/80 no",
    ),
    (
        "S38: an unreadable peer matches nothing and the policy isolates",
        &[("x", "podSelector: {}\ningress: [{from: [{}]}]")],
        "y/a -> x/a TCP/80 no\noutside -> x/a TCP/80 no",
    ),
];

fn cluster(policies: &[(&str, &str)]) -> Cluster {
    let mut yaml =
        String::from("apiVersion: v1\nkind: Namespace\nmetadata: {name: x, labels: {ns: x}}\n---\n");
    yaml.push_str("apiVersion: v1\nkind: Namespace\nmetadata: {name: y, labels: {ns: y, team: ops}}\n");
    for (index, namespace) in ["x", "y", "z"].into_iter().enumerate() {
        for (number, pod) in ["a", "b", "c"].into_iter().enumerate() {
            let (node, host) = if pod == "a" { (0, 10 + index) } else { (1, 10 + index * 10 + number) };
            let labels = if (namespace, pod) == ("x", "c") { String::new() } else { format!("pod: {pod}") };
            let ports = match (namespace, pod) {
                ("x", "a") => "{name: http, containerPort: 80}",
                ("x", "b") => {
                    "{name: http, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}"
                }
                _ => "",
            };
            yaml.push_str(&format!(
                "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {pod}, namespace: {namespace}, labels: {{{labels}}}}}\n\
                 spec: {{nodeName: node-{}, containers: [{{name: c, ports: [{ports}]}}]}}\n\
                 status: {{podIPs: [{{ip: 10.244.{node}.{host}}}, {{ip: 'fd00:{node}::{host}'}}]}}\n",
                node + 1
            ));
        }
    }
    for (index, (namespace, spec)) in policies.iter().enumerate() {
        let spec = spec.replace('\n', "\n  ");
        yaml.push_str(&format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
             metadata: {{name: policy-{index}, namespace: {namespace}}}\nspec:\n  {spec}\n"
        ));
    }
    let manifests = read(&[Source { name: "clauses.yaml".into(), bytes: yaml.into_bytes() }], "default");
    place(&manifests, &PlacementOptions { node_count: 2, ipv4: true, ipv6: true }, None)
}

/// `x/a`, `x/a6` (its IPv6 address), `node-1`, `outside`.
fn endpoint(cluster: &Cluster, text: &str) -> Endpoint {
    let outside = [
        ("outside", "203.0.113.98"),
        ("outside-2", "203.0.113.9"),
        ("outside-3", "203.0.113.50"),
        ("outside6", "2001:db8::98"),
    ];
    if let Some((_, address)) = outside.iter().find(|(name, _)| *name == text) {
        return Endpoint::Outside(address.parse().unwrap());
    }
    if let Some((node, it)) = cluster.nodes.get_key_value(text) {
        return Endpoint::Node { node: node.clone(), address: it.addresses[0] };
    }
    let (namespace, pod) = text.split_once('/').unwrap();
    let key = ObjectKey::new(namespace, pod.trim_end_matches('6'));
    let address: IpAddr = cluster.pods[&key].addresses[usize::from(pod.ends_with('6'))];
    Endpoint::Pod { pod: key, address }
}

fn decide(cluster: &Cluster, from: &str, to: &str, spoken: &str) -> Decision {
    let transport = match spoken.split_once('/') {
        None => Transport::Other,
        Some((protocol, port)) => {
            let known = Protocol::ALL.into_iter().find(|it| it.to_string() == protocol);
            Transport::Port(known.unwrap(), port.parse().unwrap())
        }
    };
    let mut from = endpoint(cluster, from);
    let to = endpoint(cluster, to);
    // A connection has one family: the pod answers with its address of the other end's.
    if let Endpoint::Pod { pod, address } = &mut from {
        *address =
            *cluster.pods[pod].addresses.iter().find(|it| it.is_ipv4() == to.address().is_ipv4()).unwrap();
    }
    let to = match to {
        Endpoint::Pod { pod, .. } => {
            let family = from.address().is_ipv4();
            let address = *cluster.pods[&pod].addresses.iter().find(|it| it.is_ipv4() == family).unwrap();
            Endpoint::Pod { pod, address }
        }
        other => other,
    };
    evaluate(cluster, &Flow { from, to, transport })
}

#[test]
fn clauses() {
    let mut wrong = Vec::new();
    for (clause, policies, expectations) in CASES {
        let cluster = cluster(policies);
        assert_eq!(cluster.policies.len(), policies.len(), "{clause}");
        for line in expectations.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [from, "->", to, spoken, expected] = words[..] else { panic!("{clause}: {line}") };
            let decision = decide(&cluster, from, to, spoken);
            if decision.allowed() != (expected == "yes") {
                wrong.push(format!("{clause}\n  {line}\n  {decision:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_decision_names_what_isolates_and_what_allows() {
    let cluster = cluster(&[
        ("x", "podSelector: {}"),
        (
            "x",
            "podSelector: {matchLabels: {pod: a}}\ningress:\n- ports: [{port: 1}]\n- from: [{ipBlock: {cidr: 192.0.2.0/24}}, {namespaceSelector: {}}]\n  ports: [{port: 443}, {port: 80}]",
        ),
    ]);
    let policies = [0, 1].map(|index| ObjectKey::new("x", format!("policy-{index}")));
    let decision = decide(&cluster, "y/a", "x/a", "TCP/80");
    assert_eq!(decision.egress, Verdict::NotIsolated);
    let grant = Grant { policy: policies[1].clone(), rule: 1, peer: Some(1), port: Some(1) };
    assert_eq!(decision.ingress, Verdict::Allowed { isolating: policies.to_vec(), grant });
    let denied = Verdict::Denied { isolating: policies.to_vec() };
    assert_eq!(decide(&cluster, "y/a", "x/a", "TCP/81").ingress, denied);
    assert_eq!(decide(&cluster, "node-1", "x/a", "TCP/81").ingress, Verdict::Exempt(Exemption::OwnNode));
    assert_eq!(decide(&cluster, "x/a", "x/a", "TCP/81").ingress, Verdict::Exempt(Exemption::Itself));
    assert_eq!(decide(&cluster, "x/a", "outside", "TCP/81").ingress, Verdict::Exempt(Exemption::NotAPod));
    let anyone = Grant { policy: policies[1].clone(), rule: 0, peer: None, port: Some(0) };
    let Verdict::Allowed { grant, .. } = decide(&cluster, "outside", "x/a", "TCP/1").ingress else {
        panic!("denied")
    };
    assert_eq!(grant, anyone);
}
