//! What chance seldom brings together.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use podwall_compiler::{Attachment, Connection, Engine};
use podwall_policy::read::{Source, read};
use podwall_policy::{
    Endpoint, Flow, Labels, Mode, NetworkPolicy, ObjectKey, Pod, Protocol, Transport, evaluate,
};
use podwall_ruleset::{InterfaceName, Ruleset};

use crate::engine::{check, take};
use crate::event::{Event, History};

/// An engine that is held to the reference after every step.
struct Held {
    history: History,
    engine: Engine,
    kernel: Option<Ruleset>,
}

impl Held {
    fn new() -> Self {
        Self { history: History::default(), engine: History::engine(), kernel: None }
    }

    fn happen(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.history.happen(&event, &mut self.engine);
        }
        let compiled = self.history.compiled();
        self.kernel = Some(take(&mut self.engine, self.kernel.take(), &compiled).unwrap());
        check(&mut self.engine, &self.history, &compiled).unwrap();
    }

    fn remove_pod(&mut self, name: &str) {
        let key = ObjectKey::new("x", name);
        self.history.cluster.pods.remove(&key);
        self.engine.remove_pod(&key);
        self.happen([]);
    }

    fn allows(&self, from: &str, to: &str, protocol: u8, port: u16) -> bool {
        self.engine.allows(&Connection {
            source: address(from),
            destination: address(to),
            protocol,
            destination_port: Some(port),
            to_node: false,
        })
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn labels(key: &str, value: &str) -> Labels {
    [(key.into(), value.into())].into()
}

/// A pod with what stands in its spec and status.
fn pod(spec: &str, addresses: &[&str]) -> Box<Pod> {
    let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {spec}\n");
    let mut manifests = read(&[Source { name: "pod".into(), bytes: text.into() }], "x");
    assert_eq!(manifests.problems, []);
    let (_, pod) = manifests.pods.pop_first().unwrap();
    // Where pods were read is nothing that an engine keeps.
    Box::new(Pod { addresses: addresses.iter().copied().map(address).collect(), location: None, ..pod })
}

fn policy(spec: &str) -> Box<NetworkPolicy> {
    let text = format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p}}\nspec: {spec}\n"
    );
    let mut manifests = read(&[Source { name: "policy".into(), bytes: text.into() }], "x");
    assert_eq!(manifests.problems, []);
    Box::new(manifests.policies.pop_first().unwrap().1)
}

fn routed(number: usize, namespace: &str, interface: &str) -> Event {
    let interface = InterfaceName::new(interface).unwrap();
    Event::SetAttachment(number, namespace.into(), Some(Attachment::Routed(interface)))
}

/// The selection concerns the pod before and after; which of its ports it holds changes (S102).
#[test]
fn ports_by_name_follow_the_labels_of_their_pods_namespace() {
    let mut held = Held::new();
    let server = "{nodeName: node-2, containers: [{name: c, ports: [{name: http, containerPort: 8080}, \
                  {name: dns, containerPort: 5353, protocol: UDP}]}]}";
    held.happen([
        Event::SetNamespace("y".into(), labels("team", "a")),
        Event::SetPod(0, "x".into(), pod("{nodeName: node-1}", &["10.244.0.2", "fd00:10:244::2"])),
        routed(0, "x", "veth0"),
        Event::SetPod(0, "y".into(), pod(server, &["10.244.1.2", "fd00:10:244:1::2"])),
        Event::SetPolicy(
            0,
            "x".into(),
            policy(
                "{podSelector: {}, policyTypes: [Egress], egress: [\
                 {to: [{namespaceSelector: {matchLabels: {team: a}}}], ports: [{port: http}]}, \
                 {to: [{namespaceSelector: {matchLabels: {team: b}}}], ports: [{port: dns, protocol: UDP}]}]}",
            ),
        ),
    ]);
    let passing = |held: &Held| {
        let tried = [(6, 8080), (17, 5353), (17, 8080), (6, 5353), (6, 80)];
        let ipv4 = tried.map(|(protocol, port)| held.allows("10.244.0.2", "10.244.1.2", protocol, port));
        let ipv6 =
            tried.map(|(protocol, port)| held.allows("fd00:10:244::2", "fd00:10:244:1::2", protocol, port));
        assert_eq!(ipv4, ipv6);
        ipv4
    };
    let http = [true, false, false, false, false];
    let dns = [false, true, false, false, false];
    assert_eq!(passing(&held), http);
    for (team, expected) in [("b", dns), ("a", http), ("c", [false; 5]), ("b", dns)] {
        held.happen([Event::SetNamespace("y".into(), labels("team", team))]);
        assert_eq!(passing(&held), expected, "team {team}");
    }
}

/// Many pods report one address: it is that of the one that started last, whoever goes (S84).
#[test]
fn an_address_goes_from_owner_to_owner() {
    let mut held = Held::new();
    let report = |number: usize| {
        let mut pod = pod("{nodeName: node-1}", &["10.244.0.9"]);
        pod.started = format!("2026-01-0{}T00:00:00Z", 1 + number).into();
        pod.labels = labels("number", &number.to_string());
        Event::SetPod(number, "x".into(), pod)
    };
    held.happen((0..5).map(|number| routed(number, "x", &format!("veth{number}"))));
    held.happen((0..4).flat_map(|number| {
        let selects = format!("{{podSelector: {{matchLabels: {{number: '{number}'}}}}}}");
        let from = format!("{{podSelector: {{}}, ingress: [{{from: [{selects}]}}]}}");
        [report(number), Event::SetPolicy(number, "x".into(), policy(&from))]
    }));
    held.happen([report(4)]);
    let owner = |held: &Held| held.engine.owner(address("10.244.0.9")).map(|key| key.to_string());
    // The newest goes, then one that is not the owner, and so on.
    for (gone, left) in
        [(4, Some("x/pod-3")), (1, Some("x/pod-3")), (3, Some("x/pod-2")), (2, Some("x/pod-0")), (0, None)]
    {
        held.remove_pod(&format!("pod-{gone}"));
        assert_eq!(owner(&held).as_deref(), left, "without pod-{gone}");
    }
}

/// Through a Service, a pod may come to another of its own addresses: that is itself (S73).
#[test]
fn between_a_pods_own_addresses_nothing_is_asked() {
    let mut held = Held::new();
    held.happen([
        Event::SetPod(0, "x".into(), pod("{nodeName: node-1}", &["10.244.0.2", "10.244.0.3"])),
        Event::SetPod(1, "x".into(), pod("{nodeName: node-1}", &["10.244.0.4"])),
        routed(0, "x", "veth0"),
        routed(1, "x", "veth1"),
        Event::SetPolicy(0, "x".into(), policy("{podSelector: {}, policyTypes: [Ingress, Egress]}")),
    ]);
    assert!(held.allows("10.244.0.2", "10.244.0.3", 6, 80));
    assert!(!held.allows("10.244.0.2", "10.244.0.4", 6, 80));
    assert!(!held.allows("10.244.0.4", "10.244.0.3", 6, 80));
}

/// All audited namespaces at once, as whoever reads them from one place says it.
#[test]
fn namespaces_are_audited_and_enforced_again() {
    let mut engine = History::engine();
    for names in [&["x", "y"][..], &["y", "z"], &[]] {
        let names = names.iter().map(|name| Arc::from(*name)).collect();
        engine.set_audited_namespaces(&names);
        engine.take_changes();
        assert_eq!(engine.cluster().audited_namespaces, names);
    }
}

/// What is said of a packet that was logged: the part of the cluster around its ends says of it what the whole says, with
/// the policies that are only audited.
#[test]
fn around_two_addresses_is_what_decides_between_them() {
    let mut held = Held::new();
    held.happen([
        Event::SetNamespace("y".into(), labels("team", "a")),
        Event::SetPod(0, "x".into(), pod("{nodeName: node-1}", &["10.244.0.2"])),
        routed(0, "x", "veth0"),
        Event::SetPod(1, "y".into(), pod("{nodeName: node-2}", &["10.244.1.2"])),
        Event::SetPod(2, "y".into(), pod("{nodeName: node-2}", &["10.244.1.3"])),
        Event::SetPolicy(0, "x".into(), policy("{podSelector: {}, policyTypes: [Ingress, Egress]}")),
        Event::SetPolicy(0, "y".into(), policy("{podSelector: {}}")),
    ]);
    let is_local = |key: (&str, &str)| held.engine.is_local(&ObjectKey::new(key.0, key.1));
    assert_eq!([("x", "pod-0"), ("y", "pod-1"), ("x", "gone")].map(is_local), [true, false, false]);
    for mode in [Mode::Audit, Mode::Enforce] {
        held.happen([Event::SetNamespaceMode("x".into(), mode)]);
        let around = held.engine.around([address("10.244.0.2"), address("10.244.1.2")]);
        assert_eq!(around.pods.len(), 2, "the third pod does not matter");
        let key = ObjectKey::new("x", "policy-0");
        assert_eq!(around.mode(&key, &around.policies[&key]), mode);
        let near = || Endpoint::Pod { pod: ObjectKey::new("x", "pod-0"), address: address("10.244.0.2") };
        let far = || Endpoint::Pod { pod: ObjectKey::new("y", "pod-1"), address: address("10.244.1.2") };
        for (from, to) in [(near(), far()), (far(), near())] {
            let flow = Flow { from, to, transport: Transport::Port(Protocol::Tcp, 80) };
            assert_eq!(evaluate(&around, &flow), evaluate(&held.history.cluster, &flow));
        }
    }
}

/// What is gone leaves nothing behind in the engine, however often something comes and goes: an agent runs for months.
#[test]
fn what_is_gone_leaves_nothing_behind() {
    let mut engine = History::engine();
    let mut sizes = Vec::new();
    for round in 0..9 {
        let name: Arc<str> = format!("namespace-{round}").into();
        let key = |what: &str| ObjectKey::new(name.clone(), format!("{what}-{round}"));
        let spec = format!(
            "{{nodeName: node-{round}, containers: [{{name: c, ports: [{{name: http-{round}, containerPort: 800{round}}}]}}]}}"
        );
        let here = format!("{{podSelector: {{matchLabels: {{round: '{round}'}}}}}}");
        let all = format!(
            "{{podSelector: {{}}, policyTypes: [Ingress, Egress], ingress: [{{from: [{here}]}}], \
             egress: [{{to: [{here}], ports: [{{port: http-{round}}}]}}]}}"
        );
        engine.set_namespace(name.clone(), labels("round", &round.to_string()));
        for (what, last) in [("local", 2), ("remote", 3), ("twin", 3)] {
            let spec = if what == "local" { "{nodeName: node-1}" } else { &spec };
            let mut pod = *pod(spec, &[&format!("10.244.{round}.{last}")]);
            pod.labels = labels("round", &round.to_string());
            engine.set_pod(key(what), pod);
        }
        let veth = InterfaceName::new(&format!("veth{round}")).unwrap();
        engine.set_attachment(key("local"), Some(Attachment::Routed(veth)));
        engine.set_policy(key("policy"), *policy(&all));
        assert!(!engine.take_changes().is_empty());
        engine.remove_policy(&key("policy"));
        engine.set_attachment(key("local"), None);
        ["local", "remote", "twin"].iter().for_each(|what| engine.remove_pod(&key(what)));
        engine.remove_namespace(&name);
        engine.take_changes();
        let mut text = String::new();
        write!(text, "{engine:?}").unwrap();
        sizes.push(text.len());
    }
    assert!(sizes[1..].iter().all(|size| *size == sizes[1]), "{sizes:?}");
}
