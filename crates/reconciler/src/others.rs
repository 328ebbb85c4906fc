//! Others' hands on our tables.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use podwall_netlink::{Monitor, Notification};
use tokio::io::unix::AsyncFd;

/// The kernel's notifications, for the loop.
#[derive(Debug)]
pub struct Others {
    monitor: AsyncFd<Pollable>,
}

/// The monitor, as tokio wants it.
#[derive(Debug)]
struct Pollable(Monitor);

impl AsRawFd for Pollable {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Others {
    /// Of an open monitor.
    #[expect(
        deprecated,
        reason = "its successor is unsafe; the monitor keeps its descriptor as long as it lives"
    )]
    pub fn new(monitor: Monitor) -> io::Result<Self> {
        Ok(Self { monitor: AsyncFd::new(Pollable(monitor))? })
    }

    /// Waits until somebody else has changed a table of ours. Nothing is lost when the waiting is given up.
    pub async fn touched(&mut self) -> io::Result<Vec<Notification>> {
        loop {
            let mut ready = self.monitor.readable_mut().await?;
            let notifications = ready.get_inner_mut().0.receive()?;
            // The monitor has given all there was.
            ready.clear_ready();
            if !notifications.is_empty() {
                return Ok(notifications);
            }
        }
    }
}
