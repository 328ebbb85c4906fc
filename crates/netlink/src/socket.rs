//! A netlink socket to nftables: buffers that fit, and reading without waiting.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use libc::{c_int, c_void, socklen_t};
use mnl::mnl_sys::MNL_SOCKET_AUTOPID;

use crate::consts::GROUP_NFTABLES;

/// What one `recv` may return: the kernel makes no dump buffers above 32 KiB, and error messages are short.
pub(crate) const RECEIVE_BYTES: usize = 64 << 10;
/// For the errors of one batch. Beyond it they are lost, and the kernel says so (`ENOBUFS`).
const RECEIVE_BUFFER: usize = 8 << 20;
/// A dump is answered at once; this is for the caller not to hang on a kernel that does not.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Room for one message in the send buffer that its bytes do not fill (`netlink_sendmsg` checks `len` against
/// `sk_sndbuf - 32`).
const SEND_OVERHEAD: usize = 32;

/// A socket; bound, once it is out of this file.
pub(crate) struct Socket {
    socket: mnl::Socket,
    /// The largest message that fits, as the kernel answered last.
    fits: usize,
}

// SAFETY: behind mnl's pointer is a descriptor with its address on the heap; neither belongs to a thread, and the
// network namespace is that of the opening, wherever the socket is used.
unsafe impl Send for Socket {}

impl Socket {
    pub(crate) fn open() -> io::Result<Self> {
        let socket = Self { socket: mnl::Socket::open(mnl::Bus::Netfilter)?, fits: 0 };
        socket.bind(0)
    }

    /// A socket that hears of changes of nftables in this network namespace, but of those that the socket with the
    /// port `own` makes.
    pub(crate) fn listen(own: u32) -> io::Result<Self> {
        let socket = Self { socket: mnl::Socket::open(mnl::Bus::Netfilter)?, fits: 0 };
        // Before it could hear the first.
        socket.ignore(own)?;
        socket.bind(GROUP_NFTABLES)
    }

    fn bind(mut self, groups: u32) -> io::Result<Self> {
        self.socket.bind(groups, MNL_SOCKET_AUTOPID)?;
        // Without it an error repeats the message that it is about, up to 64 KiB of it.
        self.set(libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, &1_i32)?;
        // Text to errors is a courtesy of kernels since 4.12.
        let _ = self.set(libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, &1_i32);
        // Best effort: a smaller buffer is told by ENOBUFS.
        self.grow(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER);
        let timeout = libc::timeval { tv_sec: ANSWER_TIMEOUT.as_secs() as _, tv_usec: 0 };
        self.set(libc::SOL_SOCKET, libc::SO_RCVTIMEO, &timeout)?;
        self.fits = self.send_buffer()?.saturating_sub(SEND_OVERHEAD);
        Ok(self)
    }

    /// What the kernel knows the socket by: its answers, and what it tells others of our changes, have it.
    pub(crate) fn port(&self) -> u32 {
        self.socket.portid()
    }

    /// Makes the send buffer large enough for one message of `bytes`, as far as we are allowed to. Returns how
    /// long a message may be now.
    pub(crate) fn make_room(&mut self, bytes: usize) -> io::Result<usize> {
        if self.fits < bytes {
            // The kernel doubles the number, so that the next few larger ones fit as well.
            self.grow(libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, bytes);
            self.fits = self.send_buffer()?.saturating_sub(SEND_OVERHEAD);
        }
        Ok(self.fits)
    }

    /// Sends one buffer by one system call. nfnetlink works on it before this returns.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = self.socket.send(bytes)?;
        if sent != bytes.len() {
            return Err(io::Error::other(format!("{sent} of {} bytes were sent", bytes.len())));
        }
        Ok(())
    }

    /// Waits for an answer. `buffer` is for [`RECEIVE_BYTES`].
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive_with(buffer, 0)
    }

    /// What is there already; `None` if nothing is.
    pub(crate) fn receive_now(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.receive_with(buffer, libc::MSG_DONTWAIT) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            other => other.map(Some),
        }
    }

    fn receive_with(&self, buffer: &mut [u8], flags: c_int) -> io::Result<usize> {
        loop {
            // SAFETY: the descriptor is open as long as `self`; the buffer is valid for writes of its length.
            let received = unsafe {
                libc::recv(
                    self.socket.as_raw_fd(),
                    buffer.as_mut_ptr().cast::<c_void>(),
                    buffer.len(),
                    // With it the length is the message's even if the buffer is shorter.
                    flags | libc::MSG_TRUNC,
                )
            };
            match usize::try_from(received) {
                Ok(length) if length <= buffer.len() => return Ok(length),
                Ok(length) => {
                    return Err(io::Error::other(format!("{length} bytes in one answer, more than we take")));
                }
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Sets a buffer by force, which needs CAP_NET_ADMIN in the initial user namespace, else within the limits
    /// of `net.core`.
    fn grow(&self, by_force: c_int, within_limits: c_int, bytes: usize) {
        let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX);
        if self.set(libc::SOL_SOCKET, by_force, &bytes).is_err() {
            let _ = self.set(libc::SOL_SOCKET, within_limits, &bytes);
        }
    }

    /// Has the kernel discard messages whose port is `port` before they take room in the receive buffer. What one
    /// commit makes known comes in buffers of its own, so that the first message's port is that of all.
    fn ignore(&self, port: u32) -> io::Result<()> {
        const PORT_OFFSET: u32 = 12;
        let step = |code: u32, jump_true, jump_false, k| libc::sock_filter {
            code: code as u16,
            jt: jump_true,
            jf: jump_false,
            k,
        };
        let mut steps = [
            // Loads in network byte order what netlink keeps in the host's.
            step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, PORT_OFFSET),
            step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, port.to_be()),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
        ];
        // The kernel copies the steps during the call.
        let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
        self.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
    }

    fn set<T>(&self, level: c_int, option: c_int, value: &T) -> io::Result<()> {
        // SAFETY: the descriptor is open as long as `self`; the option reads `size_of::<T>()` bytes of a plain
        // C value that `value` points to, and the steps that a filter points to, which outlive the call.
        let result = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                level,
                option,
                std::ptr::from_ref(value).cast::<c_void>(),
                size_of::<T>() as socklen_t,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    fn send_buffer(&self) -> io::Result<usize> {
        let mut bytes: c_int = 0;
        let mut length = size_of::<c_int>() as socklen_t;
        // SAFETY: the descriptor is open as long as `self`; the kernel writes at most `length` bytes to `bytes`.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_SNDBUF,
                std::ptr::from_mut(&mut bytes).cast::<c_void>(),
                &raw mut length,
            )
        };
        if result == 0 { Ok(bytes.max(0) as usize) } else { Err(io::Error::last_os_error()) }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as `self`, which is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) }
    }
}
