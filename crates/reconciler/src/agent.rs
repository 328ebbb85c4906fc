//! The loop.
//!
//! It is woken by a closed set of things: what a watch says, links and routes that change, others' hands on our
//! tables, conntrack's answers, logged packets, questions, time, and the signal to stop. After each wake it brings the
//! kernel to the present state: whatever has come meanwhile is in the same transaction, and a lone event waits for
//! nothing.

use std::io;
use std::time::{Duration, Instant};

use podwall_compiler::{Closed, Engine, NodeOptions, UnknownPods};
use podwall_netlink::{Conntrack, Kernel, Logged, Monitor, Notification, RuleCounter};
use podwall_policy::{Consequence, ObjectKey, Problem};
use podwall_ruleset::Transaction;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver, unbounded_channel};

use crate::error::AgentError;
use crate::event::WatchEvent;
use crate::flows::Flows;
use crate::http;
use crate::interfaces::check_kernel;
use crate::mirror::Mirror;
use crate::others::Others;
use crate::place::Place;
use crate::report::Report;
use crate::revocation::{Heard, Revocation};
use crate::serve::{self, Question};
use crate::settings::Settings;
use crate::single::Single;
use crate::source::Watches;
use crate::writer::{RepairTimes, Writer, Written, may_forbid, our_tables};

/// As many events as are taken before the kernel is given what they mean.
const BATCH: usize = 8192;
/// Questions that may wait.
const QUESTIONS: usize = 16;
/// Counters are read from the kernel at most this often.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);
/// Problems are looked over at most this often.
const REVIEW_INTERVAL: Duration = Duration::from_millis(200);

/// Runs until it is told to stop. The rules stay in force.
pub async fn run(settings: Settings) -> Result<(), AgentError> {
    let _single = Single::take()?;
    let mut stop = [SignalKind::terminate(), SignalKind::interrupt()]
        .map(|kind| signal(kind).expect("this runtime has signals"));
    let [terminate, interrupt] = &mut stop;
    let mut agent = Agent::start(settings).await?;
    let mut events = Vec::with_capacity(BATCH);
    loop {
        let wake_at = agent.wake_at();
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            count = agent.watches.events.recv_many(&mut events, BATCH) => match count {
                0 => return Err(AgentError::WatchesEnded),
                _ => agent.hear_watches(&mut events),
            },
            changed = agent.place.changed() => changed?,
            touched = agent.others.touched() => agent.hear_others(touched.map_err(AgentError::Others)?),
            Some(heard) = agent.conntrack.recv() => agent.hear_conntrack(heard),
            logged = agent.flows.heard() => agent.hear_flows(logged),
            Some(question) = agent.questions.recv() => agent.answer(question),
            () = tokio::time::sleep_until(wake_at.into()) => agent.hear_clock()?,
        }
        agent.reconcile();
    }
    tracing::info!("stopping: the rules stay in force");
    Ok(())
}

/// Everything that the loop owns.
struct Agent {
    settings: Settings,
    mirror: Mirror,
    watches: Watches,
    place: Place,
    others: Others,
    writer: Writer,
    revocation: Option<Revocation>,
    conntrack: UnboundedReceiver<Heard>,
    questions: mpsc::Receiver<Question>,
    report: Report,
    flows: Flows,
    /// What our rules had counted, and when that was.
    counted: (Option<Instant>, Vec<RuleCounter>),
    /// Since when we know that somebody else changed our tables, until that is put right.
    touched: Option<Instant>,
    /// When the first event came that the kernel has not been given yet.
    waiting_since: Option<Instant>,
    resync_at: Instant,
    review_at: Option<Instant>,
}

impl Agent {
    async fn start(mut settings: Settings) -> Result<Self, AgentError> {
        let place = Place::open(&settings)?;
        let mut kernel = Kernel::open()?;
        check_kernel(&mut kernel, &settings)?;
        let flows = open_flows(&mut settings, &mut kernel);
        let others = Others::new(Monitor::open(&kernel, &our_tables())?).map_err(AgentError::Others)?;
        let (heard, conntrack) = unbounded_channel();
        let revocation = match settings.revoked_mark {
            Some(mark) => {
                Some(Revocation::start(Conntrack::open()?, mark, heard).map_err(AgentError::Thread)?)
            }
            None => None,
        };
        let (asker, questions) = mpsc::channel(QUESTIONS);
        if let Some(address) = settings.listen {
            http::serve(address, asker.clone()).await?;
        }
        serve::flow_socket(&settings.status_socket, asker.clone())?;
        serve::status_socket(&settings.status_socket, asker)?;
        let engine = Engine::new(settings.node.clone(), options(&settings, UnknownPods::Accept));
        let now = Instant::now();
        let mut agent = Self {
            mirror: Mirror::new(engine, settings.node.clone()),
            watches: Watches::start(&settings).await?,
            place,
            others,
            writer: Writer::new(kernel),
            revocation,
            conntrack,
            questions,
            report: Report::new(&settings),
            flows,
            counted: (None, Vec::new()),
            touched: None,
            waiting_since: None,
            resync_at: now + settings.resync_interval,
            review_at: Some(now),
            settings,
        };
        agent.look_around()?;
        tracing::info!(node = &*agent.settings.node, version = env!("CARGO_PKG_VERSION"), "started");
        Ok(agent)
    }

    /// Brings the kernel to the present state.
    fn reconcile(&mut self) {
        let now = Instant::now();
        self.place_pods(now);
        if !self.mirror.is_complete() {
            return;
        }
        self.write(now);
        // Whatever the kernel said: what is due would wake us again at once.
        if let Some(revocation) = &mut self.revocation {
            revocation.tick(Instant::now());
        }
    }

    fn write(&mut self, now: Instant) {
        let was_in_sync = self.writer.is_in_sync();
        match self.writer.write(&mut self.mirror.engine, now) {
            Written::Waiting => return,
            Written::Failed(error) => return self.report.failed(&error),
            Written::Nothing => {}
            Written::Changed(transaction) => self.account(&transaction, false, now),
            Written::Repaired(transaction, times) => {
                self.account_for_drift(&transaction, times);
                self.account(&transaction, true, now);
            }
        }
        self.waiting_since = None;
        if !was_in_sync {
            self.report.in_sync();
        }
    }

    /// What others did to our tables is put right.
    fn account_for_drift(&mut self, transaction: &Transaction, times: RepairTimes) {
        let Some(noticed) = self.touched.take().filter(|_| !transaction.is_empty()) else { return };
        self.report.metrics.drift_repairs.inc();
        let RepairTimes { read_back, acknowledged } = times;
        tracing::warn!(
            operations = transaction.operations.len(),
            since_noticed = ?noticed.elapsed(),
            ?read_back,
            ?acknowledged,
            "our table is as it should be again"
        );
    }

    fn account(&mut self, transaction: &Transaction, read_back: bool, now: Instant) {
        tracing::debug!(operations = transaction.operations.len(), "written");
        match transaction.is_empty() {
            false => self.report.applied(transaction, self.waiting_since, &self.mirror.engine),
            true => self.report.unchanged(&self.mirror.engine),
        }
        if let Some(revocation) = &mut self.revocation {
            revocation.committed(read_back || may_forbid(transaction), now);
        }
    }

    /// Tells the engine where local pods are attached, as far as links and routes tell by now.
    fn place_pods(&mut self, now: Instant) {
        let engine = &mut self.mirror.engine;
        let placed = self.place.take_changes(now);
        for (pod, attachment) in placed.attachments {
            engine.set_attachment(pod, attachment);
        }
        if let Some(unknown_pods) = placed.unknown_pods {
            engine.set_options(options(&self.settings, unknown_pods));
        }
        let mut closed = placed.closed;
        if let Some(Closed { interfaces, addresses }) = self.writer.quarantined() {
            closed.interfaces.extend(interfaces.iter().cloned());
            closed.addresses.extend(addresses.iter().copied());
        }
        engine.set_closed(closed);
        if placed.other_problems {
            self.review_soon(now);
        }
    }

    fn wake_at(&self) -> Instant {
        let revocation = self.revocation.as_ref().and_then(Revocation::wake_at);
        let others = [self.writer.wake_at(), self.place.wake_at(), revocation, self.review_at];
        others.into_iter().flatten().fold(self.resync_at, Instant::min)
    }

    fn review_soon(&mut self, now: Instant) {
        self.review_at.get_or_insert(now + REVIEW_INTERVAL);
    }
}

/// What each wake brings.
impl Agent {
    fn hear_watches(&mut self, events: &mut Vec<WatchEvent>) {
        let now = Instant::now();
        self.waiting_since.get_or_insert(now);
        self.report.metrics.events.inc_by(events.len() as u64);
        for event in events.drain(..) {
            tracing::debug!(?event, "heard");
            match event {
                WatchEvent::Restarted { kind, reason } => self.report.watch_restarted(kind, reason),
                event => self.mirror.hear(event, &mut self.place.finder),
            }
        }
        self.review_soon(now);
    }

    fn hear_others(&mut self, notifications: Vec<Notification>) {
        for notification in notifications {
            match notification {
                Notification::Changed { table, by } => {
                    self.touched.get_or_insert_with(Instant::now);
                    self.report.table_touched(&table, by.as_ref());
                }
                Notification::Lost => {
                    tracing::debug!("notifications of nftables were lost: reading back");
                }
            }
            self.writer.doubt();
        }
    }

    fn hear_conntrack(&mut self, heard: Heard) {
        let Some(revocation) = &mut self.revocation else { return };
        let now = Instant::now();
        match heard {
            Heard::Entries(entries) => {
                let place = &self.place;
                revocation.judge(entries, &self.mirror.engine, |address| place.is_local(address));
            }
            Heard::Listed(Ok(())) => revocation.listed(now),
            Heard::Listed(Err(error)) | Heard::Failed(error) => {
                tracing::error!(error, "connections may live on that are forbidden now: trying again");
                revocation.failed(now);
            }
            Heard::Marked { revoked, count } => self.report.marked(revoked, count),
        }
    }

    fn hear_flows(&mut self, logged: io::Result<Logged>) {
        match logged {
            Ok(logged) => {
                self.report.metrics.lost_flows.inc_by(logged.lost);
                let place = &self.place;
                let is_local = |address| place.is_local(address);
                self.flows.take(logged, &self.mirror.engine, &self.settings.node, is_local);
            }
            Err(error) => {
                tracing::error!(%error, "the flow log cannot be read: nothing is logged until the agent is restarted");
                self.flows = Flows::off();
            }
        }
    }

    /// What to say of policies that are neither enforced nor reported.
    fn unheard_audits(&self) -> Vec<Problem> {
        match self.flows.is_on() {
            true => Vec::new(),
            false => self.mirror.engine.audited_policies().iter().map(unheard_audit).collect(),
        }
    }

    fn hear_clock(&mut self) -> Result<(), AgentError> {
        let now = Instant::now();
        if self.resync_at <= now {
            self.resync_at = now + self.settings.resync_interval;
            self.look_around()?;
        }
        if self.review_at.is_some_and(|at| at <= now) {
            self.review_at = None;
            let unheard = self.unheard_audits();
            let problems = self.mirror.problems().chain(self.place.problems()).chain(unheard);
            let appeared = self.report.review(problems);
            self.watches.report(&appeared, &self.mirror);
        }
        Ok(())
    }

    /// Looks for what no event tells: other enforcers, IPVS, bridges that hide packets from us.
    fn look_around(&mut self) -> Result<(), AgentError> {
        let tables = match self.writer.kernel().foreign_tables(&our_tables()) {
            Ok(tables) => tables,
            Err(error) => {
                tracing::warn!(%error, "cannot see who else is here");
                Vec::new()
            }
        };
        self.place.look_around(&tables)?;
        self.review_soon(Instant::now());
        Ok(())
    }

    fn answer(&mut self, question: Question) {
        let not_ready = self.not_ready();
        // That nobody waits for the answer any more is no reason to fail.
        match question {
            Question::Alive(answer) => {
                let _ = answer.send(());
            }
            Question::Metrics(answer) => {
                self.count(Instant::now());
                let (_, counters) = &self.counted;
                let engine = &self.mirror.engine;
                let _ = answer.send(self.report.text(engine, not_ready.is_empty(), counters));
            }
            Question::Status(answer) => {
                let unknown_pods = self.place.unknown_pods();
                let (engine, flow_log) = (&self.mirror.engine, self.settings.flow_log);
                let _ = answer.send(self.report.status(engine, unknown_pods, flow_log, not_ready));
            }
            Question::Flows(answer) => {
                self.count(Instant::now());
                let (engine, flow_log) = (&self.mirror.engine, self.settings.flow_log);
                let header = self.report.flows_header(engine, flow_log, &self.counted.1, self.flows.lost());
                let _ = answer.send((header, self.flows.subscribe()));
            }
        }
    }

    /// Asks what our rules have counted; nothing when the kernel does not say. It lists whole tables, so that it is not
    /// asked again within a second, however often somebody asks us.
    fn count(&mut self, now: Instant) {
        if self.counted.0.is_some_and(|at| now < at + COUNT_INTERVAL) {
            return;
        }
        let kernel = self.writer.kernel();
        let counters =
            our_tables().iter().flat_map(|table| kernel.counters(table).unwrap_or_default()).collect();
        self.counted = (Some(now), counters);
    }

    fn not_ready(&self) -> Vec<String> {
        let missing = self.mirror.missing().map(|kind| format!("{} have not been listed yet", kind.plural()));
        let mut reasons: Vec<String> = missing.collect();
        reasons.extend(self.place.not_enforceable());
        if self.mirror.is_complete() && !self.writer.is_in_sync() {
            reasons.push("the kernel does not hold yet what it should".to_owned());
        }
        reasons
    }
}

fn options(settings: &Settings, unknown_pods: UnknownPods) -> NodeOptions {
    NodeOptions {
        anti_spoofing: settings.anti_spoofing,
        revoked_mark: settings.revoked_mark,
        counters: settings.counters,
        flow_log: settings.flow_log,
        unknown_pods,
    }
}

/// Without the log the agent enforces all the same: what cannot be had is left out, and said.
fn open_flows(settings: &mut Settings, kernel: &mut Kernel) -> Flows {
    let Some(log) = settings.flow_log else { return Flows::off() };
    Flows::open(log, kernel).unwrap_or_else(|reason| {
        tracing::error!(
            reason,
            "no flow log: what is denied is not reported, and policies in audit mode neither"
        );
        settings.flow_log = None;
        Flows::off()
    })
}

fn unheard_audit(policy: &ObjectKey) -> Problem {
    Problem {
        file: None,
        line: None,
        object: Some(format!("NetworkPolicy {policy}")),
        field: Some("metadata.annotations[podwall.io/mode]".to_owned()),
        message: "it is in audit mode, and this agent has no flow log: it is neither enforced nor reported; start the \
                  agent with --flow-log denied"
            .to_owned(),
        consequence: Consequence::Ignored,
    }
}
