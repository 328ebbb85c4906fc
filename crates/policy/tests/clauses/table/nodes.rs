//! Nodes, the pod itself, and pods that come and go: S60 to S89.

use super::{Case, WithObjects};

pub const CASES: &[Case] = &[
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
        "S61: an outsider with the node's address is not the node",
        &[("x", "podSelector: {}")],
        "node-1 -> x/a TCP/80 yes\nlike-node-1 -> x/a TCP/80 no",
    ),
    (
        "S66: the own node's probes get through when everything is denied",
        &[("x", "podSelector: {}\npolicyTypes: [Ingress, Egress]")],
        "node-1 -> x/a TCP/8080 yes\nnode-2 -> x/b UDP/9 yes\nx/a -> node-1 TCP/80 no",
    ),
    (
        "S67: between those who are no pods nothing is ours",
        &[("x", "podSelector: {}\npolicyTypes: [Ingress, Egress]")],
        "node-1 -> node-2 TCP/80 yes\noutside -> node-1 TCP/80 yes\nx/a -> outside TCP/80 no",
    ),
    (
        "S68: through a Service the node is still the node: here its own pods, there an address",
        &[("x", "podSelector: {}\ningress: [{ports: [{port: 1}]}]")],
        "node-1 -> x/a TCP/80 yes\nnode-1 -> x/b TCP/80 no\nnode-1 -> x/b TCP/1 yes",
    ),
    (
        "S71, S74: by its Service or its own address, the pod itself is never closed to it",
        &[("x", "podSelector: {}\npolicyTypes: [Ingress, Egress]")],
        "x/b -> x/b TCP/8080 yes\nx/b -> x/b UDP/53 yes\nx/b -> x/a TCP/80 no",
    ),
    (
        "S88: pods of every node are peers, and each is judged where it is",
        &[("x", "podSelector: {}\ningress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}]}]")],
        "y/a -> x/a TCP/80 yes\ny/b -> x/a TCP/80 yes\ny/a -> x/b TCP/80 yes\nz/b -> x/b TCP/80 no",
    ),
];

pub const WITH_OBJECTS: &[WithObjects] = &[
    (
        (
            "S63, S67: a pod on the host's network is its node: not isolated, and no peer",
            &[(
                "x",
                "podSelector: {}\npolicyTypes: [Ingress, Egress]\ningress: [{from: [{podSelector: {}}]}]",
            )],
            "y/a -> x/host TCP/80 yes\nx/host -> y/a TCP/80 yes\nx/host -> x/a TCP/80 yes\nx/host -> x/b TCP/80 no\nx/b -> x/a TCP/80 no",
        ),
        "apiVersion: v1\nkind: Pod\nmetadata: {name: host, namespace: x}\nspec: {nodeName: node-1, hostNetwork: true}\n",
    ),
    (
        (
            "S64: to a pod on the host's network only an address leads",
            &[
                (
                    "y",
                    "podSelector: {matchLabels: {pod: a}}\npolicyTypes: [Egress]\negress: [{to: [{namespaceSelector: {}}]}]",
                ),
                (
                    "y",
                    "podSelector: {matchLabels: {pod: b}}\npolicyTypes: [Egress]\negress: [{to: [{ipBlock: {cidr: 172.18.0.0/16}}]}]",
                ),
            ],
            "y/a -> x/host TCP/80 no\ny/b -> x/host TCP/80 yes\ny/a -> x/a TCP/80 yes",
        ),
        "apiVersion: v1\nkind: Pod\nmetadata: {name: host, namespace: x}\nspec: {nodeName: node-1, hostNetwork: true}\n",
    ),
    (
        (
            "S81, S84: of two pods with one address the live one, and of two live ones the later, has it",
            &[("x", "podSelector: {}\ningress: [{from: [{podSelector: {matchLabels: {who: good}}}]}]")],
            "shared -> x/a TCP/80 yes\nshared-2 -> x/a TCP/80 no",
        ),
        "apiVersion: v1\nkind: Pod\nmetadata: {name: done, namespace: x, labels: {who: bad}}\nspec: {nodeName: node-2}\nstatus: {phase: Failed, startTime: '2026-02-02T00:00:00Z', podIP: 10.244.1.77}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {name: live, namespace: x, labels: {who: good}}\nspec: {nodeName: node-2}\nstatus: {startTime: '2026-01-01T00:00:00Z', podIP: 10.244.1.77}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {name: early, namespace: x, labels: {who: good}}\nspec: {nodeName: node-2}\nstatus: {startTime: '2026-01-01T00:00:00Z', podIP: 10.244.1.78}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {name: late, namespace: x, labels: {who: bad}}\nspec: {nodeName: node-2}\nstatus: {startTime: '2026-02-02T00:00:00Z', podIP: 10.244.1.78}\n",
    ),
    (
        (
            "S82: a pod that is being deleted is isolated, and a peer, until it is gone",
            &[("x", "podSelector: {}\ningress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]")],
            "y/a -> x/b TCP/80 no\nx/b -> x/a TCP/80 yes\nx/c -> x/a TCP/80 no",
        ),
        "apiVersion: v1\nkind: Pod\nmetadata: {name: b, namespace: x, labels: {pod: b}, deletionTimestamp: '2026-01-01T00:00:00Z'}\nspec: {nodeName: node-2}\nstatus: {podIP: 10.244.1.11}\n",
    ),
    (
        (
            "S85: labels are what they are now, of pods and of namespaces",
            &[(
                "x",
                "podSelector: {matchLabels: {pod: a}}\ningress: [{from: [{podSelector: {matchLabels: {pod: b}}}, {namespaceSelector: {matchLabels: {team: ops}}}]}]",
            )],
            "x/c -> x/a TCP/80 yes\nx/b -> x/a TCP/80 no\ny/a -> x/a TCP/80 no\nz/a -> x/a TCP/80 yes",
        ),
        "apiVersion: v1\nkind: Pod\nmetadata: {name: c, namespace: x, labels: {pod: b}}\nspec: {nodeName: node-2}\nstatus: {podIP: 10.244.1.12}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {name: b, namespace: x, labels: {pod: was-b}}\nspec: {nodeName: node-2}\nstatus: {podIP: 10.244.1.11}\n---\n\
         apiVersion: v1\nkind: Namespace\nmetadata: {name: y}\n---\n\
         apiVersion: v1\nkind: Namespace\nmetadata: {name: z, labels: {team: ops}}\n",
    ),
    (
        (
            "S87, S89: a pending pod with an address is isolated and a peer; podIP alone will do",
            &[("x", "podSelector: {}\ningress: [{from: [{podSelector: {matchLabels: {who: early}}}]}]")],
            "y/a -> x/pending TCP/80 no\nx/pending -> x/a TCP/80 yes\nx/b -> x/a TCP/80 no",
        ),
        "apiVersion: v1\nkind: Pod\nmetadata: {name: pending, namespace: x, labels: {who: early}}\nspec: {nodeName: node-2}\nstatus: {phase: Pending, podIP: 10.244.1.79}\n",
    ),
    (
        (
            "S86: a policy of a namespace that is being deleted applies until it is gone, and its pods are peers as long",
            &[("x", "podSelector: {}\ningress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}]}]")],
            "y/a -> x/a TCP/80 yes\nz/a -> x/a TCP/80 no\nx/b -> x/a TCP/80 no",
        ),
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: x, labels: {ns: x}, deletionTimestamp: '2026-01-01T00:00:00Z'}\nstatus: {phase: Terminating}\n---\n\
         apiVersion: v1\nkind: Namespace\nmetadata: {name: y, labels: {ns: y}, deletionTimestamp: '2026-01-01T00:00:00Z'}\nstatus: {phase: Terminating}\n",
    ),
];
