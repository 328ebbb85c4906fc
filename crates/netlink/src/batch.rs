//! A transaction as one buffer, and the way back from sequence numbers to operations.

use podwall_ruleset::{Family, Transaction};

use crate::consts::{ACKNOWLEDGE, BATCH_BEGIN, BATCH_END, REQUEST, SUBSYSTEM};
use crate::describe::describe;
use crate::error::EncodeError;
use crate::message;
use crate::nftnl::{HEADER_BYTES, Object, Scratch};
use crate::value;
use crate::wire;

/// The bytes of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// From the batch's begin to its end.
    bytes: Vec<u8>,
    /// The sequence number of the begin; those of the messages follow, and the end has the last.
    first_sequence: u32,
    messages: Vec<Message>,
}

/// One message between the begin and the end of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Message {
    start: usize,
    end: usize,
    operation: usize,
}

/// Encodes a transaction as the batch that the kernel takes all or none of. Sequence numbers count up from
/// `first_sequence`, which is the batch's begin. The batch's end asks for an acknowledgement, which kernels
/// since 6.10 send.
pub fn encode(transaction: &Transaction, first_sequence: u32) -> Result<Encoded, EncodeError> {
    let mut batch = Batch::new(first_sequence);
    for (index, operation) in transaction.operations.iter().enumerate() {
        batch.operation = index;
        message::put(&mut batch, operation).map_err(|reason| EncodeError {
            index,
            operation: describe(operation),
            reason,
        })?;
    }
    Ok(batch.finish())
}

impl Encoded {
    /// The whole batch, to be sent by one system call.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The operation that a sequence number belongs to, as its index in the transaction; `None` for the batch's
    /// begin and end and for what is not in the batch.
    pub fn operation(&self, sequence: u32) -> Option<usize> {
        let index = sequence.wrapping_sub(self.first_sequence).checked_sub(1)?;
        self.messages.get(index as usize).map(|message| message.operation)
    }

    /// The sequence number of the batch's begin.
    pub(crate) fn begin_sequence(&self) -> u32 {
        self.first_sequence
    }

    /// The sequence number of the batch's end.
    pub(crate) fn end_sequence(&self) -> u32 {
        self.first_sequence.wrapping_add(1).wrapping_add(self.messages.len() as u32)
    }

    /// The operation and the bytes of every message.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.messages.iter().map(|message| (message.operation, &self.bytes[message.start..message.end]))
    }

    /// A batch of some of the messages, which keep their sequence numbers.
    pub(crate) fn batch_of<'a>(&self, messages: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_mark(&mut bytes, BATCH_BEGIN, REQUEST, self.begin_sequence());
        messages.into_iter().for_each(|message| bytes.extend_from_slice(message));
        put_mark(&mut bytes, BATCH_END, REQUEST | ACKNOWLEDGE, self.end_sequence());
        bytes
    }
}

/// The bytes of a batch on top of its messages.
pub(crate) const MARK_BYTES: usize = 2 * HEADER_BYTES;

/// Room for a few elements, the commonest transaction.
const FIRST_BYTES: usize = 1024;

/// A batch in the making.
pub(crate) struct Batch {
    encoded: Encoded,
    scratch: Scratch,
    operation: usize,
    last_set_id: u32,
}

impl Batch {
    fn new(first_sequence: u32) -> Self {
        let mut bytes = Vec::with_capacity(FIRST_BYTES);
        put_mark(&mut bytes, BATCH_BEGIN, REQUEST, first_sequence);
        Self {
            encoded: Encoded { bytes, first_sequence, messages: Vec::new() },
            scratch: Scratch::default(),
            operation: 0,
            last_set_id: 0,
        }
    }

    /// A number for a set that no other set of the batch has.
    pub(crate) fn new_set_id(&mut self) -> u32 {
        self.last_set_id += 1;
        self.last_set_id
    }

    /// Appends a message for the present operation, which is about a table of `family`, of what `attributes` appends.
    pub(crate) fn put(
        &mut self,
        family: Family,
        kind: u16,
        flags: u16,
        attributes: impl FnOnce(&mut Vec<u8>),
    ) {
        let (kind, sequence) = (SUBSYSTEM << 8 | kind, self.encoded.end_sequence());
        let bytes = &mut self.encoded.bytes;
        let start = wire::begin(bytes, kind, REQUEST | flags, sequence, value::family(family));
        attributes(bytes);
        wire::finish(bytes, start);
        let end = bytes.len();
        self.encoded.messages.push(Message { start, end, operation: self.operation });
    }

    /// Appends a message for the present operation, as libnftnl makes it of an object.
    pub(crate) fn push(&mut self, family: Family, kind: u16, flags: u16, object: &impl Object) {
        let sequence = self.encoded.end_sequence();
        let kind = SUBSYSTEM << 8 | kind;
        let message = self.scratch.build(kind, value::family(family), REQUEST | flags, sequence, object);
        let start = self.encoded.bytes.len();
        self.encoded.bytes.extend_from_slice(message);
        let end = self.encoded.bytes.len();
        self.encoded.messages.push(Message { start, end, operation: self.operation });
    }

    fn finish(mut self) -> Encoded {
        let sequence = self.encoded.end_sequence();
        put_mark(&mut self.encoded.bytes, BATCH_END, REQUEST | ACKNOWLEDGE, sequence);
        self.encoded
    }
}

/// The begin or the end of a batch.
fn put_mark(bytes: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32) {
    bytes.extend((HEADER_BYTES as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    // Port 0: the kernel. Then family and version, and the subsystem in network byte order.
    bytes.extend([0; 6]);
    bytes.extend(SUBSYSTEM.to_be_bytes());
}
