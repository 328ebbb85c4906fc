//! Connections that were allowed stop both ways when their mark revokes them, and go on when it no longer does: with
//! packets, through a compiled ruleset, between two pods and between a pod and its node.
//!
//! Runs in a user and network namespaces of its own: no root, nothing left behind.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};
use podwall_compiler::{Attachment, Closed, NodeOptions, NodeState, compile, table_id};
use podwall_netlink::{Conntrack, ConntrackFilter, Entry, Kernel};
use podwall_policy::read::{Source, read};
use podwall_policy::{PlacementOptions, place};
use podwall_ruleset::{InterfaceName, diff};

const REVOKED: u32 = 0x1000_0000;
/// Bits that are somebody else's.
const OTHERS: u32 = 0xe0ff_00f0;
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
const NODE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// How long what should arrive may take: TCP sends again after longer and longer pauses.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what should not arrive is waited for.
const SILENCE: Duration = Duration::from_millis(300);

const CLUSTER: &str = "
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: client}}
spec: {nodeName: node-1}
status: {podIPs: [{ip: '10.0.0.2'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: server, labels: {app: server}}
spec: {nodeName: node-1}
status: {podIPs: [{ip: '10.0.0.3'}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: client}}}]
    ports: [{port: 9000}, {port: 9000, protocol: UDP}]
";

fn main() -> ExitCode {
    if let Err(error) = isolate() {
        eprintln!("cannot make a network namespace: {error}; allow user namespaces or run as root");
        return ExitCode::FAILURE;
    }
    let client_namespace = pod("veth-client", CLIENT);
    let server_namespace = pod("veth-server", SERVER);
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("a router");
    let mut kernel = Kernel::open().expect("a socket");
    load(&mut kernel);

    let pods = Pairs::open(&client_namespace, &server_namespace, SERVER);
    pods.stops_and_goes_on(&mut kernel);
    // The policy lets the client's two connections in, and nothing else.
    let asked: u64 = counted(&mut kernel, "counted/ingress/default/", 0);
    assert_eq!((asked, counted(&mut kernel, "counted/ingress/default/", 1)), (2, 2));
    inside(&client_namespace, || {
        let stranger = UdpSocket::bind((CLIENT, 0)).expect("a socket");
        stranger.send_to(b"x", (SERVER, 9001)).expect("sent");
    });
    assert_eq!(counted(&mut kernel, "counted/ingress/default/", 0), 3);
    assert_eq!(counted(&mut kernel, "counted/ingress/default/", 1), 2);
    drop(pods);

    let node_namespace = File::open("/proc/thread-self/ns/net").expect("this namespace");
    let to_node = Pairs::open(&client_namespace, &node_namespace, NODE);
    to_node.stops_and_goes_on(&mut kernel);
    for (chain, rule) in [("forward", 1), ("input", 1), ("output", 0)] {
        assert!(counted(&mut kernel, chain, rule) > 0, "nothing was counted in {chain}");
    }
    println!("2 passed, 0 failed");
    ExitCode::SUCCESS
}

/// In a namespace where nothing is anybody else's.
fn isolate() -> nix::Result<()> {
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    if uid.is_root() && unshare(CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
    let map = |file: &str, text: String| std::fs::write(file, text).map_err(|_| nix::Error::EPERM);
    map("/proc/self/setgroups", "deny".into())?;
    map("/proc/self/uid_map", format!("0 {uid} 1"))?;
    map("/proc/self/gid_map", format!("0 {gid} 1"))
}

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).status();
    assert!(
        done.is_ok_and(|status| status.success()),
        "`ip {arguments}` does not work: install iproute2 to run this test"
    );
}

/// A namespace with one interface, whose other end is here.
fn pod(interface: &str, address: Ipv4Addr) -> File {
    let namespace = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        File::open("/proc/thread-self/ns/net").expect("its descriptor")
    });
    let namespace = namespace.join().expect("a namespace");
    ip(&format!("link add {interface} type veth peer name peer"));
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&namespace);
    ip(&format!("link set peer netns /proc/{}/fd/{descriptor}", std::process::id()));
    ip(&format!("address add {NODE}/32 dev {interface}"));
    ip(&format!("link set {interface} up"));
    ip(&format!("route add {address} dev {interface}"));
    inside(&namespace, || {
        ip(&format!("address add {address}/32 dev peer"));
        ip("link set peer up");
        ip(&format!("route add {NODE} dev peer"));
        ip(&format!("route add default via {NODE} dev peer"));
    });
    namespace
}

fn inside<T: Send>(namespace: &File, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("into the namespace");
            work()
        });
        thread.join().expect("done")
    })
}

fn load(kernel: &mut Kernel) {
    let placement = PlacementOptions { node_count: 1, ipv4: true, ipv6: false };
    let source = Source { name: "cluster.yaml".into(), bytes: CLUSTER.into() };
    let cluster = place(&read(&[source], "default"), &placement, None);
    let interface = |name: &str| InterfaceName::new(&format!("veth-{name}")).expect("short");
    let attachments =
        cluster.pods.keys().map(|key| (key.clone(), Attachment::Routed(interface(&key.name)))).collect();
    let options = NodeOptions { revoked_mark: Some(REVOKED), counters: true, ..NodeOptions::default() };
    let compiled = compile(NodeState {
        cluster: &cluster,
        node: "node-1",
        attachments: &attachments,
        closed: &Closed::default(),
        options: &options,
    });
    assert!(compiled.problems.is_empty());
    kernel.apply(&diff(&podwall_ruleset::Known::Unknown, &compiled.ruleset)).expect("taken");
}

/// What a rule of the chains whose names begin like this has counted.
fn counted(kernel: &mut Kernel, chain: &str, rule: usize) -> u64 {
    let counters = kernel.counters(&table_id()).expect("counters");
    let found = counters.iter().filter(|it| it.chain.as_str().starts_with(chain) && it.rule == rule);
    found.map(|it| it.packets).sum()
}

/// One UDP and one TCP connection from the client.
struct Pairs {
    client: UdpSocket,
    server: UdpSocket,
    streams: [TcpStream; 2],
}

impl Pairs {
    fn open(from: &File, to: &File, address: Ipv4Addr) -> Self {
        let (server, listener) = inside(to, || {
            (
                UdpSocket::bind((address, 9000)).expect("a port"),
                TcpListener::bind((address, 9000)).expect("a port"),
            )
        });
        let (client, stream) = inside(from, || {
            let socket = UdpSocket::bind((CLIENT, 9000)).expect("a port");
            socket.connect((address, 9000)).expect("a peer");
            (socket, TcpStream::connect_timeout(&(address, 9000).into(), PATIENCE).expect("a connection"))
        });
        server.connect((CLIENT, 9000)).expect("a peer");
        let accepted = listener.accept().expect("a connection").0;
        Self { client, server, streams: [stream, accepted] }
    }

    fn stops_and_goes_on(&self, kernel: &mut Kernel) {
        let mut conntrack = Conntrack::open().expect("a socket");
        for round in 0..2 {
            self.expect_flow(true);
            let entries = connections(&mut conntrack);
            assert_eq!(conntrack.set_mark(&entries, OTHERS, !REVOKED).expect("marked"), entries.len());
            self.expect_flow(true);
            assert_eq!(conntrack.set_mark(&entries, REVOKED, REVOKED).expect("marked"), entries.len());
            let expect_marks = |conntrack: &mut Conntrack, expected: u32| {
                let marks: Vec<u32> = connections(conntrack).iter().map(|entry| entry.mark).collect();
                assert!(marks.len() >= 2 && marks.iter().all(|mark| *mark == expected), "{marks:x?}");
            };
            expect_marks(&mut conntrack, OTHERS | REVOKED);
            let before = counted(kernel, "", 0) + counted(kernel, "", 1);
            self.expect_flow(false);
            assert!(counted(kernel, "", 0) + counted(kernel, "", 1) > before, "round {round}");
            assert_eq!(conntrack.set_mark(&entries, 0, REVOKED).expect("marked"), entries.len());
            expect_marks(&mut conntrack, OTHERS);
        }
        self.expect_flow(true);
    }

    /// Both ways of both.
    fn expect_flow(&self, expected: bool) {
        for (from, to) in [(&self.client, &self.server), (&self.server, &self.client)] {
            assert_eq!(datagram_arrives(from, to, expected), expected, "{from:?} to {to:?}");
        }
        let [client, server] = &self.streams;
        for (from, to) in [(client, server), (server, client)] {
            assert_eq!(bytes_arrive(from, to, expected), expected, "{from:?} to {to:?}");
        }
    }
}

fn connections(conntrack: &mut Conntrack) -> Vec<Entry> {
    let mut entries = Vec::new();
    conntrack.list(ConntrackFilter::default(), |entry| entries.push(entry)).expect("a list");
    entries.retain(|entry| entry.original.source == CLIENT && entry.seen_reply);
    entries
}

fn patience(expected: bool) -> Option<Duration> {
    Some(if expected { PATIENCE } else { SILENCE })
}

fn datagram_arrives(from: &UdpSocket, to: &UdpSocket, expected: bool) -> bool {
    to.set_read_timeout(patience(expected)).expect("a timeout");
    // The node's own sending is refused at once.
    from.send(b"datagram").is_ok() && to.recv(&mut [0; 16]).is_ok()
}

/// Bytes that were held back arrive with those that may pass.
fn bytes_arrive(mut from: &TcpStream, mut to: &TcpStream, expected: bool) -> bool {
    to.set_read_timeout(patience(expected)).expect("a timeout");
    let mut bytes = [0; 64];
    to.set_nonblocking(true).expect("a mode");
    while to.read(&mut bytes).is_ok() {}
    to.set_nonblocking(false).expect("a mode");
    from.write_all(b"x").expect("there is room to keep it");
    let start = Instant::now();
    let arrived = to.read(&mut bytes).is_ok();
    assert!(start.elapsed() < 2 * PATIENCE);
    arrived
}
