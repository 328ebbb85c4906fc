//! Whom a rule names: S30 to S49.

use super::{Case, WithObjects};

pub const CASES: &[Case] = &[
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
        "S38: an unreadable peer matches nothing and the policy isolates",
        &[("x", "podSelector: {}\ningress: [{from: [{}]}]")],
        "y/a -> x/a TCP/80 no\noutside -> x/a TCP/80 no\nx/a -> outside TCP/80 yes",
    ),
    (
        "S32: a namespaceSelector alone is all pods there",
        &[("x", "podSelector: {}\ningress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}]}]")],
        "y/a -> x/a TCP/80 yes\ny/c -> x/a TCP/80 yes\nx/b -> x/a TCP/80 no",
    ),
    (
        "S36: an address that is no live pod's is nobody's",
        &[("x", "podSelector: {}\ningress: [{from: [{namespaceSelector: {}}]}]")],
        "stray -> x/a TCP/80 no\nservice -> x/a TCP/80 no\ny/a -> x/a TCP/80 yes",
    ),
    (
        "S37: a block and a selector in one peer are refused, in two they are either",
        &[
            ("x", "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}, podSelector: {}}]}]"),
            (
                "y",
                "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}, {podSelector: {}}]}]",
            ),
        ],
        "outside -> x/a TCP/80 no\nx/b -> x/a TCP/80 no\noutside -> y/a TCP/80 yes\ny/b -> y/a TCP/80 yes\nx/a -> y/a TCP/80 no",
    ),
    (
        "S40: labels and expressions must all hold, and an empty selector holds without labels",
        &[
            (
                "x",
                "podSelector: {}\ningress: [{from: [{namespaceSelector: {matchLabels: {ns: y, team: ops}, matchExpressions: [{key: team, operator: Exists}]}}]}]",
            ),
            (
                "y",
                "podSelector: {}\ningress: [{from: [{namespaceSelector: {matchLabels: {ns: x, team: ops}}}]}]",
            ),
            ("z", "podSelector: {}\ningress: [{from: [{namespaceSelector: {}, podSelector: {}}]}]"),
        ],
        "y/a -> x/a TCP/80 yes\nx/a -> y/a TCP/80 no\nx/c -> z/a TCP/80 yes",
    ),
    (
        "S41: In needs the key, and one of the values",
        &[(
            "x",
            "podSelector: {}\ningress: [{from: [{podSelector: {matchExpressions: [{key: pod, operator: In, values: [a, b]}]}}]}]",
        )],
        "x/b -> x/a TCP/80 yes\nx/c -> x/a TCP/80 no",
    ),
    (
        "S42: NotIn is no value of these",
        &[(
            "x",
            "podSelector: {}\ningress: [{from: [{namespaceSelector: {matchExpressions: [{key: team, operator: NotIn, values: [ops]}]}}]}]",
        )],
        "y/a -> x/a TCP/80 no\nx/b -> x/a TCP/80 yes\nz/a -> x/a TCP/80 yes",
    ),
    (
        "S43, S44: Exists is the key, DoesNotExist its absence",
        &[
            (
                "x",
                "podSelector: {}\ningress: [{from: [{podSelector: {matchExpressions: [{key: pod, operator: Exists}]}}]}]",
            ),
            (
                "y",
                "podSelector: {}\ningress: [{from: [{namespaceSelector: {}, podSelector: {matchExpressions: [{key: pod, operator: DoesNotExist}]}}]}]",
            ),
        ],
        "x/b -> x/a TCP/80 yes\nx/c -> x/a TCP/80 no\nx/c -> y/a TCP/80 yes\nx/b -> y/a TCP/80 no",
    ),
    (
        "S47: values and keys by the letter, and operators with the values they need",
        &[
            (
                "x",
                "podSelector: {}\ningress: [{from: [{podSelector: {matchLabels: {pod: B}}}, {podSelector: {matchLabels: {Pod: b}}}]}]",
            ),
            (
                "y",
                "podSelector: {}\ningress: [{from: [{podSelector: {matchExpressions: [{key: pod, operator: In, values: []}]}}, {podSelector: {matchExpressions: [{key: pod, operator: Exists, values: [a]}]}}]}]",
            ),
            (
                "z",
                "podSelector: {}\ningress: [{from: [{podSelector: {matchExpressions: [{key: pod, operator: Gt, values: ['0']}]}}]}]",
            ),
        ],
        "x/b -> x/a TCP/80 no\ny/b -> y/a TCP/80 no\nz/b -> z/a TCP/80 no\nx/a -> outside TCP/80 yes",
    ),
    (
        "S49: an unknown operator closes its peer and leaves the others",
        &[(
            "x",
            "podSelector: {}\ningress: [{from: [{podSelector: {matchExpressions: [{key: pod, operator: Like, values: [b]}]}}, {namespaceSelector: {matchLabels: {ns: y}}}]}]",
        )],
        "x/b -> x/a TCP/80 no\ny/b -> x/a TCP/80 yes\noutside -> x/a TCP/80 no",
    ),
];

pub const WITH_OBJECTS: &[WithObjects] = &[(
    (
        "S46: an empty value is a value, and not an absent key",
        &[("x", "podSelector: {}\ningress: [{from: [{podSelector: {matchLabels: {tier: ''}}}]}]")],
        "x/b -> x/a TCP/80 yes\nx/c -> x/a TCP/80 no",
    ),
    "apiVersion: v1\nkind: Pod\nmetadata: {name: b, namespace: x, labels: {tier: ''}}\nspec: {nodeName: node-2}\nstatus: {podIP: 10.244.1.11}\n",
)];
