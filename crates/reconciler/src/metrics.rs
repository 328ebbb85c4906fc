//! What Prometheus is told. Labels have few values, and none comes from an object that a tenant may write, but for
//! the names of group chains, which are made by us.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use podwall_compiler::flow_log;
use podwall_netlink::RuleCounter;
use podwall_policy::{FlowDirection, FlowVerdict};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// The agent's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// From an event to the kernel's acknowledgement, in seconds.
    pub programming: Histogram,
    /// Transactions that the kernel took.
    pub transactions: Counter,
    /// Operations in them.
    pub operations: Counter,
    /// Transactions that failed, by reason.
    pub refusals: Family<Reason, Counter>,
    /// Changes of our tables by others that were undone.
    pub drift_repairs: Counter,
    /// Connections that were cut.
    pub revoked: Counter,
    /// Connections that were let go on.
    pub restored: Counter,
    /// Watches that broke, by kind and reason.
    pub watch_restarts: Family<WatchRestart, Counter>,
    /// Events taken from watches.
    pub events: Counter,
    /// Sizes of what is enforced.
    pub sizes: Sizes,
    /// New connections that groups were asked for. Only with the counters switched on.
    pub group_packets: Family<Group, Counter>,
    /// Packets that were dropped for other reasons than policy.
    pub dropped_packets: Family<Reason, Counter>,
    /// First packets that came to the chains of the flow log.
    pub flow_packets: Family<FlowPage, Counter>,
    /// Those of them that were within the limits, and logged.
    pub flow_packets_logged: Family<FlowPage, Counter>,
    /// Logged packets that the kernel could not hand over.
    pub lost_flows: Counter,
    /// What cannot be honoured, by how far it reaches.
    pub problems: Family<Reach, Gauge>,
    /// Seconds since 1970 at the last transaction.
    pub last_transaction: Gauge<f64, AtomicU64>,
    /// 1 when in sync and enforcing.
    pub ready: Gauge,
}

/// How much there is.
#[derive(Debug, Default)]
pub struct Sizes {
    /// Pods of the cluster that are known.
    pub pods: Gauge,
    /// Of them, pods of this node that take part in policy.
    pub local_pods: Gauge,
    /// Of them, pods that policies isolate in some direction.
    pub isolated_pods: Gauge,
    /// Namespaces.
    pub namespaces: Gauge,
    /// NetworkPolicies.
    pub policies: Gauge,
    /// Sets and maps in our tables.
    pub sets: Gauge,
    /// Elements in them.
    pub elements: Gauge,
    /// Chains.
    pub chains: Gauge,
    /// Rules.
    pub rules: Gauge,
}

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// One word.
    pub reason: &'static str,
}

/// Which watch broke, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WatchRestart {
    /// The kind.
    pub kind: &'static str,
    /// One word.
    pub reason: &'static str,
}

/// What a group of pods was asked, and what it said.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Group {
    /// The group's chain.
    pub group: String,
    /// `ingress` or `egress`.
    pub direction: &'static str,
    /// `allowed` or `denied`.
    pub verdict: &'static str,
}

/// What became of a connection, and which side decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FlowPage {
    /// `denied`, `audit` or `allowed`.
    pub verdict: &'static str,
    /// `ingress` or `egress`; `both` of what is allowed.
    pub direction: &'static str,
}

impl FlowPage {
    fn of(verdict: FlowVerdict, direction: Option<FlowDirection>) -> Self {
        let verdict = match verdict {
            FlowVerdict::Denied => "denied",
            FlowVerdict::Audit => "audit",
            FlowVerdict::Allowed => "allowed",
        };
        let direction = match direction {
            Some(FlowDirection::Ingress) => "ingress",
            Some(FlowDirection::Egress) => "egress",
            None => "both",
        };
        Self { verdict, direction }
    }
}

/// How far a problem reaches.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reach {
    /// `ignored`, `closed`, `refused` or `unreadable`.
    pub consequence: &'static str,
}

/// From 50 us to 6.5 s, each twice the one before.
fn buckets() -> impl Iterator<Item = f64> {
    (0..18).map(|exponent| 50e-6 * f64::from(1 << exponent))
}

impl Metrics {
    /// All of them, at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("podwall"),
            programming: Histogram::new(buckets()),
            transactions: Counter::default(),
            operations: Counter::default(),
            refusals: Family::default(),
            drift_repairs: Counter::default(),
            revoked: Counter::default(),
            restored: Counter::default(),
            watch_restarts: Family::default(),
            events: Counter::default(),
            sizes: Sizes::default(),
            group_packets: Family::default(),
            dropped_packets: Family::default(),
            flow_packets: Family::default(),
            flow_packets_logged: Family::default(),
            lost_flows: Counter::default(),
            problems: Family::default(),
            last_transaction: Gauge::default(),
            ready: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    /// In the text format of OpenMetrics, with what the kernel has counted.
    pub fn text(&self, counters: &[RuleCounter]) -> String {
        self.take_in(counters);
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes everything");
        text
    }

    /// A group's chain is entered through one that counts what is asked (its first rule) and what comes back allowed
    /// (its second). The two are read a moment apart. Everything else that is counted is dropped.
    fn take_in(&self, counters: &[RuleCounter]) {
        self.group_packets.clear();
        self.dropped_packets.clear();
        self.flow_packets.clear();
        self.flow_packets_logged.clear();
        let mut asked: BTreeMap<&str, u64> = BTreeMap::new();
        for counter in counters {
            if let Some((verdict, direction, all)) = flow_log::counted(&counter.chain, counter.rule) {
                let family = if all { &self.flow_packets } else { &self.flow_packets_logged };
                family.get_or_create(&FlowPage::of(verdict, direction)).inc_by(counter.packets);
                continue;
            }
            let chain = counter.chain.as_str();
            let Some(group) = chain.strip_prefix("counted/") else {
                let reason = drop_reason(chain, counter.rule);
                self.dropped_packets.get_or_create(&Reason { reason }).inc_by(counter.packets);
                continue;
            };
            if counter.rule == 0 {
                asked.insert(group, counter.packets);
                continue;
            }
            let denied = asked.get(group).copied().unwrap_or_default().saturating_sub(counter.packets);
            let direction = if group.starts_with("ingress/") { "ingress" } else { "egress" };
            for (verdict, packets) in [("allowed", counter.packets), ("denied", denied)] {
                let labels = Group { group: group.to_owned(), direction, verdict };
                self.group_packets.get_or_create(&labels).inc_by(packets);
            }
        }
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The version that runs", Info::new(version));
        registry.register(
            "programming_duration_seconds",
            "From an event of a watch to the kernel's acknowledgement",
            self.programming.clone(),
        );
        registry.register("transactions", "Transactions that the kernel took", self.transactions.clone());
        registry.register("operations", "Operations in those transactions", self.operations.clone());
        registry.register("refusals", "Transactions that failed", self.refusals.clone());
        registry.register(
            "drift_repairs",
            "Changes of our tables by others that were undone",
            self.drift_repairs.clone(),
        );
        registry.register(
            "revoked_connections",
            "Connections that were cut because policy forbids them now",
            self.revoked.clone(),
        );
        registry.register(
            "restored_connections",
            "Connections that were let go on because policy allows them again",
            self.restored.clone(),
        );
        registry.register("watch_restarts", "Watches that broke", self.watch_restarts.clone());
        registry.register("watch_events", "Events taken from watches", self.events.clone());
        registry.register(
            "group_packets",
            "First packets that the policies of a group of pods allowed or denied",
            self.group_packets.clone(),
        );
        registry.register(
            "dropped_packets",
            "Packets dropped as spoofed, of unknown pods, or of connections that were cut",
            self.dropped_packets.clone(),
        );
        registry.register(
            "flow_packets",
            "First packets, and a denied client's repetitions, by what policy says of them",
            self.flow_packets.clone(),
        );
        registry.register(
            "flow_packets_logged",
            "Those of them within the limits of the flow log",
            self.flow_packets_logged.clone(),
        );
        registry.register(
            "flow_packets_lost",
            "Packets of the flow log that the kernel could not hand over",
            self.lost_flows.clone(),
        );
        registry.register("problems", "What cannot be honoured at present", self.problems.clone());
        registry.register(
            "last_transaction_timestamp_seconds",
            "When the kernel took a transaction last",
            self.last_transaction.clone(),
        );
        registry.register("ready", "1 when in sync and enforcing", self.ready.clone());
        let sizes = &self.sizes;
        for (name, help, gauge) in [
            ("pods", "Pods of the cluster", &sizes.pods),
            ("local_pods", "Pods of this node that take part in policy", &sizes.local_pods),
            ("isolated_pods", "Pods of this node that policies isolate", &sizes.isolated_pods),
            ("namespaces", "Namespaces", &sizes.namespaces),
            ("policies", "NetworkPolicies", &sizes.policies),
            ("sets", "Sets and maps in our tables", &sizes.sets),
            ("elements", "Elements in our sets and maps", &sizes.elements),
            ("chains", "Chains in our tables", &sizes.chains),
            ("rules", "Rules in our tables", &sizes.rules),
        ] {
            registry.register(name, help, gauge.clone());
        }
    }
}

/// What a counted rule that drops has against a packet.
fn drop_reason(chain: &str, rule: usize) -> &'static str {
    match (chain, rule) {
        ("forward" | "input", 1) | ("output", _) => "revoked",
        ("forward", _) => "unknown_pod",
        _ => "spoofed",
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
