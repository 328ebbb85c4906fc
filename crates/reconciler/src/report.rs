//! What the agent says of itself, kept as it goes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use podwall_compiler::{Attachment, Engine, FlowLog, LocalPodState, UnknownPods, flow_log};
use podwall_netlink::{Process, RuleCounter};
use podwall_policy::{FlowVerdict, ObjectKey, Problem};
use podwall_ruleset::{Name, TableId, Transaction};

use crate::event::Kind;
use crate::metrics::{Metrics, Reason, WatchRestart};
use crate::problems::Problems;
use crate::settings::Settings;
use crate::status::{FlowsHeader, Held, PodStatus, Status};
use crate::writer::WriteError;

/// What the agent says of itself.
#[derive(Debug)]
pub struct Report {
    /// For Prometheus.
    pub metrics: Metrics,
    problems: Problems,
    node: String,
    revoked_mark: Option<u32>,
    started: SystemTime,
    enforcing_since: Option<SystemTime>,
    /// Since when each local pod is judged by these chains.
    judged: BTreeMap<ObjectKey, (Judges, SystemTime)>,
    last_failure: Option<String>,
    complained: Option<Instant>,
    touches_logged: Option<Instant>,
}

/// The chains that judge a pod: ingress, egress.
type Judges = (Option<Name>, Option<Name>);

/// Changes by others are logged at most this often: whoever fights us writes often.
const TOUCH_INTERVAL: Duration = Duration::from_secs(1);
/// Failures of the same kind are logged at most this often.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

impl Report {
    /// Nothing has happened yet.
    pub fn new(settings: &Settings) -> Self {
        Self {
            metrics: Metrics::new(),
            problems: Problems::default(),
            node: settings.node.to_string(),
            revoked_mark: settings.revoked_mark,
            started: SystemTime::now(),
            enforcing_since: None,
            judged: BTreeMap::new(),
            last_failure: None,
            complained: None,
            touches_logged: None,
        }
    }

    /// The kernel took a transaction; events had waited for it since.
    pub fn applied(&mut self, transaction: &Transaction, waiting_since: Option<Instant>, engine: &Engine) {
        let metrics = &self.metrics;
        metrics.transactions.inc();
        metrics.operations.inc_by(transaction.operations.len() as u64);
        metrics.last_transaction.set(seconds(SystemTime::now()) as f64);
        if let Some(since) = waiting_since {
            metrics.programming.observe(since.elapsed().as_secs_f64());
        }
        self.update_judges(engine);
    }

    /// The kernel held already what it should, as it does after a restart.
    pub fn unchanged(&mut self, engine: &Engine) {
        self.update_judges(engine);
    }

    /// The kernel holds what it should.
    pub fn in_sync(&mut self) {
        self.last_failure = None;
        self.enforcing_since.get_or_insert_with(SystemTime::now);
    }

    /// The kernel could not be brought to the present state.
    pub fn failed(&mut self, error: &WriteError) {
        self.metrics.refusals.get_or_create(&Reason { reason: error.reason() }).inc();
        let text = error.to_string();
        let is_news = self.last_failure.as_ref() != Some(&text);
        if is_news || self.complained.is_none_or(|at| at.elapsed() > COMPLAINT_INTERVAL) {
            tracing::error!("{text}");
            self.complained = Some(Instant::now());
        }
        self.last_failure = Some(text);
    }

    /// A watch broke, and is tried again.
    pub fn watch_restarted(&self, kind: Kind, reason: &'static str) {
        tracing::warn!(kind = kind.name(), reason, "a watch broke, and what it said stays in force");
        self.metrics.watch_restarts.get_or_create(&WatchRestart { kind: kind.name(), reason }).inc();
    }

    /// Somebody else changed a table of ours.
    pub fn table_touched(&mut self, table: &TableId, by: Option<&Process>) {
        if self.touches_logged.is_none_or(|at| at.elapsed() > TOUCH_INTERVAL) {
            self.touches_logged = Some(Instant::now());
            let name = by.map_or_else(|| "somebody".to_owned(), |by| by.name.escape_debug().to_string());
            let pid = by.map(|by| by.pid);
            tracing::warn!(%table, process = name, pid, "another process changed our table: it is put right");
        }
    }

    /// Connections were cut, or let go on.
    pub fn marked(&self, revoked: bool, count: usize) {
        match revoked {
            true => {
                self.metrics.revoked.inc_by(count as u64);
                tracing::debug!(count, "connections were cut that policy forbids now");
            }
            false => {
                self.metrics.restored.inc_by(count as u64);
                tracing::debug!(count, "connections may go on that policy allows again");
            }
        }
    }

    /// These problems are all there are at present; returns those that are new.
    pub fn review(&mut self, all: impl Iterator<Item = Problem>) -> Vec<Problem> {
        self.problems.replace(all, &self.metrics)
    }

    /// The metrics as text.
    pub fn text(&self, engine: &Engine, is_ready: bool, counters: &[RuleCounter]) -> String {
        self.metrics.ready.set(is_ready.into());
        self.update_sizes(engine);
        self.metrics.text(counters)
    }

    /// The status; `not_ready` says why it is not.
    pub fn status(
        &self,
        engine: &Engine,
        unknown_pods: &UnknownPods,
        flow_log: Option<FlowLog>,
        mut not_ready: Vec<String>,
    ) -> Status {
        let counts = engine.counts();
        not_ready.extend(self.last_failure.clone());
        let held = Held {
            tables: counts.tables,
            chains: counts.chains,
            rules: counts.rules,
            sets: counts.sets,
            elements: counts.elements,
        };
        Status {
            node: self.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_s: seconds(self.started),
            enforcing_since_s: self.enforcing_since.map(seconds),
            unknown_pods: describe(unknown_pods),
            revoked_mark: self.revoked_mark,
            pods: counts.pods,
            policies: counts.policies,
            transactions: self.metrics.transactions.get(),
            drift_repairs: self.metrics.drift_repairs.get(),
            revoked_connections: self.metrics.revoked.get(),
            flow_log: flow_log_word(flow_log),
            audited_policies: texts(&engine.audited_policies()),
            held: not_ready.is_empty().then_some(held),
            not_ready,
            local_pods: engine.local_pods().into_iter().map(|pod| self.pod_status(pod)).collect(),
            problems: self.problems.texts(),
        }
    }

    /// What there is to say before the flow log.
    pub fn flows_header(
        &self,
        engine: &Engine,
        flow_log: Option<FlowLog>,
        counters: &[RuleCounter],
        lost: u64,
    ) -> FlowsHeader {
        FlowsHeader {
            node: self.node.clone(),
            flow_log: flow_log_word(flow_log),
            audited_policies: texts(&engine.audited_policies()),
            lost,
            beyond_limits: beyond_limits(counters),
        }
    }

    fn pod_status(&self, pod: LocalPodState) -> PodStatus {
        let (interface, bridged) = match &pod.attachment {
            Some(Attachment::Routed(interface)) => (Some(interface.to_string()), false),
            Some(Attachment::Bridged { port, .. }) => (Some(port.to_string()), true),
            None => (None, false),
        };
        PodStatus {
            since_s: self.judged.get(&pod.key).map(|(_, since)| seconds(*since)),
            pod: pod.key.to_string(),
            addresses: pod.addresses.iter().map(ToString::to_string).collect(),
            interface,
            bridged,
            ingress_chain: pod.ingress.as_ref().map(group_chain),
            egress_chain: pod.egress.as_ref().map(group_chain),
            policies: pod.policies.iter().map(ToString::to_string).collect(),
        }
    }

    fn update_sizes(&self, engine: &Engine) {
        let counts = engine.counts();
        let sizes = &self.metrics.sizes;
        for (gauge, count) in [
            (&sizes.pods, counts.pods),
            (&sizes.local_pods, counts.local_pods),
            (&sizes.namespaces, counts.namespaces),
            (&sizes.policies, counts.policies),
            (&sizes.sets, counts.sets),
            (&sizes.elements, counts.elements),
            (&sizes.chains, counts.chains),
            (&sizes.rules, counts.rules),
        ] {
            gauge.set(count as i64);
        }
    }

    fn update_judges(&mut self, engine: &Engine) {
        let now = SystemTime::now();
        let mut before = std::mem::take(&mut self.judged);
        let mut isolated = 0;
        for pod in engine.local_pods() {
            let judges = (pod.ingress, pod.egress);
            isolated += i64::from(judges != (None, None));
            let since = match before.remove(&pod.key) {
                Some((as_before, since)) if as_before == judges => since,
                _ => now,
            };
            self.judged.insert(pod.key, (judges, since));
        }
        self.metrics.sizes.isolated_pods.set(isolated);
    }
}

fn flow_log_word(flow_log: Option<FlowLog>) -> String {
    let word = match flow_log {
        None => "off",
        Some(FlowLog { allowed: false, .. }) => "denied",
        Some(FlowLog { allowed: true, .. }) => "all",
    };
    word.to_owned()
}

fn texts(keys: &[ObjectKey]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}

/// How many packets were beyond the limits of the flow log: denied, audited, allowed.
fn beyond_limits(counters: &[RuleCounter]) -> [u64; 3] {
    [FlowVerdict::Denied, FlowVerdict::Audit, FlowVerdict::Allowed].map(|page| {
        let (mut came, mut logged) = (0_u64, 0_u64);
        for counter in counters {
            match flow_log::counted(&counter.chain, counter.rule) {
                Some((verdict, _, true)) if verdict == page => came += counter.packets,
                Some((verdict, _, false)) if verdict == page => logged += counter.packets,
                _ => {}
            }
        }
        // The two are read a moment apart.
        came.saturating_sub(logged)
    })
}

/// The chain that judges, behind the one that counts.
fn group_chain(name: &Name) -> String {
    let name = name.as_str();
    name.strip_prefix("counted/").unwrap_or(name).to_owned()
}

fn describe(unknown_pods: &UnknownPods) -> String {
    match unknown_pods {
        UnknownPods::Accept => "open".to_owned(),
        UnknownPods::Drop { interface_prefixes, bridge_ranges } => {
            let interfaces = interface_prefixes.iter().map(|prefix| format!("interfaces {prefix}*"));
            let ranges = bridge_ranges.iter().map(|range| format!("addresses in {range}"));
            let all: Vec<String> = interfaces.chain(ranges).collect();
            match all.is_empty() {
                true => "open: nothing tells them apart".to_owned(),
                false => format!("closed ({})", all.join(", ")),
            }
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs())
}
