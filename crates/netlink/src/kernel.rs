//! The kernel of one node: applying transactions and reading back.

use std::collections::BTreeSet;
use std::time::Duration;

use podwall_ruleset::{Family, Name, Operation, Ruleset, TableId, Transaction};

use crate::batch::{Encoded, encode};
use crate::counter::{self, RuleCounter};
use crate::decode;
use crate::describe;
use crate::dump::{Dumper, Failure};
use crate::error::{ApplyError, OpenError, ReadError};
use crate::feature::{self, Feature};
use crate::foreign::{self, ForeignTable};
use crate::nftnl::Scratch;
use crate::outcome::{Answers, outcome};
use crate::read;
use crate::socket::{RECEIVE_BYTES, Socket};
use crate::split;
use crate::wire::messages;

/// A table is built from nothing in parts of at most so many bytes: the kernel takes one transaction at a time, and who
/// else has one would wait for all of a large node's. Smaller parts take longer in all.
const PART_BYTES: usize = 64 * 1024;
/// How often a reading that others disturb is tried.
const READ_ATTEMPTS: u32 = 10;
/// How long to wait before the second; before each further one, longer by the same.
const READ_PAUSE: Duration = Duration::from_millis(5);

/// One node's nftables, over long-lived sockets of the network namespace of the thread that opened it.
pub struct Kernel {
    /// For transactions only: closing a socket after removals waits for packets in flight to leave the old
    /// ruleset, so it stays open.
    socket: Socket,
    dumper: Dumper,
    buffer: Scratch,
    next_sequence: u32,
    /// The kernel acknowledges the end of a batch, as it does since 6.10.
    acknowledges: bool,
    /// Nothing is left to read of earlier batches.
    drained: bool,
}

/// What the kernel holds in some tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadBack {
    /// Exactly this. A table that does not exist is absent.
    Exactly(Ruleset),
    /// Something that is not of our making.
    Foreign {
        /// The table it is in.
        table: TableId,
        /// What it is, and where.
        what: String,
    },
}

impl Kernel {
    /// Opens the sockets, and checks that the kernel would take transactions by sending it an empty one.
    pub fn open() -> Result<Kernel, OpenError> {
        let mut kernel = Kernel {
            socket: Socket::open().map_err(OpenError::Socket)?,
            dumper: Dumper::open().map_err(OpenError::Socket)?,
            buffer: Scratch::with_bytes(RECEIVE_BYTES),
            next_sequence: 1,
            acknowledges: false,
            drained: true,
        };
        let probe = encode(&Transaction::default(), kernel.take_sequences(2)).expect("nothing to encode");
        kernel.socket.send(probe.bytes()).map_err(OpenError::Socket)?;
        let answers = kernel.answers(None);
        if let Some(error) = answers.lost {
            return Err(OpenError::Socket(error));
        }
        for answer in answers.answers {
            if answer.errno != 0 {
                return Err(OpenError::Refused(std::io::Error::from_raw_os_error(answer.errno)));
            }
            kernel.acknowledges |= answer.sequence == probe.end_sequence();
        }
        Ok(kernel)
    }

    /// Applies a transaction, all or nothing, by one system call; an empty one without any.
    ///
    /// A large transaction that does nothing but build tables that do not exist is applied in parts: packets meet what it
    /// makes only after the last of them, and if one fails the tables are removed.
    pub fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        if transaction.is_empty() {
            return Ok(());
        }
        let mut encoded = encode(transaction, self.next_sequence)?;
        let first = self.take_sequences(encoded.end_sequence().wrapping_sub(encoded.begin_sequence()) + 1);
        if first != encoded.begin_sequence() {
            encoded = encode(transaction, first)?;
        }
        let bytes = encoded.bytes().len();
        let limit = self.socket.make_room(bytes).map_err(ApplyError::Send)?;
        let part = limit.min(PART_BYTES);
        if bytes > part
            && let Some((tables, batches)) = self.parts(&encoded, &transaction.operations, part)
        {
            return self.build_up(&encoded, &transaction.operations, &tables, &batches);
        }
        if bytes > limit {
            return Err(ApplyError::TooLarge { bytes, limit });
        }
        match self.send(encoded.bytes(), &encoded, &transaction.operations) {
            Err(ApplyError::Send(error)) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                Err(ApplyError::TooLarge { bytes, limit })
            }
            outcome => outcome,
        }
    }

    /// Which of these the kernel does not have. Each is asked for by a transaction that changes nothing.
    pub fn lacks(&mut self, features: &[Feature]) -> Result<Vec<Feature>, ApplyError> {
        // All at once first: each question waits for packets in flight, and a start must not wait so often.
        let all = Transaction { operations: features.iter().flat_map(|it| it.probe().operations).collect() };
        if self.try_out(&all).is_ok() {
            return Ok(Vec::new());
        }
        let mut lacking = Vec::new();
        for feature in features {
            match self.try_out(&feature.probe()) {
                Ok(()) => {}
                Err(error) if feature::is_lack(&error) => lacking.push(*feature),
                Err(error) => return Err(error),
            }
        }
        Ok(lacking)
    }

    /// Whether the kernel would take a transaction. It is not applied: an operation behind it, which can only be refused,
    /// makes the kernel undo the rest, so that there is no new generation and nobody is told of anything.
    pub fn try_out(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        let nothing = Name::new("podwall-that-is-not-there").expect("a name");
        let mut tried = transaction.clone();
        tried.operations.push(Operation::DeleteTable(TableId { family: Family::Inet, name: nothing }));
        match self.apply(&tried) {
            Err(ApplyError::Refused { mut operations }) => {
                operations.retain(|refusal| refusal.index < transaction.operations.len());
                if operations.is_empty() { Ok(()) } else { Err(ApplyError::Refused { operations }) }
            }
            other => other,
        }
    }

    /// Reads back tables: what the kernel holds in them, or why it is not something that we made.
    pub fn read(&mut self, tables: &[TableId]) -> Result<ReadBack, ReadError> {
        self.undisturbed(|kernel| kernel.read_once(tables))
    }

    /// What all counted rules of a table have counted; nothing if there is no such table. Who changes the table
    /// meanwhile may see the counts of two states.
    pub fn counters(&mut self, table: &TableId) -> Result<Vec<RuleCounter>, ReadError> {
        self.undisturbed(|kernel| counter::counters(&mut kernel.dumper, table))
    }

    /// All tables of the network namespace but ours, with the names of their chains: who else is at work here.
    pub fn foreign_tables(&mut self, ours: &[TableId]) -> Result<Vec<ForeignTable>, ReadError> {
        self.undisturbed(|kernel| foreign::tables(&mut kernel.dumper, ours))
    }

    /// The port of the socket that sends transactions.
    pub(crate) fn port(&self) -> u32 {
        self.socket.port()
    }

    fn undisturbed<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, ReadError> {
        for attempt in 1..=READ_ATTEMPTS {
            match read(self) {
                Ok(found) => return Ok(found),
                Err(Failure::Error(error)) => return Err(error),
                Err(Failure::Changed) => std::thread::sleep(READ_PAUSE * attempt),
            }
        }
        Err(ReadError::Unstable { attempts: READ_ATTEMPTS })
    }

    /// One reading is many lists; they are of one state if the generation is the same before and after.
    fn read_once(&mut self, tables: &[TableId]) -> Result<ReadBack, Failure> {
        let generation = self.dumper.generation()?;
        let present = read::tables(&mut self.dumper)?;
        let mut read_back = Ok(Ruleset::default());
        for id in tables {
            let Some(flags) = present.flags(id) else { continue };
            let raw = read::table(&mut self.dumper, id, flags)?;
            match (decode::table(id.family, raw), &mut read_back) {
                (Ok(table), Ok(ruleset)) => {
                    ruleset.tables.insert(id.clone(), table);
                }
                (Ok(_), Err(_)) => {}
                (Err(what), _) => {
                    read_back = Err((id.clone(), what));
                    break;
                }
            }
        }
        if self.dumper.generation()? != generation {
            return Err(Failure::Changed);
        }
        Ok(match read_back {
            Ok(ruleset) => ReadBack::Exactly(ruleset),
            Err((table, what)) => ReadBack::Foreign { table, what },
        })
    }

    /// The batches that build tables from nothing, so that no packet meets an unfinished one, and the tables; `None`
    /// if that is not what the transaction does.
    fn parts<'a>(
        &mut self,
        encoded: &Encoded,
        operations: &'a [Operation],
        limit: usize,
    ) -> Option<(BTreeSet<&'a TableId>, Vec<Vec<u8>>)> {
        let tables = split::tables_built(operations)?;
        let present = read::tables(&mut self.dumper).ok()?;
        let is_new = tables.iter().all(|table| present.flags(table).is_none());
        let batches = is_new.then(|| split::batches(encoded, operations, limit)).flatten()?;
        Some((tables, batches))
    }

    fn build_up(
        &mut self,
        encoded: &Encoded,
        operations: &[Operation],
        tables: &BTreeSet<&TableId>,
        batches: &[Vec<u8>],
    ) -> Result<(), ApplyError> {
        for batch in batches {
            let Err(error) = self.send(batch, encoded, operations) else { continue };
            return match self.remove(tables.iter().copied()) {
                Ok(()) => Err(error),
                Err(cleanup) => {
                    Err(ApplyError::Unfinished { error: Box::new(error), cleanup: Box::new(cleanup) })
                }
            };
        }
        Ok(())
    }

    /// Removes tables, there or not.
    fn remove<'a>(&mut self, tables: impl Iterator<Item = &'a TableId>) -> Result<(), ApplyError> {
        let operations: Vec<Operation> = tables
            .flat_map(|table| [Operation::AddTable(table.clone()), Operation::DeleteTable(table.clone())])
            .collect();
        let first = self.take_sequences(operations.len() as u32 + 2);
        let encoded = encode(&Transaction { operations: operations.clone() }, first)?;
        self.send(encoded.bytes(), &encoded, &operations)
    }

    /// Sends a batch of messages of `encoded`, and decides what became of it.
    fn send(&mut self, batch: &[u8], encoded: &Encoded, operations: &[Operation]) -> Result<(), ApplyError> {
        if !self.drained {
            // An error of an earlier batch that nobody read must not make this sending fail.
            let _ = self.answers(None);
        }
        self.drained = false;
        self.socket.send(batch).map_err(ApplyError::Send)?;
        let answers = self.answers(Some(encoded.end_sequence()));
        outcome(encoded, operations, answers, self.acknowledges)
    }

    /// All answers that are there. The kernel has worked on a batch, and answered, when the sending returns. Behind
    /// the answer to `last` there is none.
    fn answers(&mut self, last: Option<u32>) -> Answers {
        let mut all = Answers::default();
        // Reading on after an error finds what the kernel kept; it cannot go on for ever.
        let mut errors = 0;
        while errors < 2 {
            match self.socket.receive_now(self.buffer.bytes_mut()) {
                Ok(Some(length)) => {
                    let bytes = &self.buffer.bytes()[..length];
                    all.answers.extend(messages(bytes).filter_map(|message| message.answer()));
                    if last.is_some() && all.answers.last().map(|answer| answer.sequence) == last {
                        self.drained = true;
                        break;
                    }
                }
                Ok(None) => {
                    self.drained = true;
                    break;
                }
                Err(error) => {
                    all.lost = Some(error);
                    errors += 1;
                }
            }
        }
        all
    }

    /// The first of `count` sequence numbers in a row.
    fn take_sequences(&mut self, count: u32) -> u32 {
        let first = if self.next_sequence.checked_add(count).is_some() { self.next_sequence } else { 1 };
        self.next_sequence = first + count;
        first
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("acknowledges", &self.acknowledges).finish_non_exhaustive()
    }
}

impl std::fmt::Display for ReadBack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReadBack::Exactly(ruleset) => write!(f, "{} tables of ours", ruleset.tables.len()),
            ReadBack::Foreign { table, what } => {
                write!(f, "table {} is not as we make it: {what}", describe::id(table))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn may_be_moved_to_a_thread_of_its_own() {
        fn is_send<T: Send>() {}
        is_send::<super::Kernel>();
    }
}
