//! What a pod gains by saying that it is somebody else: nothing, in either layout and family; and everything it
//! tries succeeds when nobody checks, or these tests would show nothing.
//!
//! Three pods of one node: the server lets the victim in, and the attacker only to one other port. Each case runs in
//! a process of its own, which makes itself a network of its own.

mod host;
mod wire;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use host::Host;
use podwall_lab::{Families, Lab, Layout, RunOptions, Step, isolate_process};
use podwall_policy::read::{Source, read};
use podwall_policy::{Protocol, Transport};

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: server, labels: {app: server}}
spec: {nodeName: a, containers: [{name: c, image: x, ports: [{containerPort: 80}, {containerPort: 81}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: victim, labels: {app: victim}}
spec: {nodeName: a, containers: [{name: c, image: x, ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: attacker, labels: {app: attacker}}
spec: {nodeName: a, containers: [{name: c, image: x}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: victim}}}]
  - from: [{podSelector: {matchLabels: {app: attacker}}}]
    ports: [{port: 81}]
"#;

/// What the server lets the victim in to, and the attacker not.
const CLOSED: u16 = 80;
/// What it lets the attacker in to.
const OPEN: u16 = 81;
/// The variable that tells a process which case is its.
const CASE: &str = "PODWALL_SPOOFING_CASE";
/// The kernel believes no second ARP reply within a second of the first.
const ARP_LOCK: Duration = Duration::from_millis(1100);
/// How often it is tried to show that an attack works where nothing is checked.
const TRIES: usize = 3;
/// The kernel waits up to a second before it asks whether an address is taken.
const DETECTION: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    if let Ok(case) = std::env::var(CASE) {
        Case::all().into_iter().find(|it| it.name() == case).expect("a case of this test").run();
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments.iter().filter(|it| !it.starts_with('-')).collect();
    let chosen =
        |case: &Case| filters.is_empty() || filters.iter().any(|it| case.name().contains(it.as_str()));
    let cases: Vec<Case> = Case::all().into_iter().filter(chosen).collect();
    if arguments.iter().any(|it| it == "--list") {
        cases.iter().for_each(|case| println!("{}: test", case.name()));
        return ExitCode::SUCCESS;
    }
    let failed = cases.iter().filter(|case| !case.passes()).count();
    println!("\n{} passed, {failed} failed", cases.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Debug, Clone, Copy)]
struct Case {
    layout: Layout,
    ipv4: bool,
    anti_spoofing: bool,
}

impl Case {
    fn all() -> Vec<Case> {
        let mut all = Vec::new();
        for layout in [Layout::Routed, Layout::Bridged] {
            for ipv4 in [true, false] {
                all.extend([true, false].map(|anti_spoofing| Case { layout, ipv4, anti_spoofing }));
            }
        }
        all
    }

    fn name(self) -> String {
        let layout = if self.layout == Layout::Routed { "routed" } else { "bridged" };
        let family = if self.ipv4 { "ipv4" } else { "ipv6" };
        format!("{layout} {family}{}", if self.anti_spoofing { "" } else { " unchecked" })
    }

    /// What shows that an attack works where nothing is checked may need several tries: a frame that the victim sends by
    /// itself undoes it. What shows that it does not work has one.
    fn passes(self) -> bool {
        let program = std::env::current_exe().expect("this program");
        let run = || {
            let mut command = Command::new(&program);
            command.env(CASE, self.name()).stdin(Stdio::null()).output().expect("it runs")
        };
        let mut child = run();
        for _ in 1..if self.anti_spoofing { 1 } else { TRIES } {
            if !child.status.success() {
                child = run();
            }
        }
        let passed = child.status.success();
        println!("test {} ... {}", self.name(), if passed { "ok" } else { "FAILED" });
        if !passed {
            println!("{}", String::from_utf8_lossy(&child.stderr));
        }
        passed
    }

    fn run(self) {
        isolate_process().expect("a machine that allows network namespaces");
        let mut lab = Lab::new(self.options()).expect("a lab");
        let source = Source { name: "manifests".to_owned(), bytes: MANIFESTS.as_bytes().to_vec() };
        let step = Step { path: "manifests".to_owned(), manifests: read(&[source], "default") };
        let ending = lab.run(&[step]).expect("a lab that runs");
        assert_eq!(ending, podwall_lab::Ending::Good);
        let scene = Actors::new(self, &lab);
        scene.check_policy();
        scene.send_with_the_victims_address();
        scene.take_the_victims_address();
        if self.layout == Layout::Bridged {
            scene.answer_for_the_victim();
            scene.send_from_the_victims_hardware_address();
        }
        scene.check_drops();
        if !self.ipv4 && self.anti_spoofing {
            scene.check_that_ipv6_works();
        }
    }

    fn options(self) -> RunOptions {
        RunOptions {
            node_count: 1,
            families: Families { ipv4: self.ipv4, ipv6: !self.ipv4 },
            layout: self.layout,
            node_sysctls: Vec::new(),
            anti_spoofing: self.anti_spoofing,
            drop_unknown: false,
            unknown: BTreeSet::new(),
            outside: Vec::new(),
            transports: BTreeSet::from([Transport::Port(Protocol::Tcp, CLOSED)]),
            timeout: Duration::from_millis(100),
            enforce: true,
            json: true,
            expectations: None,
        }
    }
}

/// Who takes part, and where they are.
struct Actors<'a> {
    case: Case,
    server: Host<'a>,
    victim: Host<'a>,
    attacker: Host<'a>,
    node: Host<'a>,
    server_address: IpAddr,
    victim_address: IpAddr,
    attacker_address: IpAddr,
}

impl<'a> Actors<'a> {
    fn new(case: Case, lab: &'a Lab) -> Self {
        let [server, victim, attacker] = ["server", "victim", "attacker"].map(|name| Host::pod(lab, name));
        let [server_address, victim_address, attacker_address] =
            [&server, &victim, &attacker].map(|host| host.address(case.ipv4));
        let node = Host::node(lab, "a");
        Self { case, server, victim, attacker, node, server_address, victim_address, attacker_address }
    }

    /// Without a lie: the attacker gets where it may, and not where it may not.
    fn check_policy(&self) {
        let server = |port| SocketAddr::new(self.server_address, port);
        assert!(self.attacker.connects(server(OPEN)));
        assert!(!self.attacker.connects(server(CLOSED)));
        assert!(self.victim.connects(server(CLOSED)));
        let watch = self.server.watch("eth0");
        let own = self.attacker_address;
        self.attacker
            .send_packet(&wire::opening(own, self.server_address, Protocol::Tcp, OPEN), self.server_address);
        assert!(watch.sees(|frame| wire::is_opening(frame, own, Protocol::Tcp, OPEN)), "raw packets arrive");
    }

    fn send_with_the_victims_address(&self) {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let watch = self.server.watch("eth0");
            let packet = wire::opening(self.victim_address, self.server_address, protocol, CLOSED);
            self.attacker.send_packet(&packet, self.server_address);
            let arrived = watch.sees(|frame| wire::is_opening(frame, self.victim_address, protocol, CLOSED));
            assert_eq!(arrived, !self.case.anti_spoofing, "{protocol} with the victim's address");
        }
    }

    fn take_the_victims_address(&self) {
        self.attacker.add_address(self.victim_address, false);
        let watch = self.server.watch("eth0");
        self.attacker.connect_from(self.victim_address, SocketAddr::new(self.server_address, CLOSED));
        let arrived = watch.sees(|frame| wire::is_opening(frame, self.victim_address, Protocol::Tcp, CLOSED));
        assert_eq!(arrived, !self.case.anti_spoofing, "a connection from the victim's address");
        self.attacker.remove_address(self.victim_address);
    }

    /// The server knows where the victim is. The attacker tells it otherwise.
    fn answer_for_the_victim(&self) {
        let victim = SocketAddr::new(self.victim_address, CLOSED);
        let (right, wrong) = (self.victim.hardware(), self.attacker.hardware());
        for frame in self.lies() {
            self.victim.connects(SocketAddr::new(self.server_address, CLOSED));
            self.tell_the_truth();
            assert_eq!(self.server.neighbour(self.victim_address).as_deref(), Some(&right[..]));
            std::thread::sleep(ARP_LOCK);
            self.attacker.send_frame(&frame);
            std::thread::sleep(Duration::from_millis(50));
            let believed = self.server.neighbour(self.victim_address);
            let expected = if self.case.anti_spoofing { right } else { wrong };
            assert_eq!(believed.as_deref(), Some(&expected[..]), "after {frame:02x?}");
            assert_eq!(self.server.connects(victim), self.case.anti_spoofing, "the victim is reached");
        }
    }

    /// The address is the attacker's own, but the frame comes from the victim's hardware: if the bridge learnt from
    /// it, what is for the victim would go to the attacker.
    fn send_from_the_victims_hardware_address(&self) {
        self.tell_the_truth();
        assert!(self.server.connects(SocketAddr::new(self.victim_address, CLOSED)));
        let hardware = self.victim.hardware();
        let lie = match self.attacker_address {
            IpAddr::V4(own) => wire::arp(1, hardware, own),
            IpAddr::V6(own) => {
                let all_nodes = ([0x33, 0x33, 0, 0, 0, 1], Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
                wire::advertisement(hardware, own, all_nodes, own)
            }
        };
        let watch = self.attacker.watch("eth0");
        self.attacker.send_frame(&lie);
        let packet = wire::opening(self.server_address, self.victim_address, Protocol::Udp, OPEN);
        self.server.send_packet(&packet, self.victim_address);
        let stolen = watch.sees(|frame| wire::is_opening(frame, self.server_address, Protocol::Udp, OPEN));
        assert_eq!(stolen, !self.case.anti_spoofing, "what is for the victim, at the attacker's");
        self.tell_the_truth();
    }

    /// What the attacker says of the victim's address.
    fn lies(&self) -> Vec<Vec<u8>> {
        let wrong = self.attacker.hardware();
        let (victim, server) = match (self.victim_address, self.server_address) {
            (IpAddr::V4(victim), _) => {
                return [1, 2].map(|operation| wire::arp(operation, wrong, victim)).to_vec();
            }
            (IpAddr::V6(victim), IpAddr::V6(server)) => (victim, server),
            _ => unreachable!("addresses of one family"),
        };
        let IpAddr::V6(own) = self.attacker_address else { unreachable!("addresses of one family") };
        let all_nodes = ([0x33, 0x33, 0, 0, 0, 1], Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
        let sources = [victim, own, self.attacker.link_local()];
        let to_all = sources.map(|source| wire::advertisement(wrong, source, all_nodes, victim));
        let to_server = sources
            .map(|source| wire::advertisement(wrong, source, (self.server.hardware(), server), victim));
        [to_all, to_server].concat()
    }

    /// The victim itself says where it is, which nobody may be kept from.
    fn tell_the_truth(&self) {
        let right = self.victim.hardware();
        std::thread::sleep(ARP_LOCK);
        self.victim.send_frame(&match self.victim_address {
            IpAddr::V4(victim) => wire::arp(2, right, victim),
            IpAddr::V6(victim) => {
                let all_nodes = ([0x33, 0x33, 0, 0, 0, 1], Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
                wire::advertisement(right, victim, all_nodes, victim)
            }
        });
        std::thread::sleep(Duration::from_millis(50));
    }

    /// What was dropped was counted.
    fn check_drops(&self) {
        if let Some(dropped) = self.node.dropped() {
            assert_eq!(dropped >= 3, self.case.anti_spoofing, "{dropped} packets were dropped and counted");
        }
    }

    /// What IPv6 needs passes: the question whether an address is taken, its answer, and what MLD reports.
    fn check_that_ipv6_works(&self) {
        self.attacker.detect_duplicates();
        let before = self.node.dropped();
        let free: Ipv6Addr = "fd00:f::1".parse().expect("an address");
        let interface = if self.case.layout == Layout::Bridged { "cbr0" } else { "eth0" };
        let (node, server) = (self.node.watch(interface), self.server.watch("eth0"));
        self.attacker.add_address(free.into(), true);
        if self.case.layout == Layout::Bridged {
            assert!(
                server.sees_within(DETECTION, |frame| wire::is_duplicate_detection(frame, free)),
                "neighbours are asked"
            );
            // A new address joins a group, and MLD says so, to routers alone.
            assert!(
                node.sees_within(DETECTION, wire::is_multicast_report),
                "the groups of a pod are reported"
            );
            let IpAddr::V6(taken) = self.victim_address else { unreachable!("a case of IPv6") };
            self.attacker.add_address(taken.into(), true);
            assert!(self.attacker.is_duplicate(taken), "the owner of an address answers");
            self.attacker.remove_address(taken.into());
        } else {
            std::thread::sleep(Duration::from_secs(1));
        }
        assert!(!self.attacker.is_duplicate(free));
        assert_eq!(self.node.dropped(), before, "nothing of this was dropped");
        self.attacker.remove_address(free.into());
    }
}
