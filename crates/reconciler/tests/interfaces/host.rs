//! A host whose pods are made as CNI plugins make them, and the loop that finds them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};
use podwall_compiler::Attachment;
use podwall_policy::ObjectKey;
use podwall_reconciler::interfaces::{Finder, LocalPod, Patience, Watch};
use tokio::runtime::Runtime;

/// How long anything may take that is waited for.
const LIMIT: Duration = Duration::from_secs(20);

/// The network namespace of a pod.
pub struct Namespace(File);

impl Namespace {
    pub fn new() -> Self {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            Self(File::open("/proc/thread-self/ns/net").expect("its file"))
        };
        std::thread::scope(|scope| scope.spawn(make).join().expect("a namespace"))
    }

    /// What `ip` takes for the name of a namespace.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Runs `ip` inside.
    pub fn ip(&self, commands: &str) {
        let work = || {
            setns(&self.0, CloneFlags::CLONE_NEWNET).expect("the namespace");
            ip(commands);
        };
        std::thread::scope(|scope| scope.spawn(work).join().expect("ip ran"));
    }
}

/// Runs `ip` on the host, a command a line.
pub fn ip(commands: &str) {
    let mut child = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("ip");
    child.stdin.take().expect("piped").write_all(commands.as_bytes()).expect("written");
    assert!(child.wait().expect("ip ends").success(), "ip refused: {commands}");
}

/// A pod as the ptp plugin attaches it: made from inside, a host route to it.
pub fn routed_pod(name: &str, address: &str) -> Namespace {
    let pod = Namespace::new();
    ip(&format!("link add {name} type veth peer name eth0 netns {}\nlink set {name} up\n", pod.path()));
    pod.ip(&format!("link set eth0 up\naddr add {address}/24 dev eth0\n"));
    ip(&format!("route add {address} dev {name}\n"));
    pod
}

/// The bridge of the pods.
pub fn add_bridge() {
    ip("link add cni0 type bridge\naddr add 10.22.0.1/16 dev cni0\nlink set cni0 up\n");
}

/// A pod as the bridge plugin attaches it.
pub fn bridged_pod(name: &str, address: &str) -> Namespace {
    let pod = Namespace::new();
    ip(&format!(
        "link add {name} type veth peer name eth0 netns {}\nlink set {name} master cni0 up\n",
        pod.path()
    ));
    pod.ip(&format!("link set eth0 up\naddr add {address}/16 dev eth0\n"));
    pod
}

/// What the agent's loop does with interfaces, and nothing else.
pub struct Loop {
    pub watch: Watch,
    pub finder: Finder,
    pub attachments: BTreeMap<ObjectKey, Attachment>,
    runtime: Runtime,
}

impl Loop {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let watch = Watch::open().expect("a watch");
        let patience = Patience { longest: Duration::from_millis(100), ..Patience::default() };
        Self { watch, finder: Finder::new(patience), attachments: BTreeMap::new(), runtime }
    }

    pub fn set_pod(&mut self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|it| it.parse().expect("an address")).collect();
        let pod = LocalPod { uid: "1".into(), addresses, started: "".into() };
        self.finder.set_pod(key(name), pod);
    }

    /// The loop, until something is so. Returns how long that took.
    pub fn until(&mut self, what: &str, is_so: impl Fn(&mut Self) -> bool) -> Duration {
        let started = Instant::now();
        loop {
            self.step();
            if is_so(self) {
                return started.elapsed();
            }
            assert!(started.elapsed() < LIMIT, "{what}: never");
            let wake = self.finder.next_at().unwrap_or(Instant::now() + LIMIT).into();
            self.runtime.block_on(async {
                tokio::select! {
                    changed = self.watch.changed() => changed.expect("the watch goes on"),
                    () = tokio::time::sleep_until(wake) => {}
                    () = tokio::time::sleep(LIMIT) => {}
                }
            });
        }
    }

    pub fn attachment(&self, name: &str) -> Option<&Attachment> {
        self.attachments.get(&key(name))
    }

    pub fn until_found(&mut self, name: &str) -> Duration {
        self.until(&format!("{name} is found"), |it| it.attachment(name).is_some())
    }

    fn step(&mut self) {
        self.finder.update(self.watch.links(), Instant::now());
        self.watch.look(self.finder.take_looks());
        for (key, attachment) in self.finder.take_changes() {
            match attachment {
                Some(attachment) => self.attachments.insert(key, attachment),
                None => self.attachments.remove(&key),
            };
        }
    }
}

pub fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}
