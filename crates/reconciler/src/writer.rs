//! The kernel as we want it: one transaction for each change of state, and everything again when somebody else
//! touched our tables or an answer was lost.

use std::time::{Duration, Instant};

use podwall_compiler::{Closed, Engine, bridge_table_id, table_id};
use podwall_netlink::{ApplyError, Kernel, ReadBack, ReadError};
use podwall_ruleset::{Known, Operation, TableId, Transaction, diff, replace};

use crate::blame;

/// How long to wait before what failed is tried again; doubled each time up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_LAST: Duration = Duration::from_secs(10);
/// How long pods stay closed whose part of the ruleset the kernel refused.
const QUARANTINE: Duration = Duration::from_secs(300);

/// Writes to the kernel.
#[derive(Debug)]
pub struct Writer {
    kernel: Kernel,
    /// False at the start, after an unclear answer, and when somebody touched our tables.
    in_sync: bool,
    retry: Option<Retry>,
    quarantine: Option<(Instant, Closed)>,
}

/// When to try again.
#[derive(Debug, Clone, Copy)]
struct Retry {
    at: Instant,
    pause: Duration,
}

/// What became of bringing the kernel to the present state.
#[derive(Debug)]
pub enum Written {
    /// It was there already: no system call was made.
    Nothing,
    /// The changes are in force.
    Changed(Transaction),
    /// What the kernel held was read back, and differed or not; it is as it should be now.
    Repaired(Transaction, RepairTimes),
    /// Not yet: an earlier failure is tried again at the time that [`Writer::retry_at`] says.
    Waiting,
    /// It failed, and what was in force before still is.
    Failed(WriteError),
}

/// How long the parts of a repair took.
#[derive(Debug, Clone, Copy)]
pub struct RepairTimes {
    /// Reading back what is in force, and comparing.
    pub read_back: Duration,
    /// From sending the difference to the kernel's acknowledgement.
    pub acknowledged: Duration,
}

/// Why the kernel could not be brought to the present state.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A transaction was not applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// What is in force could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl WriteError {
    /// One word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            WriteError::Read(_) => "read",
            WriteError::Apply(ApplyError::Encode(_)) => "encode",
            WriteError::Apply(ApplyError::Refused { .. }) => "refused",
            WriteError::Apply(ApplyError::RefusedWhole { .. }) => "refused_whole",
            WriteError::Apply(ApplyError::OutcomeUnknown { .. }) => "outcome_unknown",
            WriteError::Apply(ApplyError::TooLarge { .. }) => "too_large",
            WriteError::Apply(ApplyError::Send(_)) => "send",
            WriteError::Apply(ApplyError::Unfinished { .. }) => "unfinished",
        }
    }
}

impl Writer {
    /// Nothing has been written yet.
    pub fn new(kernel: Kernel) -> Self {
        Self { kernel, in_sync: false, retry: None, quarantine: None }
    }

    /// The kernel.
    pub fn kernel(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    /// True when the kernel holds what was written last, as far as anybody knows.
    pub fn is_in_sync(&self) -> bool {
        self.in_sync
    }

    /// Somebody else may have changed our tables: the next writing reads them back.
    pub fn doubt(&mut self) {
        self.in_sync = false;
        self.retry = None;
    }

    /// When a failure is tried again, or pods are let out of quarantine.
    pub fn wake_at(&self) -> Option<Instant> {
        let release = self.quarantine.as_ref().map(|(until, _)| *until);
        [self.retry.map(|retry| retry.at), release].into_iter().flatten().min()
    }

    /// The pods whose part of the ruleset the kernel refused are behind these.
    pub fn quarantined(&self) -> Option<&Closed> {
        self.quarantine.as_ref().map(|(_, closed)| closed)
    }

    /// Brings the kernel to what the engine says. Never leaves less in force than there was.
    pub fn write(&mut self, engine: &mut Engine, now: Instant) -> Written {
        if self.retry.is_some_and(|retry| now < retry.at) {
            return Written::Waiting;
        }
        if self.quarantine.as_ref().is_some_and(|(until, _)| *until <= now) {
            self.quarantine = None;
        }
        let written = match self.in_sync {
            true => self.write_changes(engine),
            false => self.write_all(engine, now),
        };
        match written {
            Ok(written) => {
                self.retry = None;
                written
            }
            Err(error) => {
                let pause = self.retry.map_or(RETRY_FIRST, |retry| (retry.pause * 2).min(RETRY_LAST));
                // The first failure of a difference is mended at once by reading back.
                let at = if self.in_sync { now } else { now + pause };
                self.retry = Some(Retry { at, pause });
                self.in_sync = false;
                Written::Failed(error)
            }
        }
    }

    fn write_changes(&mut self, engine: &mut Engine) -> Result<Written, WriteError> {
        let transaction = engine.take_changes();
        if transaction.is_empty() {
            return Ok(Written::Nothing);
        }
        self.kernel.apply(&transaction)?;
        Ok(Written::Changed(transaction))
    }

    fn write_all(&mut self, engine: &mut Engine, now: Instant) -> Result<Written, WriteError> {
        let begun = Instant::now();
        let desired = engine.ruleset();
        engine.forget_changes();
        let transaction = match self.kernel.read(&our_tables())? {
            ReadBack::Exactly(ruleset) => diff(&Known::Exactly(ruleset), &desired),
            ReadBack::Foreign { table, what } => {
                tracing::warn!(%table, what, "what is in our table is not as we make it: it is replaced");
                replace(&our_tables(), &desired)
            }
        };
        let read_back = begun.elapsed();
        if let Err(error) = self.kernel.apply(&transaction) {
            self.blame(&error, engine, &transaction, now);
            return Err(error.into());
        }
        self.in_sync = true;
        Ok(Written::Repaired(
            transaction,
            RepairTimes { read_back, acknowledged: begun.elapsed() - read_back },
        ))
    }

    /// What the kernel refuses though we know exactly what it holds, it will refuse again: whoever it is for is
    /// closed, so that the rest of the node gets what is new.
    fn blame(&mut self, error: &ApplyError, engine: &mut Engine, transaction: &Transaction, now: Instant) {
        let ApplyError::Refused { operations } = error else { return };
        let indexes: Vec<usize> = operations.iter().map(|refusal| refusal.index).collect();
        let Some(closed) = blame::behind(&engine.ruleset(), transaction, &indexes) else { return };
        tracing::error!(
            interfaces = ?closed.interfaces, addresses = ?closed.addresses,
            "the kernel refuses what these pods need: they are closed, the rest goes on"
        );
        let before = self.quarantine.take().map(|(_, closed)| closed).unwrap_or_default();
        let closed = Closed {
            interfaces: &before.interfaces | &closed.interfaces,
            addresses: &before.addresses | &closed.addresses,
        };
        self.quarantine = Some((now + QUARANTINE, closed));
    }
}

/// True when a transaction may forbid what was allowed before: anything but new elements of sets of addresses.
pub fn may_forbid(transaction: &Transaction) -> bool {
    transaction.operations.iter().any(|operation| match operation {
        Operation::AddElements { elements, .. } => {
            elements.iter().any(|(_, element)| element.verdict.is_some())
        }
        Operation::AddSet { .. } | Operation::AddTable(_) => false,
        _ => true,
    })
}

/// The tables that are ours.
pub fn our_tables() -> [TableId; 2] {
    [table_id(), bridge_table_id()]
}
