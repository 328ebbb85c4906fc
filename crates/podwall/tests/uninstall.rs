//! `podwall uninstall` on real tables, in a network namespace of this test's own. Without libtest, because only a
//! process of one thread may make a user namespace.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use podwall_lab::isolate_process;

/// Tables of ours, one of them as nobody of us would make it, and a neighbour's.
const TABLES: &str = "
table inet podwall {
  set pods { type ipv4_addr; elements = { 10.0.0.1 } }
  chain forward { type filter hook forward priority filter - 5; ip saddr @pods limit rate 1/second drop; }
}
table bridge podwall {
  chain prerouting { type filter hook prerouting priority 0; }
}
table ip podwall { }
table inet neighbour {
  chain input { type filter hook input priority 0; }
}
";

/// A test, given a folder of its own.
type Test = fn(&Path);

fn main() {
    isolate_process().expect("a machine that allows network namespaces");
    let folder = std::env::temp_dir().join(format!("podwall-uninstall-{}", std::process::id()));
    let tests: [(&str, Test); 4] = [
        ("everything_of_ours_goes_and_nothing_else", everything_of_ours_goes_and_nothing_else),
        ("nothing_is_removed_beside_an_agent", nothing_is_removed_beside_an_agent),
        ("what_cannot_be_removed_is_said", what_cannot_be_removed_is_said),
        ("it_stays_until_it_is_told_to_stop", it_stays_until_it_is_told_to_stop),
    ];
    let filters: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let chosen = |name: &str| filters.is_empty() || filters.iter().any(|it| name.contains(it.as_str()));
    for (name, test) in tests.into_iter().filter(|(name, _)| chosen(name)) {
        fs::create_dir(&folder).expect("a folder for the test");
        nft(&["-f", "-"], &format!("flush ruleset\n{TABLES}"));
        test(&folder);
        println!("test {name} ... ok");
        let _ = fs::remove_dir_all(&folder);
    }
}

fn everything_of_ours_goes_and_nothing_else(folder: &Path) {
    let socket = folder.join("run/agent.socket");
    fs::create_dir(folder.join("run")).unwrap();
    drop(UnixListener::bind(&socket).unwrap());
    let first = uninstall(&socket);
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    let run = folder.join("run");
    let removed = ["table inet podwall", "table bridge podwall"].map(str::to_owned);
    for what in removed.iter().chain(&[socket.display().to_string(), run.display().to_string()]) {
        assert!(text(&first).lines().any(|line| line == format!("removed {what}")), "{what}: {first:?}");
    }
    assert_eq!(tables(), ["table ip podwall", "table inet neighbour"]);
    assert!(!run.exists());
    let second = uninstall(&socket);
    assert_eq!(second.status.code(), Some(0), "{second:?}");
    assert!(!text(&second).contains("removed"), "{second:?}");
}

fn nothing_is_removed_beside_an_agent(folder: &Path) {
    let socket = folder.join("agent.socket");
    let _agent = UnixListener::bind(&socket).unwrap();
    let output = uninstall(&socket);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{output:?}");
    assert_eq!(tables().len(), 4);
    assert!(socket.exists());
}

fn what_cannot_be_removed_is_said(folder: &Path) {
    let socket = folder.join("agent.socket");
    fs::create_dir_all(socket.join("not-a-socket")).unwrap();
    let output = uninstall(&socket);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("agent.socket"), "{output:?}");
    assert_eq!(tables().len(), 2, "the tables go all the same");
}

fn it_stays_until_it_is_told_to_stop(folder: &Path) {
    let mut child = command(&folder.join("agent.socket")).arg("--stay").spawn().expect("the program runs");
    let started = Instant::now();
    while tables().len() > 2 {
        assert!(started.elapsed() < Duration::from_secs(10), "the tables are still there");
        sleep(Duration::from_millis(20));
    }
    sleep(Duration::from_millis(100));
    assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

fn command(socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podwall"));
    command.arg("uninstall").arg("--status-socket").arg(PathBuf::from(socket)).stdout(Stdio::null());
    command
}

fn uninstall(socket: &Path) -> Output {
    command(socket).stdout(Stdio::piped()).output().expect("the program runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn tables() -> Vec<String> {
    nft(&["list", "tables"], "").lines().map(str::to_owned).collect()
}

fn nft(arguments: &[&str], input: &str) -> String {
    use std::io::Write;
    let mut nft = Command::new("nft");
    let mut child = nft.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("nft");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "nft {arguments:?}");
    text(&output)
}
