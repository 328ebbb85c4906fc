//! Others' hands on our tables.

use std::io;

use podwall_netlink::{Monitor, Notification};
use tokio::io::unix::AsyncFd;

/// The kernel's notifications, for the loop.
#[derive(Debug)]
pub struct Others {
    monitor: AsyncFd<Monitor>,
}

impl Others {
    /// Of an open monitor.
    pub fn new(monitor: Monitor) -> io::Result<Self> {
        Ok(Self { monitor: AsyncFd::new(monitor)? })
    }

    /// Waits until somebody else has changed a table of ours. Nothing is lost when the waiting is given up.
    pub async fn touched(&mut self) -> io::Result<Vec<Notification>> {
        loop {
            let mut ready = self.monitor.readable_mut().await?;
            let notifications = ready.get_inner_mut().next()?;
            if !notifications.is_empty() {
                return Ok(notifications);
            }
            ready.clear_ready();
        }
    }
}
