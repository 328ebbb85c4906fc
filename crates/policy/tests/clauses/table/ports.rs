//! What a rule lets be spoken: S90 to S125.

use super::{Case, WithObjects};

pub const CASES: &[Case] = &[
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
        "S100, S101, S102, S103: a name is what the destination pod means by it, for its protocol",
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
        "S90: a protocol that is none of the three closes its entry and no other",
        &[("x", "podSelector: {}\ningress: [{ports: [{protocol: ICMP}, {port: 80}]}]")],
        "y/a -> x/a Other no\ny/a -> x/a TCP/80 yes\ny/a -> x/a TCP/81 no",
    ),
    (
        "S91: it is always the port of who is called",
        &[(
            "x",
            "podSelector: {}\npolicyTypes: [Ingress, Egress]\ningress: [{ports: [{port: 80}]}]\negress: [{ports: [{port: 81}]}]",
        )],
        "y/a -> x/a TCP/80 yes\ny/a -> x/a TCP/81 no\nx/a -> y/a TCP/81 yes\nx/a -> y/a TCP/80 no",
    ),
    (
        "S92: and the pod's, not its Service's",
        &[("x", "podSelector: {}\ningress: [{ports: [{port: 80}]}]")],
        "y/a -> x/b TCP/8080 no\ny/a -> x/b TCP/80 yes",
    ),
    (
        "S94: a number is that number, to the ends of the range",
        &[("x", "podSelector: {}\ningress: [{ports: [{port: 1}, {port: 65535}]}]")],
        "y/a -> x/a TCP/1 yes\ny/a -> x/a TCP/2 no\ny/a -> x/a TCP/65535 yes\ny/a -> x/a TCP/65534 no\ny/a -> x/a UDP/1 no",
    ),
    (
        "S98: ports and ranges may overlap and repeat, in a rule and between policies",
        &[
            (
                "x",
                "podSelector: {}\ningress: [{ports: [{port: 10, endPort: 20}, {port: 15, endPort: 25}, {port: 15}, {port: 15}]}]",
            ),
            ("x", "podSelector: {}\ningress: [{ports: [{port: 20, endPort: 30}]}]"),
        ],
        "y/a -> x/a TCP/9 no\ny/a -> x/a TCP/15 yes\ny/a -> x/a TCP/25 yes\ny/a -> x/a TCP/30 yes\ny/a -> x/a TCP/31 no",
    ),
    (
        "S108, S111: no range from a name, and a number in quotes is no name",
        &[("x", "podSelector: {}\ningress: [{ports: [{port: http, endPort: 90}, {port: '81'}]}]")],
        "y/a -> x/a TCP/80 no\ny/a -> x/a TCP/81 no\ny/a -> x/a TCP/85 no\nx/a -> y/a TCP/80 yes",
    ),
    (
        "S109: a port need not be declared to be opened, nor to be closed",
        &[("x", "podSelector: {}\ningress: [{ports: [{port: 4444}]}]")],
        "y/a -> x/c TCP/4444 yes\ny/a -> x/a TCP/80 no",
    ),
    (
        "S121, S125: isolated, other protocols too, but for a rule without ports",
        &[
            ("x", "podSelector: {}\ningress: [{ports: [{}, {protocol: UDP}, {protocol: SCTP}]}]"),
            ("y", "podSelector: {}\ningress: [{from: [{podSelector: {}}]}]"),
        ],
        "y/a -> x/a Other no\ny/b -> y/a Other yes\nx/a -> y/a Other no\nx/a -> z/a Other yes",
    ),
];

pub const WITH_OBJECTS: &[WithObjects] = &[
    (
        (
            "S105, S106: all containers and sidecars give names, one name may be several ports; init containers give none",
            &[("x", "podSelector: {}\ningress: [{ports: [{port: web}]}]")],
            "y/a -> x/b TCP/1000 yes\ny/a -> x/b TCP/2000 yes\ny/a -> x/b TCP/3000 yes\ny/a -> x/b TCP/4000 no",
        ),
        "apiVersion: v1\nkind: Pod\nmetadata: {name: b, namespace: x, labels: {pod: b}}\nspec:\n  nodeName: node-2\n  containers:\n  - {name: one, ports: [{name: web, containerPort: 1000}]}\n  - {name: two, ports: [{name: web, containerPort: 2000}]}\n  initContainers:\n  - {name: sidecar, restartPolicy: Always, ports: [{name: web, containerPort: 3000}]}\n  - {name: once, ports: [{name: web, containerPort: 4000}]}\nstatus: {podIP: 10.244.1.11}\n",
    ),
    (
        (
            "S107: what a pod on the host's network calls its ports is nobody's name",
            &[("y", "podSelector: {}\npolicyTypes: [Egress]\negress: [{ports: [{port: web}]}]")],
            "y/a -> x/host TCP/1000 no\ny/a -> node-1 TCP/1000 no\nz/a -> x/host TCP/1000 yes",
        ),
        "apiVersion: v1\nkind: Pod\nmetadata: {name: host, namespace: x}\nspec: {nodeName: node-1, hostNetwork: true, containers: [{name: c, ports: [{name: web, containerPort: 1000}]}]}\n",
    ),
];
