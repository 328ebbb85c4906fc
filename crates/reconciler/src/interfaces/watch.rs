//! Rtnetlink, watched by a thread of its own: its answers wait for the kernel's lock on links, which others hold for
//! long, and the loop must not.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc as orders;

use netlink_sys::Socket;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::mpsc;

use super::links::{Links, Look, Update};
use super::message::{Message, messages};
use super::rtnetlink::{Questions, subscribe};

/// How many reports may wait for the loop. When it is too slow for more, the kernel's buffer overruns, and all is
/// listed again.
const REPORTS_MAX: usize = 64;
/// How many looks one report is about.
const LOOKS_MAX: usize = 16;
/// How many buffers one report is about.
const BUFFERS_MAX: usize = 256;

/// Why links are not watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// No socket, or not the first list.
    #[error("cannot watch this node's interfaces: {0}")]
    Unavailable(#[from] io::Error),
    /// The thread ended.
    #[error("the watch of this node's interfaces ended: {0}")]
    Ended(String),
}

/// A watch of this host's links, and the table of them.
#[derive(Debug)]
pub struct Watch {
    reports: mpsc::Receiver<io::Result<Vec<Update>>>,
    orders: orders::Sender<Vec<Look>>,
    /// Wakes the thread; when it is closed the thread ends.
    bell: UnixStream,
    links: Links,
    relists: u64,
}

impl Watch {
    /// Watches the namespace that this thread is in. The first list is there when this returns.
    pub fn open() -> Result<Self, WatchError> {
        // Before the list, so that nothing falls between.
        let events = subscribe()?;
        let mut questions = Questions::open()?;
        let mut links = Links::default();
        links.apply(Update::All(Box::new(questions.snapshot()?)));
        let (report, reports) = mpsc::channel(REPORTS_MAX);
        let (order, orders) = orders::channel();
        let (bell, heard) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        heard.set_nonblocking(true)?;
        let watcher = Watcher { events, questions, orders, bell: heard, report };
        std::thread::Builder::new().name("interfaces".into()).spawn(move || watcher.run())?;
        Ok(Self { reports, orders: order, bell, links, relists: 0 })
    }

    /// Waits until something changed, and takes it into the table. To be cancelled without loss.
    pub async fn changed(&mut self) -> Result<(), WatchError> {
        let ended = || WatchError::Ended("its thread is gone".to_owned());
        let first = self.reports.recv().await.ok_or_else(ended)?;
        self.take_in(first)?;
        // Bounded, for the loop to have its turn.
        for _ in 0..REPORTS_MAX {
            let Ok(next) = self.reports.try_recv() else { break };
            self.take_in(next)?;
        }
        Ok(())
    }

    /// The table.
    pub fn table(&self) -> &Links {
        &self.links
    }

    /// The table, for the finder. Who changes it by other means has it otherwise than the kernel.
    pub fn links(&mut self) -> &mut Links {
        &mut self.links
    }

    /// Has far sides looked at. Each look is answered by a change.
    pub fn look(&mut self, looks: Vec<Look>) {
        if looks.is_empty() || self.orders.send(looks).is_err() {
            return;
        }
        // When the pipe is full the thread has been rung for already; when it is closed `changed` says so.
        let _ = self.bell.write(&[0]);
    }

    /// How often all had to be listed again, because events were lost: for metrics.
    pub fn relists(&self) -> u64 {
        self.relists
    }

    fn take_in(&mut self, report: io::Result<Vec<Update>>) -> Result<(), WatchError> {
        let updates = report.map_err(|error| WatchError::Ended(error.to_string()))?;
        for update in updates {
            self.relists += u64::from(matches!(update, Update::All(_)));
            self.links.apply(update);
        }
        Ok(())
    }
}

/// What the thread has.
struct Watcher {
    events: Socket,
    questions: Questions,
    orders: orders::Receiver<Vec<Look>>,
    bell: UnixStream,
    report: mpsc::Sender<io::Result<Vec<Update>>>,
}

/// The other side is gone: there is nobody to watch for.
struct Gone;

impl Watcher {
    fn run(mut self) {
        loop {
            match self.turn() {
                Ok(Ok(())) => {}
                Ok(Err(Gone)) => return,
                Err(error) => {
                    let _ = self.report.blocking_send(Err(error));
                    return;
                }
            }
        }
    }

    fn turn(&mut self) -> io::Result<Result<(), Gone>> {
        let readable = PollFlags::POLLIN;
        let mut wanted =
            [PollFd::new(self.events.as_fd(), readable), PollFd::new(self.bell.as_fd(), readable)];
        match poll(&mut wanted, PollTimeout::NONE) {
            Err(Errno::EINTR) => return Ok(Ok(())),
            other => other?,
        };
        match self.bell.read(&mut [0; 64]) {
            Ok(0) => return Ok(Err(Gone)),
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        let updates = self.events()?;
        if !self.send(updates) {
            return Ok(Err(Gone));
        }
        while let Ok(looks) = self.orders.try_recv() {
            for some in looks.chunks(LOOKS_MAX) {
                let mut updates = self.events()?;
                for look in some {
                    updates.extend(self.look(*look));
                }
                if !self.send(updates) {
                    return Ok(Err(Gone));
                }
            }
        }
        Ok(Ok(()))
    }

    /// A far side that cannot be looked at is as one that shows nothing: routes still tell.
    fn look(&mut self, look: Look) -> Vec<Update> {
        self.questions.look(look).unwrap_or_else(|error| {
            tracing::warn!(interface = look.interface, %error, "cannot look at the far side of an interface");
            vec![Update::Inside(look, None)]
        })
    }

    /// What the kernel told. When it could not tell all, everything anew.
    fn events(&mut self) -> io::Result<Vec<Update>> {
        let mut updates = Vec::new();
        let mut overrun = false;
        for _ in 0..BUFFERS_MAX {
            match self.events.recv_from_full() {
                Ok((bytes, _)) => {
                    updates.extend(messages(&bytes).into_iter().filter_map(
                        |received| match received.message {
                            Message::Update(update) => Some(update),
                            _ => None,
                        },
                    ))
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => overrun = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if overrun {
            tracing::info!("the kernel had more to tell of interfaces than it could keep: listing all");
            updates.push(Update::All(Box::new(self.questions.snapshot()?)));
        }
        Ok(updates)
    }

    /// Returns whether somebody is there to take it.
    fn send(&self, updates: Vec<Update>) -> bool {
        updates.is_empty() || self.report.blocking_send(Ok(updates)).is_ok()
    }
}
