//! What one change costs against the kernel's own share of it, and what it costs to list and mark connections.
//!
//! `cargo bench -p podwall-netlink`, in a network namespace of its own.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};
use podwall_netlink::{Conntrack, ConntrackFilter, Kernel, Monitor, encode};
use podwall_ruleset::*;

const ROUNDS: usize = 2000;
const COLD_ROUNDS: usize = 60;
const COLD: Duration = Duration::from_millis(20);
const CONNECTIONS: usize = 10_000;

fn main() {
    unshare(CloneFlags::CLONE_NEWNET)
        .or_else(|_| unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET))
        .expect("a network namespace: allow user namespaces or run as root");
    let mut kernel = Kernel::open().expect("a socket");
    kernel.apply(&diff(&Known::Unknown, &table())).expect("a table");
    measure_element(&mut kernel, "hot", ROUNDS, Duration::ZERO);
    measure_element(&mut kernel, "cold", COLD_ROUNDS, COLD);
    let _monitor = Monitor::open(&kernel, &[id()]).expect("a monitor");
    measure_element(&mut kernel, "hot, with a monitor open", ROUNDS, Duration::ZERO);
    measure_conntrack();
}

/// Adds one element and removes it again, by `apply` and by bytes that were made before.
fn measure_element(kernel: &mut Kernel, word: &str, rounds: usize, pause: Duration) {
    let raw = RawSocket::open();
    let (add, remove) = changes();
    let (add_bytes, remove_bytes) = (encode(&add, 1).expect("fits"), encode(&remove, 1).expect("fits"));
    let (mut applied, mut sent, mut encoded) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        for (change, bytes) in
            [(&add, None), (&remove, None), (&add, Some(&add_bytes)), (&remove, Some(&remove_bytes))]
        {
            std::thread::sleep(pause);
            let start = Instant::now();
            match bytes {
                Some(bytes) => raw.commit(bytes.bytes()),
                None => kernel.apply(change).expect("applied"),
            }
            let list = if bytes.is_some() { &mut sent } else { &mut applied };
            list.push(start.elapsed());
        }
        let start = Instant::now();
        let _ = encode(&add, 1);
        encoded.push(start.elapsed());
    }
    let (applied, sent, encoded) = (median(applied), median(sent), median(encoded));
    let ratio = applied.as_secs_f64() / sent.as_secs_f64();
    println!(
        "one element, {word}: apply {applied:.1?}, raw send and receive {sent:.1?}: {ratio:.2} times; encode {encoded:.1?}"
    );
}

fn measure_conntrack() {
    for arguments in ["link set lo up", "address add 10.9.0.0/16 dev lo"] {
        let done = Command::new("ip").args(arguments.split(' ')).status();
        assert!(done.is_ok_and(|status| status.success()), "install iproute2");
    }
    let mut tracked = table();
    let base = BaseChain { chain_type: ChainType::Filter, hook: Hook::Output, priority: 0 };
    let state = Match::CtState([CtState::Established].into_iter().collect());
    let rules = vec![Rule::verdict([state], Verdict::Accept)];
    let chains = &mut tracked.tables.get_mut(&id()).expect("made").chains;
    chains.insert(name("output"), Chain { base: Some(base), comment: None, rules });
    Kernel::open().expect("a socket").apply(&diff(&Known::Unknown, &tracked)).expect("a table");
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    for index in 0..CONNECTIONS {
        let _ = socket.send_to(b"x", (format!("10.9.{}.{}", index / 250, index % 250 + 1), 9));
    }
    let mut conntrack = Conntrack::open().expect("a socket");
    let nothing = ConntrackFilter { family: Some(IpFamily::Ipv6), mark: None };
    let (mut listed, mut walked, mut marked) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..20 {
        let start = Instant::now();
        let mut entries = Vec::new();
        conntrack.list(ConntrackFilter::default(), |entry| entries.push(entry)).expect("a list");
        listed.push(start.elapsed());
        let start = Instant::now();
        conntrack.list(nothing, |_| ()).expect("a list");
        walked.push(start.elapsed());
        entries.retain(|entry| entry.original.destination_port == Some(9));
        assert_eq!(entries.len(), CONNECTIONS);
        let start = Instant::now();
        let done = conntrack.set_mark(&entries, if round % 2 == 0 { 1 } else { 0 }, 1).expect("marked");
        marked.push(start.elapsed());
        assert_eq!(done, CONNECTIONS);
    }
    println!(
        "{CONNECTIONS} connections: listed in {:.1?} (walked past in {:.1?}), marked in {:.1?}",
        median(listed),
        median(walked),
        median(marked)
    );
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort();
    samples[samples.len() / 2]
}

struct RawSocket(std::os::fd::OwnedFd);

impl RawSocket {
    fn open() -> Self {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        );
        let socket = socket.expect("a socket");
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).expect("a bound socket");
        Self(socket)
    }

    fn commit(&self, bytes: &[u8]) {
        let mut answer = [0; 256];
        send(self.0.as_raw_fd(), bytes, MsgFlags::empty()).expect("sent");
        let length = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty()).expect("an acknowledgement");
        assert_eq!((length, &answer[16..20]), (36, &[0; 4][..]), "an acknowledgement");
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn id() -> TableId {
    TableId { family: Family::Inet, name: name("podwall") }
}

fn key(number: u32) -> Key {
    Key::one(Value::Ipv4(number.into()))
}

fn table() -> Ruleset {
    let mut set = Set::new(&[ValueType::Ipv4]);
    set.elements.extend((0..10_000).map(|number| (key(number), Element::default())));
    let table = Table { sets: [(name("pods/app/app-web-0123456789abc.v4"), set)].into(), ..Table::default() };
    Ruleset { tables: [(id(), table)].into() }
}

fn changes() -> (Transaction, Transaction) {
    let set = name("pods/app/app-web-0123456789abc.v4");
    let elements = vec![(key(u32::MAX), Element::default())];
    let add = Operation::AddElements { table: id(), set: set.clone(), elements };
    let remove = Operation::DeleteElements { table: id(), set, keys: vec![key(u32::MAX)] };
    (Transaction { operations: vec![add] }, Transaction { operations: vec![remove] })
}
