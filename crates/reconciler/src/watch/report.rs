//! Problems of policies, as Events of Kubernetes: `kubectl describe networkpolicy` shows them.
//!
//! Nothing waits for an Event and nothing depends on one: those that are too many or cannot be sent are counted.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use podwall_policy::{Consequence, ObjectKey, Problem};
use tokio::time::{Instant, timeout};

/// The same problem of the same object is reported once in this time.
const REPEAT_AFTER: Duration = Duration::from_secs(3600);

/// So many Events are sent at once, and from then on one in each interval.
const BURST: u32 = 20;
const INTERVAL: Duration = Duration::from_secs(30);

/// How long the API server may take for one.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest note; the API takes less than 1024 bytes.
const NOTE_LIMIT: usize = 1000;

/// How many problems are remembered; with more, all are forgotten, and may be reported again.
const MEMORY_LIMIT: usize = 10_000;

/// What became of Events.
#[derive(Debug, Default)]
pub struct ReportCounts {
    /// They were sent.
    pub sent: AtomicU64,
    /// They could not be sent.
    pub failed: AtomicU64,
    /// They were too many.
    pub dropped: AtomicU64,
}

/// Reports problems of policies.
pub struct PolicyReporter {
    recorder: Recorder,
    hasher: RandomState,
    /// When each problem was reported last.
    reported: HashMap<u64, Instant>,
    allowance: Allowance,
    counts: Arc<ReportCounts>,
}

impl PolicyReporter {
    /// A reporter that speaks for the agent of this node.
    pub fn new(client: Client, node: &str) -> Self {
        let reporter = Reporter { controller: "podwall".to_owned(), instance: Some(node.to_owned()) };
        Self {
            recorder: Recorder::new(client, reporter),
            hasher: RandomState::new(),
            reported: HashMap::new(),
            allowance: Allowance { left: BURST, since: Instant::now() },
            counts: Arc::default(),
        }
    }

    /// What became of Events so far.
    pub fn counts(&self) -> Arc<ReportCounts> {
        self.counts.clone()
    }

    /// Reports a problem of a NetworkPolicy, unless that was done within the hour or there were too many. Returns at
    /// once; must be called on a tokio runtime.
    pub fn report(&mut self, key: &ObjectKey, uid: &str, problem: &Problem) {
        let now = Instant::now();
        let id = self.hasher.hash_one((key, uid, &problem.field, &problem.message));
        if self.reported.get(&id).is_some_and(|last| now - *last < REPEAT_AFTER) {
            return;
        }
        if !self.allowance.take(now) {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if self.reported.len() >= MEMORY_LIMIT {
            self.reported.clear();
        }
        self.reported.insert(id, now);
        let (event, policy) = (event(problem), reference(key, uid));
        let (recorder, counts) = (self.recorder.clone(), self.counts.clone());
        tokio::spawn(async move {
            let sent = timeout(TIMEOUT, recorder.publish(&event, &policy)).await;
            let count = if matches!(sent, Ok(Ok(()))) { &counts.sent } else { &counts.failed };
            count.fetch_add(1, Ordering::Relaxed);
        });
    }
}

fn event(problem: &Problem) -> Event {
    let reason = match problem.consequence {
        Consequence::Closed => "PartlyUnderstood",
        _ => "NotUnderstood",
    };
    let note = match &problem.field {
        Some(field) => format!("{field}: {}", problem.message),
        None => problem.message.clone(),
    };
    let end = (0..=note.len().min(NOTE_LIMIT)).rev().find(|end| note.is_char_boundary(*end)).unwrap_or(0);
    Event {
        type_: EventType::Warning,
        reason: reason.to_owned(),
        note: Some(note[..end].to_owned()),
        action: "Enforce".to_owned(),
        secondary: None,
    }
}

fn reference(key: &ObjectKey, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("networking.k8s.io/v1".to_owned()),
        kind: Some("NetworkPolicy".to_owned()),
        namespace: Some(key.namespace.to_string()),
        name: Some(key.name.to_string()),
        uid: Some(uid.to_owned()).filter(|uid| !uid.is_empty()),
        ..ObjectReference::default()
    }
}

/// How many Events may still be sent: a burst, and then one in each interval.
#[derive(Debug)]
struct Allowance {
    left: u32,
    since: Instant,
}

impl Allowance {
    fn take(&mut self, now: Instant) -> bool {
        let earned = (now - self.since).as_secs() / INTERVAL.as_secs();
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        self.since += INTERVAL * earned;
        self.left = self.left.saturating_add(earned).min(BURST);
        let some = self.left > 0;
        self.left -= u32::from(some);
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_a_burst_and_then_a_trickle() {
        let start = Instant::now();
        let mut allowance = Allowance { left: BURST, since: start };
        assert_eq!((0..100).filter(|_| allowance.take(start)).count(), 20);
        let later = start + INTERVAL * 3 + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| allowance.take(later)).count(), 3);
        let much_later = start + INTERVAL * 1000;
        assert_eq!((0..100).filter(|_| allowance.take(much_later)).count(), 20);
    }
}
