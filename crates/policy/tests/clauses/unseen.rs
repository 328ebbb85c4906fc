//! The clauses, and those among them that no verdict over one state of the cluster can show, each with the reason.

/// The numbers of the clauses: first and last of each part.
pub const PARTS: &[(u32, u32)] = &[
    (1, 16),
    (20, 29),
    (30, 38),
    (40, 49),
    (50, 57),
    (60, 68),
    (70, 74),
    (80, 89),
    (90, 99),
    (100, 113),
    (120, 125),
    (130, 141),
    (145, 148),
    (150, 158),
    (160, 166),
];

/// Those with a letter behind the number.
pub const LETTERED: &[&str] = &["S29a", "S29b", "S29c", "S29d"];

/// What cannot be seen in a verdict, and where it is seen instead.
pub const UNSEEN: &[(&str, &str)] = &[
    ("S9", "closed at birth is about time: crates/lab and the golden cases unknown-pods"),
    ("S50", "a reply opens nothing: the first rule of `forward`; every answered probe of the lab"),
    ("S51", "the same for a pod that may not open anything: the scenarios with egress denied"),
    ("S52", "what conntrack takes for one UDP connection is the kernel's"),
    ("S53", "what becomes of a live connection is left open by the specification"),
    ("S54", "revocation is about connections that live: the agent's suite"),
    ("S55", "a retry after a change is a new connection: the steps of the lab"),
    ("S56", "the order of hooks: the interpreted ruleset, way.rs"),
    ("S57", "the state `invalid` is judged as new: no rule of ours names it"),
    ("S72", "ClusterNetworkPolicy is not read yet"),
    ("S80", "a connection needs an address, and who has none is no end of one"),
    ("S83", "about interfaces that outlive their pod: `Closed` of the compiler"),
    ("S86", "about a change of state: the conformance cases lifecycle/namespace-*"),
    ("S93", "a flow has no source port, and no rule of ours names one"),
    ("S110", "about when names may change: lifecycle/name-means-another-port"),
    ("S113", "multihomed SCTP is the kernel's connection tracking"),
    ("S122", "not filtered: neighbour discovery and DHCP are open in the properties"),
    ("S123", "fragments are put together before our hooks"),
    ("S124", "extension headers: `meta l4proto` in the golden rulesets"),
    ("S137", "where NAT happens: the lab's Services, scenario a07-service"),
    ("S153", "br_netfilter: the lab's layout bridged"),
    ("S154", "a headless Service is its pods' addresses: a07-service"),
    ("S156", "IPVS is refused, not judged"),
    ("S164", "no status and no semantic admission: nothing to judge"),
];
