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

/// Where a clause is seen instead: a file of the repository and a word in it; or nowhere, because it is not ours.
pub type Elsewhere = Option<(&'static str, &'static str)>;

const PACKETS: &str = "crates/conformance/tests/clauses/packets.rs";

/// What cannot be seen in a verdict over a connection, and why.
pub const UNSEEN: &[(&str, &str, Elsewhere)] = &[
    ("S9", "about a pod that is not known yet, so that no verdict can name it", Some((PACKETS, "fn s9_"))),
    ("S50", "about packets of a connection that is there", Some((PACKETS, "fn s50_s51_"))),
    ("S51", "about packets of a connection that is there", Some((PACKETS, "fn s50_s51_"))),
    ("S52", "what counts as one UDP connection, and for how long, is the kernel's connection tracking", None),
    ("S53", "what becomes of a live connection is left open here, and decided in S54", None),
    ("S54", "about connections that live", Some((PACKETS, "fn s54_"))),
    (
        "S55",
        "about two states: a retry after the change is a new connection, with packets",
        Some(("crates/conformance/src/families/actions.rs", "deny-then-allow-all")),
    ),
    (
        "S56",
        "about the order of hooks: both nodes on the way must let a packet pass, interpreted",
        Some(("crates/compiler/tests/properties/way.rs", "way.into_iter().all")),
    ),
    ("S57", "about packets that connection tracking cannot place", Some((PACKETS, "fn s57_"))),
    ("S72", "about ClusterNetworkPolicy, which is not read", None),
    (
        "S80",
        "a connection needs an address, and offline every pod is given one: with packets, before and after",
        Some(("integration/tests/agent_faults/births.rs", "report_pod")),
    ),
    (
        "S83",
        "about an interface whose pod is gone, so that no verdict can name it",
        Some((PACKETS, "fn s83_")),
    ),
    ("S93", "a connection, as we ask for it, has no source port", Some((PACKETS, "fn s93_"))),
    (
        "S110",
        "about when a name may change its meaning",
        Some(("crates/conformance/src/families/lifecycle.rs", "name-means-another-port")),
    ),
    ("S113", "what an SCTP association of several addresses is, is the kernel's connection tracking", None),
    ("S122", "about packets that open no connection", Some((PACKETS, "fn s122_"))),
    ("S123", "fragments are put together by connection tracking before any hook of ours", None),
    ("S124", "about headers of a packet", Some((PACKETS, "fn s124_"))),
    (
        "S137",
        "about where addresses are translated: with packets through Services",
        Some(("integration/scenarios/a07-service/expect.yaml", "via")),
    ),
    (
        "S153",
        "about the kernel's settings for bridges",
        Some(("crates/reconciler/src/interfaces/preconditions.rs", "bridge-nf-call-iptables")),
    ),
    (
        "S156",
        "IPVS goes round the hook of ours: it is refused, and not judged",
        Some(("crates/reconciler/src/interfaces/preconditions.rs", "check_ipvs")),
    ),
    ("S164", "that the API has no status and admits what makes no sense allows and denies nothing", None),
];
