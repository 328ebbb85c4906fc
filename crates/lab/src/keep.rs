//! Labs that stay: the run happens in a child, which afterwards lives on in the background with all namespaces.
//!
//! ```text
//! podwall lab run --keep ──► child: runs, prints, writes its state file, hands over the exit code ──► stays
//!            └── waits for the code ◄────────────────────────────────────────────────────┘
//! podwall lab shell ──► state file ──► /proc/PID/fd/NUMBER ──► inside a pod
//! podwall lab down  ──► state file ──► kills the process, and with it everything
//! ```

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, dup2_stderr, dup2_stdin, dup2_stdout, getppid, setsid};
use serde::{Deserialize, Serialize};

use crate::error::LabError;
use crate::run::{Ending, Lab};

/// The flag that tells the child what it is.
pub const KEPT_FLAG: &str = "--kept";

/// What a kept lab writes down about itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    pid: i32,
    /// When the process started, in the kernel's ticks: a process number alone may be somebody else's by now.
    start_time: u64,
    /// The open file of each host's namespace.
    hosts: BTreeMap<String, i32>,
}

/// Runs this program again with the same arguments in a child that may stay, and returns its exit code.
pub fn run_in_child() -> Result<u8, LabError> {
    let failed = |error: io::Error| LabError::machine("cannot start a lab to keep", error);
    let (mut ours, theirs) = UnixStream::pair().map_err(failed)?;
    let program = std::env::current_exe().map_err(failed)?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .arg(KEPT_FLAG)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .map_err(failed)?;
    let mut code = [0];
    match ours.read_exact(&mut code) {
        Ok(()) => {
            let id = child.id();
            eprintln!(
                "The lab stays up as lab {id}.\n  \
                 podwall lab shell NAMESPACE/POD   enters a pod; also node/NAME, outside/NAME\n  \
                 podwall lab down                  removes it"
            );
            Ok(code[0])
        }
        // It ended without handing over: there is nothing to keep.
        Err(_) => {
            let status = child.wait().map_err(failed)?;
            Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(Ending::Failed as u8))
        }
    }
}

/// The child's side: knows where to write before it moves into a user namespace, where it has another name.
pub struct Kept {
    directory: PathBuf,
}

impl Kept {
    /// To be called first of all. Until the handover the child dies with its parent.
    pub fn begin() -> Result<Self, LabError> {
        // Out of the terminal's process group: an interrupt is for the parent, whose death then is ours.
        let failed = |error| LabError::machine("cannot detach from the terminal", error);
        setsid().map_err(failed)?;
        set_pdeathsig(Signal::SIGKILL).map_err(failed)?;
        if getppid() == Pid::from_raw(1) {
            return Err(LabError::machine("cannot keep the lab", "the process that asked for it is gone"));
        }
        Ok(Self { directory: state_directory()? })
    }

    /// Writes the state file, gives the exit code to the parent, and stays. Returns only when that fails.
    pub fn stay(self, lab: &Lab, ending: Ending) -> Result<(), LabError> {
        let failed = |error: io::Error| LabError::machine("cannot keep the lab", error);
        let topology = lab.topology();
        let hosts = topology.hosts().into_iter().filter_map(|host| {
            let number = topology.namespace(&host)?.number();
            Some((host.to_string(), number))
        });
        let pid = std::process::id() as i32;
        let state = State { pid, start_time: start_time(pid).map_err(failed)?, hosts: hosts.collect() };
        write_state(&self.directory, &state).map_err(failed)?;
        set_pdeathsig(None).map_err(|error| failed(error.into()))?;
        let mut parent = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
        parent.write_all(&[ending as u8]).map_err(failed)?;
        drop(parent);
        let nowhere = OpenOptions::new().read(true).write(true).open("/dev/null").map_err(failed)?;
        let detached = dup2_stdin(&nowhere).and(dup2_stdout(&nowhere)).and(dup2_stderr(&nowhere));
        detached.map_err(|error| failed(error.into()))?;
        loop {
            std::thread::park();
        }
    }
}

/// Runs a command, or the user's shell, on a host of a kept lab. Returns only when that fails. `host` is
/// `NAMESPACE/POD`, `node/NAME` or `outside/NAME`; of several labs, the one that was kept last, unless `lab` says.
pub fn shell(host: &str, lab: Option<i32>, command: &[String]) -> Result<(), LabError> {
    let failed = |error: &dyn std::fmt::Display| LabError::machine(format!("cannot enter {host}"), error);
    let labs = kept_labs()?;
    let found = match lab {
        Some(id) => labs.into_iter().find(|(_, state)| state.pid == id),
        None => labs.into_iter().max_by_key(|(_, state)| state.start_time),
    };
    let (_, state) =
        found.ok_or_else(|| failed(&"there is no such lab; `podwall lab run --keep` leaves one"))?;
    let pod_name = format!("pod/{host}");
    let Some(number) = state.hosts.get(host).or_else(|| state.hosts.get(&pod_name)) else {
        let known: Vec<&str> =
            state.hosts.keys().map(|name| name.strip_prefix("pod/").unwrap_or(name)).collect();
        return Err(failed(&format!("lab {} has only: {}", state.pid, known.join(", "))));
    };
    // All files first: once inside the user namespace we are somebody else.
    let open = |path: String| File::open(&path).map_err(|error| failed(&format!("{path}: {error}")));
    let user = open(format!("/proc/{}/ns/user", state.pid))?;
    let own_user = open("/proc/self/ns/user".to_owned())?;
    let network = open(format!("/proc/{}/fd/{number}", state.pid))?;
    let number_of = |file: &File| file.metadata().map(|it| it.ino()).map_err(|error| failed(&error));
    if number_of(&user)? != number_of(&own_user)? {
        setns(&user, CloneFlags::CLONE_NEWUSER).map_err(|error| failed(&error))?;
    }
    setns(&network, CloneFlags::CLONE_NEWNET).map_err(|error| failed(&error))?;
    let shell = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned());
    let (program, arguments) =
        command.split_first().map_or((shell, &[][..]), |(first, rest)| (first.clone(), rest));
    let error = Command::new(&program).args(arguments).env("PODWALL_LAB_HOST", host).exec();
    Err(failed(&format!("{program}: {error}")))
}

/// Removes kept labs, all or one, and returns how many there were.
pub fn down(lab: Option<i32>) -> Result<usize, LabError> {
    let mut removed = 0;
    for (path, state) in kept_labs()?.into_iter().filter(|(_, state)| lab.is_none_or(|id| id == state.pid)) {
        match kill(Pid::from_raw(state.pid), Signal::SIGKILL) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
            Err(error) => return Err(LabError::machine(format!("cannot end lab {}", state.pid), error)),
        }
        fs::remove_file(&path).map_err(|error| LabError::machine(path.display().to_string(), error))?;
        removed += 1;
    }
    Ok(removed)
}

/// The labs that live; forgets those that do not.
fn kept_labs() -> Result<Vec<(PathBuf, State)>, LabError> {
    let directory = state_directory()?;
    let entries = fs::read_dir(&directory)
        .map_err(|error| LabError::machine(directory.display().to_string(), error))?;
    let mut labs = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let state = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<State>(&bytes).ok());
        match state {
            Some(state) if start_time(state.pid).is_ok_and(|time| time == state.start_time) => {
                labs.push((path, state))
            }
            _ => {
                let _ = fs::remove_file(&path);
            }
        }
    }
    Ok(labs)
}

/// A folder that only we can write to.
fn state_directory() -> Result<PathBuf, LabError> {
    let user = Uid::effective();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let is_ours =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|it| it.is_dir() && it.uid() == user.as_raw());
    let directory = match runtime.filter(is_ours) {
        Some(runtime) => runtime.join("podwall-lab"),
        None => PathBuf::from(format!("/tmp/podwall-lab-{user}")),
    };
    let failed = |reason: &dyn std::fmt::Display| LabError::machine(directory.display().to_string(), reason);
    match DirBuilder::new().mode(0o700).create(&directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(&error)),
    }
    // Anybody may have made it before us in /tmp.
    let found = fs::symlink_metadata(&directory).map_err(|error| failed(&error))?;
    if !found.is_dir() || found.uid() != user.as_raw() || found.mode() & 0o077 != 0 {
        return Err(failed(&"not a folder of ours alone; remove it"));
    }
    Ok(directory)
}

fn write_state(directory: &Path, state: &State) -> io::Result<()> {
    let unfinished = directory.join(format!(".{}", state.pid));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(&serde_json::to_vec(state)?)?;
    fs::rename(&unfinished, directory.join(format!("{}.json", state.pid)))
}

/// When a process started, from `/proc/PID/stat`.
fn start_time(pid: i32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_start_time(&text).ok_or_else(|| io::Error::other("unexpected text in /proc/PID/stat"))
}

/// The second field is the program's name in parentheses, and may contain both blanks and parentheses.
fn parse_start_time(text: &str) -> Option<u64> {
    let (_, fields) = text.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_field_22_whatever_the_programs_name() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        assert_eq!(parse_start_time(text), Some(4242));
        assert_eq!(parse_start_time("7 (a"), None);
    }

    #[test]
    fn our_own_start_time_can_be_read() {
        assert!(start_time(std::process::id() as i32).is_ok());
    }
}
