//! Who is isolated, and what is meant by what is not written: S1 to S29.

use super::Case;

pub const CASES: &[Case] = &[
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
            ("z", "podSelector: {matchLabels: {pod: b}}\npolicyTypes: [Ingress]\ningress: []\negress: [{}]"),
        ],
        "x/a -> z/a TCP/80 yes\nz/a -> x/a TCP/80 yes\ny/a -> z/a TCP/80 yes\nz/a -> y/a TCP/80 yes\nx/a -> z/b TCP/80 no\nz/b -> x/a TCP/80 yes",
    ),
    (
        "S14: a type named twice is that type",
        &[("x", "podSelector: {}\npolicyTypes: [Ingress, Ingress]")],
        "y/a -> x/a TCP/80 no\nx/a -> y/a TCP/80 yes",
    ),
    (
        "S20: a null podSelector selects all",
        &[("x", "podSelector:")],
        "y/a -> x/a TCP/80 no\ny/a -> x/c TCP/80 no\nx/a -> y/a TCP/80 yes",
    ),
    (
        "S21: [{}] allows all",
        &[("x", "podSelector: {}\ningress: [{}]"), ("y", "podSelector: {}\ningress: []")],
        "outside -> x/a Other yes\ny/a -> x/a UDP/9 yes\nx/a -> y/a TCP/80 no",
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
        "S1: it is the opener who is judged, and not who answers",
        &[(
            "x",
            "podSelector: {}\npolicyTypes: [Egress]\negress: [{to: [{namespaceSelector: {matchLabels: {ns: y}}}]}]",
        )],
        "x/a -> y/a TCP/80 yes\ny/a -> x/a TCP/80 yes\nz/a -> x/a TCP/80 yes\nx/a -> z/a TCP/80 no",
    ),
    (
        "S3: isolated for one direction is not isolated for the other, nor is another pod",
        &[("x", "podSelector: {matchLabels: {pod: a}}\npolicyTypes: [Egress]")],
        "x/a -> y/a TCP/80 no\ny/a -> x/a TCP/80 yes\nx/b -> y/a TCP/80 yes",
    ),
    (
        "S7: a type without rules isolates, rules without the type do nothing",
        &[("x", "podSelector: {}\npolicyTypes: [Ingress]\negress: [{to: [{podSelector: {}}]}]")],
        "y/a -> x/a TCP/80 no\nx/a -> y/a TCP/80 yes",
    ),
    (
        "S8: one that allows all makes the others of its direction idle",
        &[("x", "podSelector: {}"), ("x", "podSelector: {matchLabels: {pod: a}}\ningress: [{}]")],
        "outside -> x/a UDP/7 yes\noutside -> x/b UDP/7 no",
    ),
    (
        "S15: manifests get the API server's defaults: types, protocol, selector",
        &[("x", "ingress: [{ports: [{port: 80}]}]")],
        "y/a -> x/c TCP/80 yes\ny/a -> x/c UDP/80 no\nx/c -> y/a TCP/80 yes",
    ),
    (
        "S16: an empty list of types is the default, not no type",
        &[("x", "podSelector: {}\npolicyTypes: []")],
        "y/a -> x/a TCP/80 no\nx/a -> y/a TCP/80 yes",
    ),
    (
        "S26: an empty podSelector is every pod in scope, one without labels too",
        &[("x", "podSelector: {}\ningress: [{from: [{podSelector: {}}]}]")],
        "x/c -> x/a TCP/80 yes\ny/a -> x/a TCP/80 no",
    ),
    (
        "S27: no namespaceSelector is the own namespace, an empty one is all",
        &[
            ("x", "podSelector: {}\ningress: [{from: [{podSelector: {matchLabels: {pod: a}}}]}]"),
            (
                "y",
                "podSelector: {}\ningress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {pod: a}}}]}]",
            ),
        ],
        "z/a -> x/b TCP/80 no\nx/a -> x/b TCP/80 yes\nz/a -> y/b TCP/80 yes\nz/b -> y/b TCP/80 no",
    ),
    (
        "S28: except, absent or empty, leaves nothing out",
        &[
            ("x", "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 203.0.113.0/24, except: []}}]}]"),
            ("y", "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 203.0.113.0/24, except: }}]}]"),
        ],
        "outside -> x/a TCP/80 yes\noutside -> y/a TCP/80 yes\nz/a -> x/a TCP/80 no",
    ),
    (
        "S29, S29d: nulls in a selector constrain nothing",
        &[("x", "podSelector: {matchLabels: , matchExpressions: }")],
        "y/a -> x/a TCP/80 no\ny/a -> x/c TCP/80 no\ny/a -> z/c TCP/80 yes",
    ),
    (
        "S29a, S29c: null, empty and absent are one: inside a rule, everything",
        &[
            ("x", "podSelector: {}\ningress: [{from: , ports: [{port: 80}]}]"),
            ("y", "podSelector: {}\ningress: [{from: [], ports: []}]"),
            ("z", "podSelector: {}\ningress: [{}]"),
        ],
        "outside -> x/a TCP/80 yes\noutside -> x/a TCP/81 no\noutside -> y/a UDP/5 yes\noutside -> z/a UDP/5 yes",
    ),
    (
        "S29a, S29b: and as the list of rules, nothing",
        &[
            ("x", "podSelector: {}\ningress: []"),
            ("y", "podSelector: {}\ningress: "),
            ("z", "podSelector: {}"),
        ],
        "outside -> x/a TCP/80 no\noutside -> y/a TCP/80 no\noutside -> z/a TCP/80 no\nx/a -> outside TCP/80 yes",
    ),
];
