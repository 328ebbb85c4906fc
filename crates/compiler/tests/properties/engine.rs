//! The engine ends where the reference does, whatever happened before and whenever the kernel was told.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::IpAddr;

use podwall_compiler::{Attachment, Compiled, Connection, Engine};
use podwall_policy::Mode;
use podwall_ruleset::{Hook, InterfaceName, Known, Operation, Packet, Ruleset, Transaction, diff, judge};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestRunner};

use crate::event::{Event, History, event};
use crate::kernel::apply;

/// How many sequences are tried; `PROPTEST_CASES` overrides it.
const SEQUENCES: u32 = 400;
const EVENTS_PER_SEQUENCE: usize = 50;

/// Connections by the numbers of their ends and port.
type ConnectionSeeds = Vec<(u8, u8, u8, bool, bool)>;

#[test]
fn whatever_happens_the_engine_ends_where_the_reference_does() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let cases = number("PROPTEST_CASES").unwrap_or(SEQUENCES);
    let failure_persistence =
        Some(Box::new(FileFailurePersistence::Direct("tests/properties/engine.regressions")) as Box<_>);
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        failure_persistence,
        max_shrink_iters: number("PROPTEST_MAX_SHRINK_ITERS").unwrap_or(20_000),
        ..ProptestConfig::default()
    });
    let events = prop::collection::vec(event(), 1..2 * EVENTS_PER_SEQUENCE);
    let ends = || 0u8..10;
    let seeds = prop::collection::vec((ends(), ends(), 0u8..8, any::<bool>(), prop::bool::weighted(0.2)), 8);
    let (happened, judged, denied) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let result = runner.run(&(events, seeds), |(events, seeds)| {
        let mut history = History::default();
        let mut engine = History::engine();
        let mut kernel = None;
        for event in events.iter().chain([&Event::Take]) {
            happened.set(happened.get() + 1);
            if matches!(event, Event::Look) {
                check(&mut engine, &history, &history.compiled())?;
            }
            if history.happen(event, &mut engine) {
                let compiled = history.compiled();
                kernel = Some(take(&mut engine, kernel, &compiled)?);
                check(&mut engine, &history, &compiled)?;
                for connection in connections(&seeds) {
                    let expected = passes(&history, &compiled.ruleset, &connection);
                    prop_assert_eq!(engine.allows(&connection), expected, "{:?}", connection);
                    judged.set(judged.get() + 1);
                    denied.set(denied.get() + u32::from(!expected));
                }
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let (judged, denied) = (judged.get(), denied.get());
    println!("{} events in {cases} sequences, {judged} connections judged, {denied} denied", happened.get());
    assert!((judged / 10..judged).contains(&denied), "the generator has lost its balance");
}

/// Takes the changes, holds them to the difference, and applies them. What the kernel has then.
pub fn take(
    engine: &mut Engine,
    kernel: Option<Ruleset>,
    compiled: &Compiled,
) -> Result<Ruleset, TestCaseError> {
    let transaction = engine.take_changes();
    let (known, kernel) = match kernel {
        Some(kernel) => (Known::Exactly(kernel.clone()), kernel),
        None => (Known::Unknown, Ruleset::default()),
    };
    prop_assert_eq!(sorted(&transaction), sorted(&diff(&known, &compiled.ruleset)));
    let kernel = apply(&kernel, &transaction).map_err(TestCaseError::fail)?;
    prop_assert_eq!(&kernel, &compiled.ruleset);
    prop_assert!(engine.take_changes().is_empty(), "nothing has happened since");
    Ok(kernel)
}

/// Operations without their order, which is for the kernel to judge.
fn sorted(transaction: &Transaction) -> Vec<String> {
    let mut all: Vec<String> = transaction.operations.iter().map(|it| format!("{it:?}")).collect();
    all.sort();
    all
}

pub fn check(engine: &mut Engine, history: &History, compiled: &Compiled) -> Result<(), TestCaseError> {
    prop_assert_eq!(&engine.ruleset(), &compiled.ruleset);
    prop_assert_eq!(&engine.problems(), &compiled.problems);
    let cluster = &history.cluster;
    prop_assert_eq!(&engine.cluster(), cluster);
    prop_assert_eq!(engine.pod_keys().collect::<BTreeSet<_>>(), cluster.pods.keys().cloned().collect());
    prop_assert_eq!(
        engine.policy_keys().collect::<BTreeSet<_>>(),
        cluster.policies.keys().cloned().collect()
    );
    prop_assert_eq!(
        engine.namespace_names().collect::<BTreeSet<_>>(),
        cluster.namespaces.keys().cloned().collect()
    );
    let counts = engine.counts();
    let tables = || compiled.ruleset.tables.values();
    let sets = || tables().flat_map(|table| table.sets.values());
    let chains = || tables().flat_map(|table| table.chains.values());
    prop_assert_eq!(counts.tables, tables().count());
    prop_assert_eq!(counts.sets, sets().count());
    prop_assert_eq!(counts.elements, sets().map(|set| set.elements.len()).sum::<usize>());
    prop_assert_eq!(counts.chains, chains().count());
    prop_assert_eq!(counts.rules, chains().map(|chain| chain.rules.len()).sum::<usize>());
    prop_assert_eq!(counts.pods, cluster.pods.len());
    prop_assert_eq!(counts.namespaces, cluster.namespaces.len());
    prop_assert_eq!(counts.policies, cluster.policies.len());
    prop_assert_eq!(counts.local_pods, history.local_pods().len());
    let audited = cluster.policies.iter().filter(|(key, it)| cluster.mode(key, it) == Mode::Audit);
    prop_assert_eq!(engine.audited_policies(), audited.map(|(key, _)| key.clone()).collect::<Vec<_>>());
    let local = engine.local_pods();
    prop_assert_eq!(local.iter().map(|pod| &pod.key).collect::<Vec<_>>(), history.local_pods());
    for pod in &local {
        let isolated = [&pod.ingress, &pod.egress].into_iter().flatten();
        prop_assert_eq!(isolated.clone().count() == 0, pod.policies.is_empty());
        let tables = &compiled.ruleset.tables[&podwall_compiler::table_id()];
        prop_assert!(isolated.into_iter().all(|chain| tables.chains.contains_key(chain)));
    }
    Ok(())
}

fn connections(seeds: &ConnectionSeeds) -> impl Iterator<Item = Connection> {
    seeds.iter().map(|(from, to, port, ipv4, to_node)| {
        let address = |number: &u8| -> IpAddr {
            let text = if *ipv4 {
                format!("10.244.0.{}", 2 + number)
            } else {
                format!("fd00:10:244::{}", 2 + number)
            };
            text.parse().unwrap()
        };
        Connection {
            source: address(from),
            destination: address(to),
            protocol: [6, 6, 17, 132, 1][usize::from(*port) % 5],
            destination_port: (*port % 5 != 4)
                .then_some([80, 53, 81, 8080, 0, 79, 80, 65535][usize::from(*port)]),
            to_node: *to_node,
        }
    })
}

/// What the compiled ruleset says of a connection.
fn passes(history: &History, ruleset: &Ruleset, connection: &Connection) -> bool {
    let owners = history.cluster.address_owners();
    let interface = |address: &IpAddr| match owners.get(address).and_then(|key| history.attachments.get(*key))
    {
        Some(Attachment::Routed(interface)) => interface.clone(),
        _ => InterfaceName::new("other").unwrap(),
    };
    let (from, to) = (interface(&connection.source), interface(&connection.destination));
    let packet = Packet {
        hook: if connection.to_node { Hook::Input } else { Hook::Forward },
        input_interface: Some(from.clone()),
        output_interface: (!connection.to_node).then(|| to.clone()),
        source: connection.source,
        destination: connection.destination,
        protocol: connection.protocol,
        source_port: Some(0),
        destination_port: connection.destination_port,
        icmpv6_type: None,
        mark: 0,
        translated: connection.source == connection.destination
            || (from == to && from != InterfaceName::new("other").unwrap()),
        state: None,
    };
    judge(ruleset, &packet)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// What was written as a whole is not written again.
    #[test]
    fn forgotten_changes_are_known_to_the_kernel(
        before in prop::collection::vec(event(), 1..60),
        after in prop::collection::vec(event(), 1..20),
    ) {
        let (mut history, mut engine) = (History::default(), History::engine());
        before.iter().for_each(|event| { history.happen(event, &mut engine); });
        let kernel = engine.ruleset();
        engine.forget_changes();
        prop_assert!(engine.take_changes().is_empty());
        after.iter().for_each(|event| { history.happen(event, &mut engine); });
        take(&mut engine, Some(kernel), &history.compiled())?;
    }

    /// A remote pod that comes, goes or changes moves plain elements and nothing else.
    #[test]
    fn a_remote_pod_moves_elements_only(
        before in prop::collection::vec(event(), 1..60),
        labels in crate::cluster::labels(),
    ) {
        let (mut history, mut engine) = (History::default(), History::engine());
        before.iter().for_each(|event| { history.happen(event, &mut engine); });
        engine.forget_changes();
        let pod = podwall_policy::Pod {
            labels,
            node: Some("node-2".into()),
            addresses: crate::cluster::addresses(200, 3),
            host_network: false,
            finished: false,
            terminating: false,
            started: "".into(),
            ports: Vec::new(),
            anti_spoofing: None,
            location: None,
        };
        let key = podwall_policy::ObjectKey::new("x", "remote");
        engine.set_pod(key.clone(), pod);
        let came = engine.take_changes().operations;
        let plain = |it: &Operation| matches!(it, Operation::AddElements { elements, .. } if elements.len() == 1);
        prop_assert!(came.iter().all(plain), "{:?}", came);
        engine.remove_pod(&key);
        let went = engine.take_changes().operations;
        let plain = |it: &Operation| matches!(it, Operation::DeleteElements { keys, .. } if keys.len() == 1);
        prop_assert!(went.len() == came.len() && went.iter().all(plain), "{:?}", went);
    }
}
