//! Who else changes our tables.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use podwall_ruleset::TableId;

use crate::consts::{ANY_TABLE, GENERATION_PROCESS, GENERATION_PROCESS_NAME, NEW_GENERATION, SUBSYSTEM};
use crate::error::OpenError;
use crate::kernel::Kernel;
use crate::nftnl::Scratch;
use crate::socket::{RECEIVE_BYTES, Socket};
use crate::value;
use crate::wire::{Message, messages};

/// Hears of what others change in some tables, in the network namespace of the thread that opened it. Readable when
/// there is something to hear. Of changes of other tables only their names are looked at, and what the own [`Kernel`]
/// commits never gets here.
pub struct Monitor {
    socket: Socket,
    buffer: Scratch,
    ear: Ear,
}

/// What makes notifications of the kernel's messages.
pub(crate) struct Ear {
    tables: Vec<TableId>,
    /// What the commit that is being told has changed so far. Its last message says who made it.
    changed: BTreeSet<TableId>,
}

/// What the monitor has heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// Somebody else changed, made or removed a table, or something in it.
    Changed {
        /// The table.
        table: TableId,
        /// Who did, if the kernel said so.
        by: Option<Process>,
    },
    /// The kernel had more to tell than there was room for: anything may have changed.
    Lost,
}

/// A process that changed nftables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number in the initial process namespace.
    pub pid: u32,
    /// Its name, as far as the kernel keeps it (15 bytes): `nft`, `kube-proxy`.
    pub name: String,
}

impl Monitor {
    /// Begins to listen for what others than `own` change in `tables`. Read back the tables after that: what was
    /// changed before is not told.
    pub fn open(own: &Kernel, tables: &[TableId]) -> Result<Monitor, OpenError> {
        Ok(Monitor {
            socket: Socket::listen(own.port()).map_err(OpenError::Socket)?,
            buffer: Scratch::with_bytes(RECEIVE_BYTES),
            ear: Ear::new(tables),
        })
    }

    /// Everything that there is to hear, without waiting: often nothing. Takes all that is there, as who is woken by
    /// edges must. After an error the monitor is of no more use: open another.
    pub fn receive(&mut self) -> io::Result<Vec<Notification>> {
        let mut heard = Vec::new();
        loop {
            match self.socket.receive_now(self.buffer.bytes_mut()) {
                Ok(Some(length)) => self.ear.hear(&self.buffer.bytes()[..length], &mut heard),
                Ok(None) => return Ok(heard),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    self.ear.end_of_commit(None, &mut heard);
                    push(Notification::Lost, &mut heard);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Ear {
    pub(crate) fn new(tables: &[TableId]) -> Self {
        Self { tables: tables.to_vec(), changed: BTreeSet::new() }
    }

    /// Takes what one reading of the socket brought.
    pub(crate) fn hear(&mut self, bytes: &[u8], heard: &mut Vec<Notification>) {
        for message in messages(bytes) {
            if message.kind == SUBSYSTEM << 8 | NEW_GENERATION {
                self.end_of_commit(process(&message), heard);
            } else if message.kind >> 8 == SUBSYSTEM {
                self.note(&message);
            }
        }
    }

    fn note(&mut self, message: &Message<'_>) {
        let name = message.attribute(ANY_TABLE).and_then(|name| name.strip_suffix(b"\0"));
        let (Some(name), Some(family)) = (name, message.family()) else { return };
        let is_it = |id: &&TableId| id.name.as_str().as_bytes() == name && value::family(id.family) == family;
        if let Some(id) = self.tables.iter().find(is_it).filter(|id| !self.changed.contains(id)) {
            self.changed.insert(id.clone());
        }
    }

    fn end_of_commit(&mut self, by: Option<Process>, heard: &mut Vec<Notification>) {
        for table in std::mem::take(&mut self.changed) {
            push(Notification::Changed { table, by: by.clone() }, heard);
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("tables", &self.ear.tables).finish_non_exhaustive()
    }
}

/// Once is enough for who is to look.
fn push(notification: Notification, heard: &mut Vec<Notification>) {
    if !heard.contains(&notification) {
        heard.push(notification);
    }
}

fn process(message: &Message<'_>) -> Option<Process> {
    let pid = message.attribute(GENERATION_PROCESS)?.try_into().ok().map(u32::from_be_bytes)?;
    Some(Process { pid, name: message.text_attribute(GENERATION_PROCESS_NAME)? })
}
