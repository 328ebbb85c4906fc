//! Network namespaces as open files: no names, no mounts, nothing that outlives the process.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{Gid, Uid};

use crate::error::LabError;

/// A network namespace. It lives as long as this file, a socket made in it, or an interface of it moved elsewhere.
#[derive(Debug)]
pub struct NetworkNamespace {
    file: File,
}

impl NetworkNamespace {
    /// The namespace that this thread is in.
    pub fn current() -> Result<Self, LabError> {
        let path = "/proc/thread-self/ns/net";
        let file =
            File::open(path).map_err(|error| LabError::machine(format!("cannot open {path}"), error))?;
        Ok(Self { file })
    }

    /// A new namespace; this thread stays where it is.
    pub fn create() -> Result<Self, LabError> {
        let home = Self::current()?;
        let way_back = WayBack { home: &home };
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|error| LabError::machine("cannot make a network namespace", error))?;
        let created = Self::current();
        drop(way_back);
        created
    }

    /// Runs `work` inside the namespace, on this thread. Sockets made by `work` stay in the namespace wherever
    /// they are used later.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> Result<T, LabError> {
        let home = Self::current()?;
        let _way_back = WayBack { home: &home };
        setns(&self.file, CloneFlags::CLONE_NEWNET)
            .map_err(|error| LabError::machine("cannot enter a network namespace", error))?;
        Ok(work())
    }

    /// The same namespace by a file of its own, for another thread.
    pub fn duplicate(&self) -> Result<Self, LabError> {
        let file = self.file.try_clone();
        Ok(Self { file: file.map_err(|error| LabError::machine("cannot keep a network namespace", error))? })
    }

    /// The number of the open file, for `/proc/PID/fd/NUMBER`.
    pub fn number(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl AsFd for NetworkNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Brings the thread back when it goes out of scope, panics included. A thread that is lost in a pod's namespace
/// would do the rest of its work in the wrong network, so it may not go on.
struct WayBack<'a> {
    home: &'a NetworkNamespace,
}

impl Drop for WayBack<'_> {
    fn drop(&mut self) {
        if let Err(error) = setns(&self.home.file, CloneFlags::CLONE_NEWNET) {
            eprintln!("podwall: cannot return to the lab's own network namespace: {error}");
            std::process::abort();
        }
    }
}

/// Moves this process into a network of its own, where it may do as it likes. Needs no rights where the machine
/// allows user namespaces. Must come before any thread is started: the kernel moves only single-threaded
/// processes into a user namespace.
pub fn isolate_process() -> Result<(), LabError> {
    let (user, group) = (Uid::effective(), Gid::effective());
    if user.is_root() && unshare(CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
        .map_err(|error| LabError::Forbidden { reason: error.to_string() })?;
    // Without "deny" the kernel takes no group map from an ordinary user.
    let maps = [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {user} 1")),
        ("/proc/self/gid_map", format!("0 {group} 1")),
    ];
    for (path, text) in maps {
        fs::write(path, text).map_err(|error| LabError::Forbidden { reason: format!("{path}: {error}") })?;
    }
    Ok(())
}
