//! Generated clusters and connections, many: the compiled ruleset, interpreted, against the specification. What fails
//! is shrunk, and shown with the ruleset.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::thread;

use podwall_policy::{Cluster, ObjectKey, evaluate};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::cluster::{FlowSeed, cluster, flow, flow_seed};
use crate::figures::Figures;
use crate::way::Nodes;

const THREADS: u32 = 2;

pub fn judge(clusters: u32, connections: usize, seed: u64) -> Figures {
    let mut figures = Figures::new("generated, interpreted");
    thread::scope(|scope| {
        let share = |index| scope.spawn(move || judge_share(clusters / THREADS, connections, seed, index));
        let threads: Vec<_> = (0..THREADS).map(share).collect();
        threads.into_iter().for_each(|it| figures.add(it.join().expect("a mismatch is no panic")));
    });
    figures.finish_balanced()
}

fn judge_share(clusters: u32, connections: usize, seed: u64, index: u32) -> Figures {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..12].copy_from_slice(&index.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = ProptestConfig { cases: clusters, failure_persistence: None, ..ProptestConfig::default() };
    let seeds = prop::collection::vec(flow_seed(), connections);
    let without_interface = prop::collection::vec(prop::bool::weighted(0.2), 9);
    let figures = RefCell::new(Figures::new(""));
    let result = TestRunner::new_with_rng(config, rng).run(
        &(cluster(), seeds, without_interface),
        |(cluster, seeds, without_interface)| {
            let pods = cluster.pods.keys().zip(&without_interface).filter(|(_, without)| **without);
            let without_interface = pods.map(|(key, _)| key.clone()).collect();
            judge_cluster(&mut figures.borrow_mut(), &cluster, &without_interface, &seeds)
        },
    );
    let mut figures = figures.into_inner();
    figures.mismatches.extend(result.err().map(|error| error.to_string()));
    figures
}

fn judge_cluster(
    figures: &mut Figures,
    cluster: &Cluster,
    without_interface: &BTreeSet<ObjectKey>,
    seeds: &[FlowSeed],
) -> Result<(), TestCaseError> {
    let nodes = Nodes::compile(cluster, without_interface, None);
    figures.cases += 1;
    nodes.rulesets().for_each(|ruleset| figures.count_programs(ruleset));
    for flow in seeds.iter().filter_map(|seed| flow(cluster, seed)) {
        let decision = evaluate(cluster, &flow);
        let rulesets = || nodes.rulesets().map(ToString::to_string).collect::<String>();
        let passes = nodes.pass(cluster, &flow);
        prop_assert_eq!(passes, decision.allowed(), "{:#?}\n{:#?}\n{}", flow, decision, rulesets());
        figures.count_probe(decision.allowed());
    }
    Ok(())
}
