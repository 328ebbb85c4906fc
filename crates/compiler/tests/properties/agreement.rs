//! The compiled ruleset, interpreted, says what the reading of the specification says: for any cluster, any
//! connection, and pods with and without an interface of their own.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::IpAddr;

use podwall_compiler::FlowLog;
use podwall_policy::{Cluster, Decision, Exemption, Flow, ObjectKey, Verdict as ReadingVerdict, evaluate};
use podwall_ruleset::{CtState, Verdict};
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
    let flow_log = prop::option::weighted(0.7, any::<bool>());
    let (judged, denied, audited) = (Cell::new(0u64), Cell::new(0u64), Cell::new(0u64));
    let cases_of = (cluster(), seeds, without_interface, flow_log);
    let result = runner.run(&cases_of, |(cluster, seeds, without_interface, flow_log)| {
        let pods = cluster.pods.keys().zip(&without_interface);
        let without_interface: BTreeSet<ObjectKey> =
            pods.filter(|(_, without)| **without).map(|(key, _)| key.clone()).collect();
        let flow_log = flow_log.map(|allowed| FlowLog { group: 1, allowed });
        let nodes = Nodes::compile(&cluster, &without_interface, flow_log);
        let logs = flow_log.map(|log| Logs::of(&nodes, &cluster, log));
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
            if let Some(logs) = &logs {
                let is_audited = logs.check(&cluster, &flow, &decision).map_err(TestCaseError::fail)?;
                audited.set(audited.get() + u64::from(is_audited));
            }
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
    let audited = audited.get();
    println!("{} connections judged in {cases} clusters, {share} % denied, {audited} audited", judged.get());
    assert!(audited * 200 > judged.get(), "hardly anything is audited");
    assert!((20..=80).contains(&share), "the generator has lost its balance: {share} % denied");
}

/// The flow log: nodes on which what it logs is dropped, or let pass.
struct Logs {
    enforced: Cluster,
    denied_pass: Nodes,
    audited_drop: Nodes,
    allowed_drop: Option<Nodes>,
}

impl Logs {
    fn of(nodes: &Nodes, cluster: &Cluster, log: FlowLog) -> Self {
        Self {
            enforced: cluster.with_all_enforced(),
            denied_pass: nodes.with_logs_as("denied", &Verdict::Accept),
            audited_drop: nodes.with_logs_as("audit", &Verdict::Drop),
            allowed_drop: log.allowed.then(|| nodes.with_logs_as("allowed", &Verdict::Drop)),
        }
    }

    /// Whether the connection is one that policies in audit mode would deny; `Err` says what is logged that should not
    /// be, or not logged that should be.
    fn check(&self, cluster: &Cluster, flow: &Flow, decision: &Decision) -> Result<bool, String> {
        let fault = |what: &str| Err(format!("{what}: {flow:#?}\n{decision:#?}"));
        if !self.denied_pass.pass(cluster, flow) {
            return fault("dropped without being logged");
        }
        let is_audited = decision.allowed() && !evaluate(&self.enforced, flow).allowed();
        if self.audited_drop.pass(cluster, flow) != (decision.allowed() && !is_audited) {
            return fault(if is_audited { "not logged as audited" } else { "logged as audited" });
        }
        let exempt = |exemption| decision.ingress == ReadingVerdict::Exempt(exemption);
        let seen = decision.allowed() && !exempt(Exemption::OwnNode) && !exempt(Exemption::Itself);
        if seen && self.allowed_drop.as_ref().is_some_and(|nodes| nodes.pass(cluster, flow)) {
            return fault("not logged as allowed");
        }
        Ok(is_audited)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// A pod sends from the addresses that it owns, and from no other pod's, node's or outside host's.
    #[test]
    fn a_pod_sends_from_its_own_addresses_only(cluster in cluster()) {
        let nodes = Nodes::compile(&cluster, &BTreeSet::new(), None);
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
