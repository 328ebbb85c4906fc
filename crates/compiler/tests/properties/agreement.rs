//! The compiled ruleset, interpreted, says what the reading of the specification says: for any cluster, any
//! connection, and pods with and without an interface of their own.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::IpAddr;

use podwall_policy::{ObjectKey, evaluate};
use podwall_ruleset::CtState;
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestRunner};

use crate::cluster::{cluster, flow, flow_seed};
use crate::way::{Nodes, REVOKED};

/// How many clusters are tried; `PROPTEST_CASES` overrides it.
const CLUSTERS: u32 = 10_000;
const CONNECTIONS_PER_CLUSTER: usize = 60;

#[test]
fn the_ruleset_says_what_the_specification_says() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CLUSTERS);
    let failure_persistence =
        Some(Box::new(FileFailurePersistence::Direct("tests/properties/agreement.regressions")) as Box<_>);
    let mut runner =
        TestRunner::new(ProptestConfig { cases, failure_persistence, ..ProptestConfig::default() });
    let seeds = prop::collection::vec(flow_seed(), CONNECTIONS_PER_CLUSTER);
    let without_interface = prop::collection::vec(prop::bool::weighted(0.2), 9);
    let (judged, denied) = (Cell::new(0u64), Cell::new(0u64));
    let result = runner.run(&(cluster(), seeds, without_interface), |(cluster, seeds, without_interface)| {
        let pods = cluster.pods.keys().zip(&without_interface);
        let without_interface: BTreeSet<ObjectKey> =
            pods.filter(|(_, without)| **without).map(|(key, _)| key.clone()).collect();
        let nodes = Nodes::compile(&cluster, &without_interface);
        for flow in seeds.iter().filter_map(|seed| flow(&cluster, seed)) {
            let decision = evaluate(&cluster, &flow);
            let rulesets = || nodes.rulesets().map(ToString::to_string).collect::<String>();
            prop_assert_eq!(
                nodes.pass(&cluster, &flow),
                decision.allowed(),
                "{:#?}\n{:#?}\n{}",
                flow,
                decision,
                rulesets()
            );
            let established = |mark| nodes.pass_with(&cluster, &flow, Some(CtState::Established), mark);
            prop_assert!(established(!REVOKED), "established, and dropped: {:#?}\n{}", flow, rulesets());
            prop_assert!(!established(REVOKED), "revoked, and passed: {:#?}\n{}", flow, rulesets());
            judged.set(judged.get() + 1);
            denied.set(denied.get() + u64::from(!decision.allowed()));
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let share = denied.get() * 100 / judged.get().max(1);
    println!("{} connections judged in {cases} clusters, {share} % denied", judged.get());
    assert!((20..=80).contains(&share), "the generator has lost its balance: {share} % denied");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// A pod sends from the addresses that it owns, and from no other pod's, node's or outside host's.
    #[test]
    fn a_pod_sends_from_its_own_addresses_only(cluster in cluster()) {
        let nodes = Nodes::compile(&cluster, &BTreeSet::new());
        let owners = cluster.address_owners();
        let elsewhere = ["172.18.0.10", "203.0.113.98", "169.254.1.1", "2001:db8::98", "fe80::1"];
        let addresses: Vec<IpAddr> =
            owners.keys().copied().chain(elsewhere.iter().map(|it| it.parse().unwrap())).collect();
        for (key, pod) in cluster.pods.iter().filter(|(_, pod)| pod.takes_part() && !pod.addresses.is_empty()) {
            for address in &addresses {
                let own = owners.get(address) == Some(&key);
                prop_assert_eq!(nodes.may_send_from(&cluster, key, *address), own, "{} {} {:?}", key, address, pod);
            }
        }
    }
}
