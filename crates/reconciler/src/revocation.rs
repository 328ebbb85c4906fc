//! Connections that a change forbids are cut.
//!
//! ```text
//! commit ─► list (worker) ─► judge (loop) ─► mark, unmark (worker) ─► once more a second later
//! ```
//!
//! Deleting a connection's entry would not do: the peer's next packet makes a new one the other way round, and is
//! judged as the server's own. So the entry keeps a mark that means *revoked*, which the ruleset drops both ways. The
//! second pass is for packets that were judged before the commit and made their entry after the first.

use std::net::IpAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use podwall_compiler::{Connection, Engine};
use podwall_netlink::{Conntrack, ConntrackFilter, Entry, MarkFilter};
use tokio::sync::mpsc::UnboundedSender;

/// When packets that were in flight at a commit have certainly made their entries.
const SECOND_PASS: Duration = Duration::from_secs(1);
/// After a pass, others wait for so many times its duration: a list of a large table costs some 100 ms of a core, and
/// under steady change there is always a reason for the next.
const PAUSE_FACTOR: u32 = 4;
const PAUSE_LEAST: Duration = Duration::from_millis(20);
const PAUSE_MOST: Duration = Duration::from_millis(400);
/// How many entries are handed over at once, so that judging them does not hold up the loop.
const CHUNK: usize = 2048;

/// What the worker says.
#[derive(Debug)]
pub enum Heard {
    /// Some entries of the list under way.
    Entries(Vec<Entry>),
    /// The list is complete, or failed.
    Listed(Result<(), String>),
    /// Marks were set or cleared: how many, and which.
    Marked {
        /// True when set.
        revoked: bool,
        /// How many entries were still there.
        count: usize,
    },
    /// Marks could not be set or cleared.
    Failed(String),
}

#[derive(Debug, PartialEq, Eq)]
enum Request {
    List(ConntrackFilter),
    Mark { entries: Vec<Entry>, value: u32, mask: u32 },
}

/// Which connections are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// Those that are revoked: something was allowed.
    Revoked,
    /// All: something was forbidden.
    All,
}

/// Decides when connections are judged, and judges them.
#[derive(Debug)]
pub struct Revocation {
    requests: mpsc::Sender<Request>,
    mark: u32,
    /// What is to be looked at next, and when.
    due: Option<(Scope, Instant)>,
    /// When to look at all once more.
    second_pass: Option<Instant>,
    /// A pass is under way since then.
    running: Option<Instant>,
    /// The pass under way is over all, and has seen connections that are not allowed.
    seen: Option<bool>,
    /// Passes end here at the earliest.
    pause_until: Option<Instant>,
    /// Connections may carry the mark.
    any_revoked: bool,
}

impl Revocation {
    /// Starts the worker, on a thread of its own: conntrack is listed in tens of milliseconds, and the loop must not
    /// wait. It ends with this.
    pub fn start(
        mut conntrack: Conntrack,
        mark: u32,
        heard: UnboundedSender<Heard>,
    ) -> std::io::Result<Self> {
        let (requests, receiver) = mpsc::channel();
        std::thread::Builder::new().name("conntrack".to_owned()).spawn(move || {
            while let Ok(request) = receiver.recv() {
                if work(&mut conntrack, request, &heard).is_none() {
                    return;
                }
            }
        })?;
        Ok(Self::new(mark, requests))
    }

    fn new(mark: u32, requests: mpsc::Sender<Request>) -> Self {
        Self {
            requests,
            mark,
            due: None,
            second_pass: None,
            running: None,
            seen: None,
            pause_until: None,
            // Marks may be left of an earlier run.
            any_revoked: true,
        }
    }

    /// The kernel has taken a change.
    pub fn committed(&mut self, may_forbid: bool, now: Instant) {
        if may_forbid {
            self.require(Scope::All, now);
            self.second_pass = Some(now + SECOND_PASS);
        } else if self.any_revoked || self.running.is_some() {
            self.require(Scope::Revoked, now);
        }
    }

    /// When [`Revocation::tick`] has something to do.
    pub fn wake_at(&self) -> Option<Instant> {
        if self.running.is_some() {
            return None;
        }
        let due = self.due.map(|(_, at)| self.pause_until.map_or(at, |pause| pause.max(at)));
        [due, self.second_pass].into_iter().flatten().min()
    }

    /// Starts what is due.
    pub fn tick(&mut self, now: Instant) {
        if self.running.is_some() {
            return;
        }
        if self.second_pass.is_some_and(|at| at <= now) {
            self.second_pass = None;
            self.require(Scope::All, now);
        }
        if self.pause_until.is_some_and(|until| now < until) {
            return;
        }
        let Some((scope, _)) = self.due.take_if(|(_, at)| *at <= now) else { return };
        let mark = match scope {
            Scope::All => None,
            Scope::Revoked => Some(MarkFilter { value: self.mark, mask: self.mark }),
        };
        self.seen = (scope == Scope::All).then_some(false);
        self.running = Some(now);
        let _ = self.requests.send(Request::List(ConntrackFilter { mark, ..ConntrackFilter::default() }));
    }

    /// Judges what the worker has listed, and has the marks set that differ. Connections that the node itself opens
    /// are never judged (S60).
    pub fn judge(&mut self, entries: Vec<Entry>, engine: &Engine, is_local: impl Fn(IpAddr) -> bool) {
        let (mut revoke, mut restore) = (Vec::new(), Vec::new());
        for entry in entries {
            let is_revoked = entry.mark & self.mark != 0;
            let source = entry.original.source;
            let allowed = is_local(source) || {
                // What answers is where the connection went after translation.
                let destination = entry.reply.source;
                engine.allows(&Connection {
                    source,
                    destination,
                    protocol: entry.original.protocol,
                    destination_port: entry.reply.source_port,
                    to_node: is_local(destination),
                })
            };
            self.any_revoked |= !allowed;
            self.seen = self.seen.map(|seen| seen || !allowed);
            match (allowed, is_revoked) {
                (false, false) => revoke.push(entry),
                (true, true) => restore.push(entry),
                _ => {}
            }
        }
        for (entries, value) in [(revoke, self.mark), (restore, 0)] {
            if !entries.is_empty() {
                let _ = self.requests.send(Request::Mark { entries, value, mask: self.mark });
            }
        }
    }

    /// A pass is over.
    pub fn listed(&mut self, now: Instant) {
        if let Some(since) = self.running.take() {
            let took = now.saturating_duration_since(since);
            let pause = (took * PAUSE_FACTOR).clamp(PAUSE_LEAST, PAUSE_MOST);
            self.pause_until = Some(now + pause);
        }
        if let Some(seen) = self.seen.take() {
            self.any_revoked = seen;
        }
    }

    /// A pass failed: it is made again.
    pub fn failed(&mut self, now: Instant) {
        self.seen = None;
        self.listed(now);
        self.require(Scope::All, now + SECOND_PASS);
    }

    fn require(&mut self, scope: Scope, at: Instant) {
        self.due = Some(match self.due {
            Some((before, earlier)) => (before.max(scope), earlier.min(at)),
            None => (scope, at),
        });
    }
}

/// `None` when nobody listens any more.
fn work(conntrack: &mut Conntrack, request: Request, heard: &UnboundedSender<Heard>) -> Option<()> {
    let answer = match request {
        Request::List(filter) => {
            let mut entries = Vec::new();
            let listed = conntrack.list(filter, |entry| {
                entries.push(entry);
                if entries.len() == CHUNK {
                    let _ = heard.send(Heard::Entries(std::mem::take(&mut entries)));
                }
            });
            heard.send(Heard::Entries(entries)).ok()?;
            Heard::Listed(listed.map_err(|error| error.to_string()))
        }
        Request::Mark { entries, value, mask } => match conntrack.set_mark(&entries, value, mask) {
            Ok(count) => Heard::Marked { revoked: value != 0, count },
            Err(error) => Heard::Failed(error.to_string()),
        },
    };
    heard.send(answer).ok()
}

#[cfg(test)]
#[path = "revocation_tests.rs"]
mod tests;
