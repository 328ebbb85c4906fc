//! Copies of packets that rules log to a group (NFLOG).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::consts::*;
use crate::dump::{Broken, ask};
use crate::error::PacketLogError;
use crate::logged_packet::{self, LoggedPacket};
use crate::nftnl::Scratch;
use crate::socket::{RECEIVE_BYTES, Socket};
use crate::wire;

/// How much of a packet is copied: the headers that have addresses and ports.
const COPY_BYTES: u32 = 128;
/// The kernel hands packets over when there are so many,
const PACKETS_AT_ONCE: u32 = 64;
/// or after so many hundredths of a second.
const DELAY_CENTISECONDS: u32 = 10;
/// What one handing over may take.
const MESSAGE_BYTES: u32 = 32 << 10;

/// Hears of the packets that rules of this network namespace log to one group. Readable when there is something to
/// hear. The group is ours until this is dropped.
pub struct PacketLog {
    socket: Socket,
    buffer: Scratch,
    /// The number that the next packet will have.
    expected: Option<u32>,
}

/// What was heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logged {
    /// The packets in order.
    pub packets: Vec<LoggedPacket>,
    /// How many more there were that the kernel had no room to keep for us, or that could not be read.
    pub lost: u64,
}

impl PacketLog {
    /// Takes the group, in the network namespace of this thread.
    pub fn open(group: u16) -> Result<PacketLog, PacketLogError> {
        let socket = Socket::open().map_err(PacketLogError::Socket)?;
        let mut log = PacketLog { socket, buffer: Scratch::with_bytes(RECEIVE_BYTES), expected: None };
        log.configure(group, 1, CONFIG_COMMAND, &[COMMAND_BIND])?;
        // Six bytes, whatever the compiler thinks of alignment.
        let mode = [&COPY_BYTES.to_be_bytes()[..], &[COPY_PACKET, 0]].concat();
        log.configure(group, 2, CONFIG_MODE, &mode)?;
        log.configure(group, 3, CONFIG_BUFFER, &MESSAGE_BYTES.to_be_bytes())?;
        log.configure(group, 4, CONFIG_DELAY, &DELAY_CENTISECONDS.to_be_bytes())?;
        log.configure(group, 5, CONFIG_AT_ONCE, &PACKETS_AT_ONCE.to_be_bytes())?;
        log.configure(group, 6, CONFIG_FLAGS, &NUMBERED.to_be_bytes())?;
        Ok(log)
    }

    fn configure(
        &mut self,
        group: u16,
        sequence: u32,
        attribute: u16,
        value: &[u8],
    ) -> Result<(), PacketLogError> {
        let mut request = Vec::new();
        let kind = SUBSYSTEM_LOG << 8 | LOG_CONFIG;
        let start = wire::begin(&mut request, kind, REQUEST | ACKNOWLEDGE, sequence, 0);
        // The group is where batches have their number.
        request[start + 18..start + 20].copy_from_slice(&group.to_be_bytes());
        wire::put(&mut request, attribute, value);
        wire::finish(&mut request, start);
        // Packets may come at once, and have no number of ours.
        match ask(&self.socket, &mut self.buffer, &request, true, &mut |_| {}) {
            Ok(()) => Ok(()),
            Err(Broken::Disturbed) => Err(PacketLogError::Taken { group }),
            Err(Broken::Socket(error)) => Err(PacketLogError::Socket(error)),
            Err(Broken::Refused(source)) => Err(PacketLogError::Refused { group, source }),
        }
    }

    /// Everything that there is to hear, without waiting: often nothing.
    pub fn receive(&mut self) -> io::Result<Logged> {
        let mut logged = Logged::default();
        loop {
            match self.socket.receive_now(self.buffer.bytes_mut()) {
                Ok(Some(length)) => hear(&self.buffer.bytes()[..length], &mut self.expected, &mut logged),
                Ok(None) => return Ok(logged),
                // How many did not fit is told by the number of the next that does.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Takes what one reading of the socket brought. `expected` is the number of the next packet.
pub(crate) fn hear(bytes: &[u8], expected: &mut Option<u32>, logged: &mut Logged) {
    for message in wire::messages(bytes).filter(|it| it.kind == SUBSYSTEM_LOG << 8 | LOG_PACKET) {
        let number =
            message.attribute(LOGGED_NUMBER).and_then(|it| it.try_into().ok()).map(u32::from_be_bytes);
        if let Some(number) = number {
            // A gap of more than half of all numbers is none: numbers begin anew.
            let missed = expected.map_or(0, |expected| number.wrapping_sub(expected));
            logged.lost += u64::from(if missed < u32::MAX / 2 { missed } else { 0 });
            *expected = Some(number.wrapping_add(1));
        }
        match logged_packet::parse(&message) {
            Some(packet) => logged.packets.push(packet),
            None => logged.lost += 1,
        }
    }
}

impl AsFd for PacketLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl std::fmt::Debug for PacketLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PacketLog").finish_non_exhaustive()
    }
}
