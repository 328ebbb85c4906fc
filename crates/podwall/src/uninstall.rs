//! `podwall uninstall`: takes everything of ours off this node.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use clap::Args;
use nix::sys::signal::{SigSet, Signal};
use podwall_netlink::{Kernel, ReadBack, ReadError};
use podwall_ruleset::{Family, Name, Operation, TableId, Transaction};

use podwall_reconciler::status::FLOW_SOCKET;

use crate::status::SOCKET;

/// Something could not be removed.
const FAILED: u8 = 1;
/// An agent runs here, and would put everything back.
const AGENT_RUNS: u8 = 3;

/// The options of `podwall uninstall`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Where `podwall status` found the agent
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    status_socket: PathBuf,
    /// When done, stay until told to stop, as the pod of a DaemonSet has to
    #[arg(long)]
    stay: bool,
}

const EXAMPLES: &str = "\
Examples:
  podwall uninstall
  podwall uninstall --status-socket /run/podwall/status.socket --stay

Removes the tables `inet podwall` and `bridge podwall` of this network namespace, each in one transaction, and the
sockets with their folder. What is not there is removed already. Stop the agent first.

Exit codes: 0 nothing of ours is left; 1 something is, and why is printed; 2 usage; 3 an agent runs here, nothing was
removed.";

/// Runs the subcommand and returns its exit code.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let socket = &arguments.status_socket;
    if UnixStream::connect(socket).is_ok() {
        eprintln!("podwall: an agent answers at {}: stop it first, nothing was removed", socket.display());
        return Ok(AGENT_RUNS);
    }
    // Blocked before anything is done, or a signal that comes earlier would not be waited for.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    if arguments.stay {
        signals.thread_block()?;
    }
    let flows = socket.with_file_name(FLOW_SOCKET);
    let done = [
        remove_tables(),
        remove_socket(&flows).map_err(Into::into),
        remove_socket(socket).map_err(Into::into),
    ];
    let mut code = 0;
    for error in done.into_iter().filter_map(Result::err) {
        eprintln!("podwall: {error:#}");
        code = FAILED;
    }
    if arguments.stay && code == 0 {
        signals.wait()?;
    }
    Ok(code)
}

fn remove_tables() -> anyhow::Result<()> {
    let mut kernel = Kernel::open()?;
    let name = Name::new("podwall")?;
    for (family, word) in [(Family::Inet, "inet"), (Family::Bridge, "bridge")] {
        let table = TableId { family, name: name.clone() };
        if is_there(&mut kernel, &table)? {
            // The first operation makes the second succeed if the table went meanwhile.
            let operations = vec![Operation::AddTable(table.clone()), Operation::DeleteTable(table)];
            kernel.apply(&Transaction { operations })?;
            println!("removed table {word} podwall");
        } else {
            println!("no table {word} podwall");
        }
    }
    Ok(())
}

/// Whether the table exists, whoever made it what it is.
fn is_there(kernel: &mut Kernel, table: &TableId) -> Result<bool, ReadError> {
    match kernel.read(std::slice::from_ref(table)) {
        Ok(ReadBack::Exactly(ruleset)) => Ok(ruleset.tables.contains_key(table)),
        Ok(ReadBack::Foreign { .. }) | Err(ReadError::Unstable { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Removes the socket, and its folder if nothing else is in it. A folder that is mounted, as in a pod, stays.
fn remove_socket(socket: &Path) -> io::Result<()> {
    let describe =
        |error: io::Error, path: &Path| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    match std::fs::remove_file(socket) {
        Ok(()) => println!("removed {}", socket.display()),
        Err(error) if error.kind() == ErrorKind::NotFound => println!("no {}", socket.display()),
        Err(error) => return Err(describe(error, socket)),
    }
    let Some(folder) = socket.parent() else { return Ok(()) };
    match std::fs::remove_dir(folder) {
        Ok(()) => println!("removed {}", folder.display()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => match error.kind() {
            ErrorKind::DirectoryNotEmpty | ErrorKind::ResourceBusy | ErrorKind::ReadOnlyFilesystem => {
                println!("left {}: {error}", folder.display());
            }
            _ => return Err(describe(error, folder)),
        },
    }
    Ok(())
}
