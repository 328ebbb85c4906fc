use super::*;

const MARK: u32 = 0x100;

struct Passes {
    revocation: Revocation,
    requests: mpsc::Receiver<Request>,
    start: Instant,
}

impl Passes {
    fn new() -> Self {
        let (sender, requests) = mpsc::channel();
        Self { revocation: Revocation::new(MARK, sender), requests, start: Instant::now() }
    }

    fn at(&self, milliseconds: u64) -> Instant {
        self.start + Duration::from_millis(milliseconds)
    }

    /// Which pass begins at this time: `all`, `revoked` or none.
    fn tick(&mut self, milliseconds: u64) -> Option<&'static str> {
        self.revocation.tick(self.at(milliseconds));
        match self.requests.try_recv().ok()? {
            Request::List(ConntrackFilter { mark: None, .. }) => Some("all"),
            Request::List(_) => Some("revoked"),
            Request::Mark { .. } => panic!("nothing was judged"),
        }
    }
}

#[test]
fn what_forbids_is_followed_by_a_pass_at_once_and_one_a_second_later() {
    let mut passes = Passes::new();
    passes.revocation.committed(true, passes.at(0));
    assert_eq!(passes.tick(0), Some("all"));
    passes.revocation.listed(passes.at(5));
    assert_eq!(passes.tick(900), None);
    assert_eq!(passes.revocation.wake_at(), Some(passes.at(1000)));
    assert_eq!(passes.tick(1000), Some("all"));
    passes.revocation.listed(passes.at(1005));
    assert_eq!(passes.revocation.wake_at(), None);
}

#[test]
fn what_allows_is_followed_by_a_pass_only_while_connections_are_cut() {
    let mut passes = Passes::new();
    // Of an earlier run, nobody knows.
    passes.revocation.committed(false, passes.at(0));
    assert_eq!(passes.tick(0), Some("revoked"));
    passes.revocation.listed(passes.at(5));
    passes.revocation.committed(true, passes.at(100));
    assert_eq!(passes.tick(100), Some("all"));
    passes.revocation.listed(passes.at(105));
    // The pass over all has seen none.
    passes.revocation.committed(false, passes.at(200));
    assert_eq!(passes.tick(200), None);
}

#[test]
fn a_change_during_a_pass_is_followed_by_another() {
    let mut passes = Passes::new();
    passes.revocation.committed(true, passes.at(0));
    assert_eq!(passes.tick(0), Some("all"));
    passes.revocation.committed(false, passes.at(3));
    assert_eq!(passes.tick(4), None);
    passes.revocation.listed(passes.at(10));
    assert_eq!(passes.tick(11), None, "a pass may not follow the other at once");
    let at = passes.revocation.wake_at().unwrap();
    assert!(at <= passes.at(60), "it waits four times as long as the pass took");
    assert_eq!(passes.tick(60), Some("revoked"));
}

#[test]
fn a_pass_that_failed_is_made_again() {
    let mut passes = Passes::new();
    passes.revocation.committed(true, passes.at(0));
    assert_eq!(passes.tick(0), Some("all"));
    passes.revocation.failed(passes.at(10));
    assert_eq!(passes.tick(500), None);
    assert_eq!(passes.tick(1010), Some("all"));
}

#[test]
fn the_node_itself_is_not_judged_and_everyone_else_is() {
    use podwall_compiler::{Closed, NodeOptions};
    use podwall_netlink::Tuple;
    let mut engine = Engine::new("node-1".into(), NodeOptions::default());
    let pod_address: IpAddr = "10.0.0.1".parse().unwrap();
    let addresses = [pod_address].into();
    engine.set_closed(Closed { addresses, ..Closed::default() });
    engine.take_changes();
    let entry = |source: &str, mark: u32| {
        let tuple = |source: IpAddr, destination: IpAddr, ports: (u16, u16)| Tuple {
            source,
            destination,
            protocol: 6,
            source_port: Some(ports.0),
            destination_port: Some(ports.1),
            icmp: None,
            zone: None,
        };
        let source: IpAddr = source.parse().unwrap();
        Entry {
            original: tuple(source, pod_address, (40000, 80)),
            reply: tuple(pod_address, source, (80, 40000)),
            mark,
            id: 1,
            zone: None,
            seen_reply: true,
            assured: true,
        }
    };
    let mut passes = Passes::new();
    let entries = vec![entry("192.0.2.1", 0), entry("192.0.2.9", 0), entry("192.0.2.9", MARK | 1)];
    let node: IpAddr = "192.0.2.1".parse().unwrap();
    passes.revocation.judge(entries, &engine, |address| address == node);
    let request = passes.requests.try_recv().unwrap();
    let cut = Request::Mark { entries: vec![entry("192.0.2.9", 0)], value: MARK, mask: MARK };
    assert_eq!(request, cut);
    // Nothing forbids any more: what was cut goes on.
    engine.set_closed(Closed::default());
    engine.take_changes();
    passes.revocation.judge(vec![entry("192.0.2.9", MARK | 1)], &engine, |_| false);
    let restored = Request::Mark { entries: vec![entry("192.0.2.9", MARK | 1)], value: 0, mask: MARK };
    assert_eq!(passes.requests.try_recv().unwrap(), restored);
}
