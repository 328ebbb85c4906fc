//! Asking the kernel for lists.

use std::io;

use crate::consts::{DUMP, DUMP_INTERRUPTED, GENERATION_ID, GET_GENERATION, NLMSG_DONE, REQUEST, SUBSYSTEM};
use crate::error::ReadError;
use crate::nftnl::{Object, Scratch, Table};
use crate::socket::{RECEIVE_BYTES, Socket};
use crate::wire::{Message, messages};

const FAMILY_ANY: u8 = 0;

/// Why a list is not to be had.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something changed meanwhile.
    Changed,
    /// Something that trying again at once does not help.
    Error(ReadError),
}

/// Asks on its own socket, so that no answer is taken for one to a transaction.
pub(crate) struct Dumper {
    socket: Socket,
    buffer: Scratch,
    request: Scratch,
    sequence: u32,
}

impl Dumper {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self {
            socket: Socket::open()?,
            buffer: Scratch::with_bytes(RECEIVE_BYTES),
            request: Scratch::default(),
            sequence: 0,
        })
    }

    /// The number of the last change of nftables in this network namespace, by whomever.
    pub(crate) fn generation(&mut self) -> Result<u32, Failure> {
        let mut generation = None;
        self.ask(GET_GENERATION, FAMILY_ANY, 0, &Table::new(), "the generation", |message| {
            let id = message.attribute(GENERATION_ID).and_then(|id| id.try_into().ok());
            generation = id.map(u32::from_be_bytes);
        })?;
        generation.ok_or_else(|| {
            Failure::Error(ReadError::Socket(io::Error::other("the kernel did not tell its generation")))
        })
    }

    /// Calls `each` with every message of the list.
    pub(crate) fn list(
        &mut self,
        kind: u16,
        family: u8,
        request: &impl Object,
        what: &'static str,
        each: impl FnMut(Message<'_>),
    ) -> Result<(), Failure> {
        self.ask(kind, family, DUMP, request, what, each)
    }

    fn ask(
        &mut self,
        kind: u16,
        family: u8,
        flags: u16,
        request: &impl Object,
        what: &'static str,
        mut each: impl FnMut(Message<'_>),
    ) -> Result<(), Failure> {
        let socket_error = |error| Failure::Error(ReadError::Socket(error));
        self.sequence = self.sequence.wrapping_add(1);
        let kind = SUBSYSTEM << 8 | kind;
        let message = self.request.build(kind, family, REQUEST | flags, self.sequence, request);
        match ask(&self.socket, &mut self.buffer, message, flags & DUMP != 0, &mut each) {
            Ok(()) => Ok(()),
            Err(Broken::Socket(error)) => Err(socket_error(error)),
            Err(Broken::Disturbed) => Err(Failure::Changed),
            Err(Broken::Refused(source)) => Err(Failure::Error(ReadError::Refused { what, source })),
        }
    }
}

/// Why an answer is not whole.
#[derive(Debug)]
pub(crate) enum Broken {
    /// It could not be read.
    Socket(io::Error),
    /// Something changed meanwhile.
    Disturbed,
    /// The kernel's error.
    Refused(io::Error),
}

/// Sends a request, and calls `each` with every message of the answer: of a list (`many`), or the one.
pub(crate) fn ask(
    socket: &Socket,
    buffer: &mut Scratch,
    request: &[u8],
    many: bool,
    each: &mut impl FnMut(Message<'_>),
) -> Result<(), Broken> {
    // What an earlier list left behind: the kernel makes no second list on a socket while one is unread.
    while socket.receive_now(buffer.bytes_mut()).map_err(Broken::Socket)?.is_some() {}
    socket.send(request).map_err(Broken::Socket)?;
    let sequence = messages(request).next().map(|message| message.sequence);
    let mut interrupted = false;
    loop {
        let length = socket.receive(buffer.bytes_mut()).map_err(Broken::Socket)?;
        for message in messages(&buffer.bytes()[..length]) {
            if Some(message.sequence) != sequence {
                continue;
            }
            interrupted |= message.flags & DUMP_INTERRUPTED != 0;
            let error = match message.answer() {
                Some(answer) => answer.errno,
                // The end of a list says how it went.
                None if message.kind == NLMSG_DONE => match message.bytes.get(16..20) {
                    Some(bytes) => {
                        i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).saturating_neg()
                    }
                    None => 0,
                },
                None => {
                    each(message);
                    if !many {
                        return Ok(());
                    }
                    continue;
                }
            };
            return match error {
                0 if interrupted => Err(Broken::Disturbed),
                0 => Ok(()),
                // What we saw a moment ago is gone.
                libc::ENOENT | libc::EINTR | libc::EAGAIN | libc::EBUSY => Err(Broken::Disturbed),
                errno => Err(Broken::Refused(io::Error::from_raw_os_error(errno))),
            };
        }
    }
}
