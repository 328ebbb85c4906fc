//! Where this node's pods are attached, and what about this node stands in the way.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use podwall_compiler::{Attachment, Closed, UnknownPods};
use podwall_netlink::ForeignTable;
use podwall_policy::{Consequence, ObjectKey, Problem};

use crate::error::AgentError;
use crate::interfaces::{
    BRIDGE_SETTINGS, CniConfiguration, Finder, IP_VS, Patience, UnknownRule, Watch, WatchError, bridge_hooks,
    check_ipvs, other_enforcers,
};
use crate::settings::{Settings, UnknownPodsChoice};

/// The links of this node, and whose they are.
#[derive(Debug)]
pub struct Place {
    /// Local pods are told to it.
    pub finder: Finder,
    watch: Watch,
    rule: UnknownRule,
    choice: UnknownPodsChoice,
    unknown_pods: UnknownPods,
    cni_configuration: PathBuf,
    /// True while some local pod is on a bridge.
    bridged: bool,
    /// As it was told last.
    closed: Closed,
    /// What is wrong with this node as such.
    standing: Vec<Problem>,
    /// Why policy cannot be enforced on this node's bridges.
    unhooked: Vec<Problem>,
}

/// What changed.
#[derive(Debug)]
pub struct Placed {
    /// Pods with a new attachment, or without one.
    pub attachments: Vec<(ObjectKey, Option<Attachment>)>,
    /// What becomes of unknown pods, if that changed.
    pub unknown_pods: Option<UnknownPods>,
    /// All that is closed.
    pub closed: Closed,
    /// There may be other problems than before.
    pub other_problems: bool,
}

impl Place {
    /// Begins to watch the links of the network namespace that this thread is in.
    pub fn open(settings: &Settings) -> Result<Self, AgentError> {
        let unknown_pods = match &settings.unknown_pods {
            UnknownPodsChoice::Fixed(unknown_pods) => unknown_pods.clone(),
            UnknownPodsChoice::Drop | UnknownPodsChoice::DropWhereTold => UnknownPods::Accept,
        };
        Ok(Self {
            finder: Finder::new(Patience::default()),
            watch: Watch::open()?,
            rule: UnknownRule::new(None),
            choice: settings.unknown_pods.clone(),
            unknown_pods,
            cni_configuration: settings.cni_configuration.clone(),
            bridged: false,
            closed: Closed::default(),
            standing: Vec::new(),
            unhooked: Vec::new(),
        })
    }

    /// Waits until links, routes or addresses changed. Nothing is lost when the waiting is given up.
    pub async fn changed(&mut self) -> Result<(), WatchError> {
        self.watch.changed().await
    }

    /// What changed since this was last called, by events or by time.
    pub fn take_changes(&mut self, now: Instant) -> Placed {
        let was_due = self.wake_at().is_some_and(|at| at <= now);
        self.finder.update(self.watch.links(), now);
        let looks = self.finder.take_looks();
        self.watch.look(looks);
        let attachments = self.finder.take_changes();
        let bridged =
            |(_, it): &(ObjectKey, Option<Attachment>)| matches!(it, Some(Attachment::Bridged { .. }));
        if !self.bridged && attachments.iter().any(bridged) {
            self.bridged = true;
            self.check_bridges();
        }
        let unknown_pods = self.decide_unknown();
        let closed = self.finder.closed(self.watch.table());
        let other_problems = was_due || !attachments.is_empty() || closed != self.closed;
        self.closed.clone_from(&closed);
        Placed { attachments, unknown_pods, closed, other_problems }
    }

    /// When there is something to do though nothing happened.
    pub fn wake_at(&self) -> Option<Instant> {
        self.finder.next_at()
    }

    /// True for an address of this node itself.
    pub fn is_local(&self, address: IpAddr) -> bool {
        self.watch.table().is_local(address)
    }

    /// What becomes of pods that nobody has told us of.
    pub fn unknown_pods(&self) -> &UnknownPods {
        &self.unknown_pods
    }

    /// Looks for what no event tells.
    pub fn look_around(&mut self, tables: &[ForeignTable]) -> Result<(), AgentError> {
        check_ipvs(self.watch.table(), Path::new(IP_VS)).map_err(AgentError::Ipvs)?;
        self.rule.set_network(CniConfiguration::read(&self.cni_configuration).and_then(|it| it.network));
        let tables: Vec<_> = tables
            .iter()
            .map(|table| (table.family.clone(), table.name.clone(), table.chains.clone()))
            .collect();
        let others = other_enforcers(&tables);
        self.standing = others.iter().map(|name| also_enforces(name)).collect();
        if self.bridged {
            self.check_bridges();
        }
        Ok(())
    }

    /// What is wrong with pods' interfaces and with this node.
    pub fn problems(&self) -> impl Iterator<Item = Problem> {
        let pods = self.finder.problems(self.watch.table());
        pods.into_iter().chain(self.standing.iter().cloned()).chain(self.unhooked.iter().cloned())
    }

    /// Why policy is not enforced here though the kernel holds what it should.
    pub fn not_enforceable(&self) -> impl Iterator<Item = String> {
        self.unhooked.iter().map(|problem| problem.message.clone())
    }

    fn check_bridges(&mut self) {
        let hooks = bridge_hooks(Path::new(BRIDGE_SETTINGS));
        for corrected in hooks.corrected {
            tracing::info!("{corrected}");
        }
        self.unhooked = hooks.problems;
    }

    fn decide_unknown(&mut self) -> Option<UnknownPods> {
        if let UnknownPodsChoice::Fixed(_) = self.choice {
            return None;
        }
        let decided = self.rule.decide(self.watch.table(), &self.finder).unwrap_or(UnknownPods::Accept);
        if decided == self.unknown_pods {
            return None;
        }
        self.unknown_pods = decided.clone();
        Some(decided)
    }
}

fn also_enforces(name: &str) -> Problem {
    Problem {
        file: None,
        line: None,
        object: None,
        field: None,
        message: format!(
            "{name} enforces on this node too: what either of the two forbids is dropped; leave policies to one"
        ),
        consequence: Consequence::Ignored,
    }
}
