//! One attempt to get through: a socket, and how to read what became of it.

use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::libc;
use podwall_policy::{Protocol, Transport};
use socket2::{Domain, Socket, Type};

use crate::sctp;

/// What became of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Somebody answered.
    Answered,
    /// The packet arrived, and nobody listens there.
    Refused,
    /// No answer came.
    Timeout,
    /// The question could not be asked.
    Error(String),
}

impl Outcome {
    /// True when the packet got through, false when not, `None` when nobody knows.
    pub fn allowed(&self) -> Option<bool> {
        match self {
            Outcome::Answered | Outcome::Refused => Some(true),
            Outcome::Timeout => Some(false),
            Outcome::Error(_) => None,
        }
    }

    /// As reports name it.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::Refused => "refused",
            Outcome::Timeout => "timeout",
            Outcome::Error(_) => "error",
        }
    }
}

/// A question under way on a socket of its own.
pub struct Attempt {
    /// The socket, for epoll.
    pub socket: Socket,
    transport: Transport,
}

/// What came of asking.
pub enum Asked {
    /// The answer is to be waited for.
    Waiting(Attempt),
    /// The kernel knew at once.
    Done(Outcome),
    /// The source port is taken; another will do.
    PortTaken,
}

impl Attempt {
    /// Asks, from the namespace that this thread is in. For SCTP, only where the kernel has it.
    pub fn ask(source: SocketAddr, destination: SocketAddr, transport: Transport) -> Asked {
        let socket = match open(source, destination, transport) {
            Ok(socket) => socket,
            Err(error) if error.kind() == ErrorKind::AddrInUse => return Asked::PortTaken,
            Err(error) => return Asked::Done(Outcome::Error(format!("cannot open a socket: {error}"))),
        };
        let asked = socket.connect(&destination.into()).and_then(|()| match transport {
            Transport::Port(Protocol::Tcp | Protocol::Sctp, _) => Ok(()),
            Transport::Port(..) => socket.send(b"podwall").map(|_| ()),
            Transport::Other => socket.send(&echo_request(destination.ip())).map(|_| ()),
        });
        match asked {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            // A rule of our own host dropped it; it is as gone as anywhere else.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            Err(error) => return Asked::Done(outcome_of(&error)),
            Ok(()) if has_connections(transport) => return Asked::Done(Outcome::Answered),
            Ok(()) => {}
        }
        Asked::Waiting(Attempt { socket, transport })
    }

    /// Reads what epoll reported; `None` when it was nothing yet.
    pub fn read(&mut self) -> Option<Outcome> {
        match self.socket.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return Some(outcome_of(&error)),
        }
        if has_connections(self.transport) {
            return Some(Outcome::Answered);
        }
        match self.socket.read(&mut [0; 256]) {
            Ok(_) => Some(Outcome::Answered),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => Some(outcome_of(&error)),
        }
    }
}

fn open(source: SocketAddr, destination: SocketAddr, transport: Transport) -> io::Result<Socket> {
    let (kind, protocol) = match (transport, destination) {
        (Transport::Port(Protocol::Tcp, _), _) => (Type::STREAM, socket2::Protocol::TCP),
        (Transport::Port(Protocol::Sctp, _), _) => (Type::STREAM, sctp::PROTOCOL.into()),
        (Transport::Port(..), _) => (Type::DGRAM, socket2::Protocol::UDP),
        (Transport::Other, SocketAddr::V4(_)) => (Type::DGRAM, socket2::Protocol::ICMPV4),
        (Transport::Other, SocketAddr::V6(_)) => (Type::DGRAM, socket2::Protocol::ICMPV6),
    };
    let socket = Socket::new(Domain::for_address(destination), kind.nonblocking(), Some(protocol))?;
    if has_connections(transport) {
        // Closing with a reset leaves nothing waiting in either kernel table.
        socket.set_linger(Some(Duration::ZERO))?;
    }
    socket.bind(&source.into())?;
    Ok(socket)
}

fn outcome_of(error: &io::Error) -> Outcome {
    match error.kind() {
        ErrorKind::ConnectionRefused => Outcome::Refused,
        // The listener resets a connection once it stands, perhaps before we look.
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Outcome::Answered,
        _ => Outcome::Error(error.to_string()),
    }
}

fn has_connections(transport: Transport) -> bool {
    matches!(transport, Transport::Port(Protocol::Tcp | Protocol::Sctp, _))
}

/// The kernel fills in the identifier, which is the source port, and the checksum.
fn echo_request(to: IpAddr) -> [u8; 16] {
    let mut message = [0; 16];
    message[0] = if to.is_ipv4() { 8 } else { 128 };
    message[7] = 1;
    message[8..15].copy_from_slice(b"podwall");
    message
}
