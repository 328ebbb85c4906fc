//! The kernel's own floor: bytes that were made before, one send and one receive on a plain socket.

use std::hint::black_box;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket, sockopt,
};

/// More than any transaction that is measured.
const SEND_BUFFER: usize = 64 << 20;
/// More than the processor keeps near it.
const COLD_BYTES: usize = 16 << 20;

/// A socket of nfnetlink.
#[derive(Debug)]
pub struct RawSocket(OwnedFd);

impl RawSocket {
    /// Opens one in the network namespace that this thread is in.
    pub fn open() -> Self {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter);
        let socket = socket.expect("a socket");
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).expect("a bound socket");
        // In a user namespace the limit stays, and what does not fit fails below.
        let _ = setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER);
        Self(socket)
    }

    /// Commits a batch that asks for an acknowledgement of its end only.
    ///
    /// # Panics
    /// When the kernel refuses it: then nothing was measured.
    pub fn commit(&self, bytes: &[u8]) {
        let mut answer = [0; 256];
        send(self.0.as_raw_fd(), bytes, MsgFlags::empty()).expect("sent");
        let length = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty()).expect("an acknowledgement");
        assert_eq!((length, &answer[16..20]), (36, &[0; 4][..]), "an acknowledgement");
    }
}

/// Memory that drives everything else out of the processor's caches when it is touched.
#[derive(Debug)]
pub struct Cold(Vec<u8>);

impl Cold {
    /// Room for it.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(vec![1; COLD_BYTES])
    }

    /// Touches all of it.
    pub fn touch(&mut self) {
        self.0.iter_mut().step_by(64).for_each(|byte| *byte = byte.wrapping_add(1));
        black_box(&self.0);
    }
}
