//! Blocks, families, Services, and what the API server would not have let pass: S130 to S166.

use super::{Case, WithObjects};

pub const CASES: &[Case] = &[
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
        "S132: an IPv4 block that is written as IPv6 is the IPv4 block",
        &[("x", "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: '::ffff:203.0.113.0/120'}}]}]")],
        "outside -> x/a TCP/80 yes\noutside6 -> x/a TCP/80 no\ny/a -> x/a TCP/80 no",
    ),
    (
        "S133: an except that is not a smaller part closes its block; excepts may overlap",
        &[
            (
                "x",
                "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.0/24]}}]}]",
            ),
            (
                "y",
                "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 203.0.113.0/24, except: [198.51.100.0/25]}}]}]",
            ),
            (
                "z",
                "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.0/28, 203.0.113.0/29, 203.0.113.0/28]}}]}]",
            ),
        ],
        "outside -> x/a TCP/80 no\noutside -> y/a TCP/80 no\noutside -> z/a TCP/80 yes\noutside-2 -> z/a TCP/80 no",
    ),
    (
        "S135: the smallest blocks",
        &[(
            "x",
            "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 203.0.113.98/32}}, {ipBlock: {cidr: '2001:db8::98/128'}}, {ipBlock: {cidr: 203.0.113.8/31}}]}]",
        )],
        "outside -> x/a TCP/80 yes\noutside6 -> x/a TCP/80 yes\noutside-2 -> x/a TCP/80 yes\noutside-3 -> x/a TCP/80 no",
    ),
    (
        "S138, S150, S151: a Service's address in a block opens nothing, a selector of the pods behind it does",
        &[
            (
                "x",
                "podSelector: {matchLabels: {pod: a}}\npolicyTypes: [Egress]\negress: [{to: [{ipBlock: {cidr: 10.96.0.0/16}}]}]",
            ),
            (
                "x",
                "podSelector: {matchLabels: {pod: b}}\npolicyTypes: [Egress]\negress: [{to: [{namespaceSelector: {matchLabels: {ns: y}}}]}]",
            ),
        ],
        "x/a -> y/a TCP/80 no\nx/b -> y/a TCP/80 yes\nx/b -> service TCP/80 no",
    ),
    (
        "S140: a link-local address is an address",
        &[(
            "x",
            "podSelector: {}\npolicyTypes: [Egress]\negress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}]}]",
        )],
        "x/a -> metadata TCP/80 no\nx/a -> outside TCP/80 yes",
    ),
    (
        "S141: a block of the other family does not match",
        &[("x", "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: '2001:db8::/32'}}]}]")],
        "outside -> x/a TCP/80 no\noutside6 -> x/a TCP/80 yes",
    ),
    (
        "S152: on one node, too, both ends must allow",
        &[
            ("x", "podSelector: {}\npolicyTypes: [Egress]\negress: [{}]"),
            (
                "y",
                "podSelector: {}\ningress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: z}}}]}]",
            ),
        ],
        "x/a -> y/a TCP/80 no\nz/a -> y/a TCP/80 yes\nx/a -> z/a TCP/80 yes",
    ),
    (
        "S155: from outside, only blocks and rules without peers match",
        &[
            (
                "x",
                "podSelector: {matchLabels: {pod: a}}\ningress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}]",
            ),
            ("x", "podSelector: {matchLabels: {pod: b}}\ningress: [{ports: [{port: 80}]}]"),
            ("y", "podSelector: {}\ningress: [{from: [{namespaceSelector: {}}]}]"),
        ],
        "outside -> x/a TCP/80 yes\noutside -> x/b TCP/80 yes\noutside -> y/a TCP/80 no",
    ),
    (
        "S157: DNS is a peer like any other, over UDP and TCP, on the port of its pods",
        &[(
            "y",
            "podSelector: {}\npolicyTypes: [Egress]\negress: [{to: [{namespaceSelector: {matchLabels: {ns: x}}}], ports: [{port: 53, protocol: UDP}, {port: 53}]}]",
        )],
        "y/a -> x/b UDP/53 yes\ny/a -> x/b TCP/53 yes\ny/a -> x/b TCP/80 no\ny/a -> z/b UDP/53 no",
    ),
    (
        "S158: the API server is an address of a node",
        &[(
            "x",
            "podSelector: {}\npolicyTypes: [Egress]\negress: [{to: [{ipBlock: {cidr: 172.18.0.0/16}}], ports: [{port: 6443}]}]",
        )],
        "x/a -> node-1 TCP/6443 yes\nx/b -> node-1 TCP/6443 yes\nx/a -> node-1 TCP/22 no",
    ),
    (
        "S160: what the API server rejects is closed: whole policies ...",
        &[
            (
                "x",
                "podSelector: {matchLabels: {pod: a}}\npolicyTypes: [Ingress, Egress, Ingress]\ningress: [{}]",
            ),
            ("y", "podSelector: {matchExpressions: [{key: pod}]}\ningress: [{}]"),
            ("z", "podSelector: {}\npolicyTypes: [ingress]\ningress: [{}]"),
        ],
        "y/a -> x/a TCP/80 no\nx/b -> y/c TCP/80 no\nx/b -> z/a TCP/80 no\nz/b -> outside TCP/80 no\noutside -> node-1 TCP/80 yes",
    ),
    (
        "S160: ... and parts of them",
        &[
            (
                "x",
                "podSelector: {}\ningress: [{ports: [{port: 0}, {port: 65536}, {port: 90, endPort: 80}, {endPort: 80}, {port: 80, endPort: 65536}, {port: Bad_Name}]}]",
            ),
            (
                "y",
                "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: ''}}, {ipBlock: {cidr: 10.0.0.0/33}}, {ipBlock: {except: [10.0.0.0/8]}}, {}]}]",
            ),
        ],
        "z/a -> x/a TCP/80 no\nz/a -> x/a TCP/85 no\noutside -> y/a TCP/80 no\nz/a -> y/a TCP/80 no\nx/a -> z/a TCP/80 yes",
    ),
    (
        "S161: what is only odd keeps its meaning",
        &[
            (
                "x",
                "podSelector: {matchLabels: {pod: a}, matchExpressions: [{key: pod, operator: NotIn, values: [a]}]}",
            ),
            (
                "y",
                "podSelector: {}\npolicyTypes: [Ingress, Ingress]\ningress: [{from: [{podSelector: {matchLabels: {pod: ''}}}]}, {from: [{podSelector: {}}]}, {ports: [{port: nowhere}]}]",
            ),
        ],
        "y/a -> x/a TCP/80 yes\ny/b -> y/a TCP/80 yes\nx/a -> y/a TCP/80 no",
    ),
    (
        "S162: a misspelt field closes what it might have been about, both ways",
        &[("x", "podSelctor: {matchLabels: {pod: a}}\ningress: [{}]")],
        "y/a -> x/b TCP/80 no\nx/b -> y/a TCP/80 no\ny/a -> z/a TCP/80 yes",
    ),
    (
        "S166: one bad policy closes its own pods and leaves the others' policies in force",
        &[
            ("x", "podSelector: {matchLabels: {pod: a}}\ningress: nonsense"),
            (
                "x",
                "podSelector: {matchLabels: {pod: b}}\ningress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}]}]",
            ),
        ],
        "y/a -> x/a TCP/80 no\ny/a -> x/b TCP/8080 yes\nz/a -> x/b TCP/8080 no\ny/a -> x/c TCP/80 yes",
    ),
];

pub const WITH_OBJECTS: &[WithObjects] = &[
    (
        (
            "S147, S148: a pod of one family has that one, a second address counts when it is there",
            &[("x", "podSelector: {}\ningress: [{from: [{podSelector: {}}]}]")],
            "only6 -> x/a6 TCP/80 yes\nboth6 -> x/a6 TCP/80 yes\nboth4 -> x/a TCP/80 yes\noutside6 -> x/a6 TCP/80 no",
        ),
        "apiVersion: v1\nkind: Pod\nmetadata: {name: only6, namespace: x}\nspec: {nodeName: node-2}\nstatus: {podIPs: [{ip: 'fd00:1::80'}]}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {name: both, namespace: x}\nspec: {nodeName: node-2}\nstatus: {podIPs: [{ip: 10.244.1.81}, {ip: 'fd00:1::81'}]}\n",
    ),
    (
        (
            "S163, S165: no namespace is the default one; the longest names are names",
            &[],
            "y/a -> default/web TCP/80 no\nx/a -> default/web TCP/80 no\ny/a -> x/a TCP/80 yes",
        ),
        concat!(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: default}\nspec: {nodeName: node-2}\nstatus: {podIPs: [{ip: 10.244.1.82}, {ip: 'fd00:1::82'}]}\n---\n",
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: ",
            "a.policy.with.the.longest.name.that.there.may.be.a.policy.with.the.longest.name.that.there.may.be.",
            "a.policy.with.the.longest.name.that.there.may.be.a.policy.with.the.longest.name.that.there.may.be.",
            "a.policy.with.the.longest.name.that.there.may.be.12345678",
            "\nspec: {podSelector: {}}\n",
        ),
    ),
    (
        (
            "S154: who calls a headless Service calls its pods, and who calls an external name calls an address",
            &[(
                "y",
                "podSelector: {}\npolicyTypes: [Egress]\negress: [{to: [{namespaceSelector: {matchLabels: {ns: x}}, podSelector: {matchLabels: {pod: b}}}]}]",
            )],
            "y/a -> x/b TCP/80 yes\ny/a -> x/a TCP/80 no\ny/a -> outside TCP/80 no",
        ),
        "apiVersion: v1\nkind: Service\nmetadata: {name: headless, namespace: x}\nspec: {clusterIP: None, selector: {pod: b}, ports: [{port: 80}]}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {name: elsewhere, namespace: x}\nspec: {type: ExternalName, externalName: example.com}\n",
    ),
];
