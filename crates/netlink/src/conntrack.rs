//! Connections that the kernel tracks: listing them, and setting bits of their marks.

use std::net::IpAddr;

use podwall_ruleset::IpFamily;

use crate::conntrack_message::{parse, put_list_request, put_mark};
use crate::dump::{Broken, ask};
use crate::error::{ConntrackError, OpenError};
use crate::nftnl::Scratch;
use crate::socket::{RECEIVE_BYTES, Socket};
use crate::wire::{Message, messages};

/// How often what is disturbed is tried.
const ATTEMPTS: u32 = 5;
/// So many answers fit in any receive buffer.
const MARKS_PER_SEND: usize = 200;

/// Connection tracking of the network namespace of the thread that opened it.
pub struct Conntrack {
    socket: Socket,
    buffer: Scratch,
    request: Vec<u8>,
    sequence: u32,
}

/// Which connections to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConntrackFilter {
    /// Those whose mark, as far as the mask goes, is the value.
    pub mark: Option<MarkFilter>,
    /// Those of one family.
    pub family: Option<IpFamily>,
}

/// Some bits of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkFilter {
    /// What the bits are.
    pub value: u32,
    /// Which bits.
    pub mask: u32,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// From who opened it to where they sent it: before any translation.
    pub original: Tuple,
    /// What answers look like when they arrive: its source is who answers, after translation of the destination.
    pub reply: Tuple,
    /// The connection mark.
    pub mark: u32,
    /// The kernel's number of the connection, while it lasts.
    pub id: u32,
    /// The zone, if it is not the usual one.
    pub zone: Option<u16>,
    /// Packets were seen in both directions.
    pub seen_reply: bool,
    /// It is kept when the table is full.
    pub assured: bool,
}

/// The ends of a connection in one direction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// The source address.
    pub source: IpAddr,
    /// The destination address.
    pub destination: IpAddr,
    /// The number of the transport protocol.
    pub protocol: u8,
    /// The source port, if the protocol has ports.
    pub source_port: Option<u16>,
    /// The destination port, if the protocol has ports.
    pub destination_port: Option<u16>,
    /// What tells echoes apart, if the protocol is ICMP or ICMPv6.
    pub icmp: Option<Icmp>,
    /// The zone, if it is of this direction only.
    pub zone: Option<u16>,
}

/// What ICMP has in the place of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Icmp {
    /// The identifier.
    pub id: u16,
    /// The type of message.
    pub message_type: u8,
    /// The code.
    pub code: u8,
}

impl Conntrack {
    /// Opens a socket of its own. Whether the kernel tracks connections, and lets us look, is seen by the first list.
    pub fn open() -> Result<Conntrack, OpenError> {
        Ok(Conntrack {
            socket: Socket::open().map_err(OpenError::Socket)?,
            buffer: Scratch::with_bytes(RECEIVE_BYTES),
            request: Vec::new(),
            sequence: 0,
        })
    }

    /// Calls `each` with every connection that the filter lets through. Connections that come and go meanwhile may be
    /// missed or not; when the listing was disturbed it is begun again, and `each` meets connections twice.
    pub fn list(
        &mut self,
        filter: ConntrackFilter,
        mut each: impl FnMut(Entry),
    ) -> Result<(), ConntrackError> {
        for _ in 0..ATTEMPTS {
            self.sequence = self.sequence.wrapping_add(1);
            self.request.clear();
            put_list_request(&mut self.request, self.sequence, filter);
            let mut found = |message: Message<'_>| parse(&message).into_iter().for_each(&mut each);
            match ask(&self.socket, &mut self.buffer, &self.request, true, &mut found) {
                Ok(()) => return Ok(()),
                Err(Broken::Disturbed) => {}
                Err(Broken::Socket(error)) if is_overrun(&error) => {}
                Err(Broken::Socket(error)) => return Err(ConntrackError::Socket(error)),
                Err(Broken::Refused(source)) => {
                    return Err(ConntrackError::Refused { what: "list connections", source });
                }
            }
        }
        Err(ConntrackError::Unstable { what: "list connections", attempts: ATTEMPTS })
    }

    /// Sets the bits of `mask` in the marks of connections to those of `value`; all other bits stay as they are in the
    /// kernel now, whatever they were when the connections were listed. Nothing else of a connection is touched.
    /// Connections that are gone are skipped. Returns how many were there.
    ///
    /// A connection is found by its original tuple: one that is new since the list, between the same ends, is taken
    /// for it. After an error some are set and some are not: do it again, which changes nothing where it is done.
    pub fn set_mark(&mut self, entries: &[Entry], value: u32, mask: u32) -> Result<usize, ConntrackError> {
        entries.chunks(MARKS_PER_SEND).map(|chunk| self.set_marks_of(chunk, value, mask)).sum()
    }

    fn set_marks_of(&mut self, entries: &[Entry], value: u32, mask: u32) -> Result<usize, ConntrackError> {
        for _ in 0..ATTEMPTS {
            match self.send_marks(entries, value, mask) {
                Err(ConntrackError::Socket(error)) if is_overrun(&error) => {}
                outcome => return outcome,
            }
        }
        Err(ConntrackError::Unstable { what: "mark connections", attempts: ATTEMPTS })
    }

    /// One sending for all; only the last asks for an answer, the others answer when they fail.
    fn send_marks(&mut self, entries: &[Entry], value: u32, mask: u32) -> Result<usize, ConntrackError> {
        self.request.clear();
        let first = self.sequence.wrapping_add(1);
        for (index, entry) in entries.iter().enumerate() {
            self.sequence = self.sequence.wrapping_add(1);
            put_mark(&mut self.request, self.sequence, entry, value & mask, mask, index + 1 == entries.len());
        }
        self.socket.send(&self.request).map_err(ConntrackError::Socket)?;
        let mut gone = 0;
        loop {
            let length = self.socket.receive(self.buffer.bytes_mut()).map_err(ConntrackError::Socket)?;
            for answer in messages(&self.buffer.bytes()[..length]).filter_map(|message| message.answer()) {
                // An answer that nobody waited for after an error.
                if answer.sequence.wrapping_sub(first) as usize >= entries.len() {
                    continue;
                }
                match answer.errno {
                    0 => {}
                    libc::ENOENT => gone += 1,
                    // Of some errors there is one for all, and no answer to the last.
                    errno => {
                        let source = std::io::Error::from_raw_os_error(errno);
                        return Err(ConntrackError::Refused { what: "mark connections", source });
                    }
                }
                if answer.sequence == self.sequence {
                    return Ok(entries.len() - gone);
                }
            }
        }
    }
}

/// The kernel had more to say than there was room for. What it could say is skipped by its sequence number.
fn is_overrun(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOBUFS)
}

impl std::fmt::Debug for Conntrack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conntrack").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn may_be_moved_to_a_thread_of_its_own() {
        fn is_send<T: Send>() {}
        is_send::<super::Conntrack>();
        is_send::<crate::Monitor>();
    }
}
