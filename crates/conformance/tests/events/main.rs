//! The path does not matter, event by event: in whatever order things come, however many are taken at once, with
//! all of it gone in between or not, the engine ends where a compile from scratch does, and its changes turn what
//! the kernel held into that. Here the kernel is values, with its refusals, and what fails is shrunk; in `kernel_path`
//! it is the real one.

#[path = "../../../compiler/tests/properties/cluster.rs"]
#[allow(dead_code)] // the connections: the agreement's business
mod cluster;
#[path = "../../../compiler/tests/properties/kernel.rs"]
mod kernel;
mod walk;

use podwall_compiler::Engine;
use podwall_conformance::Random;
use podwall_policy::Cluster;
use podwall_ruleset::Ruleset;
use proptest::prelude::*;

use cluster::cluster;
use kernel::apply;
use walk::{engine, from_scratch, go, without_nodes};

fn commit(engine: &mut Engine, kernel: &mut Ruleset) -> Result<(), String> {
    let after = apply(kernel, &engine.take_changes())?;
    *kernel = after;
    if *kernel == engine.ruleset() {
        Ok(())
    } else {
        Err("the kernel holds something else than the engine".into())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_events_ends_where_a_compile_from_scratch_does(
        before in cluster(), after in cluster(), seed in any::<u64>(), emptied in any::<bool>(),
    ) {
        let nothing = Cluster::default();
        let [before, after] = [before, after].map(without_nodes);
        let (mut engine, mut random, mut kernel) = (engine(), Random(seed), Ruleset::default());
        let stops = if emptied { vec![&nothing, &before, &nothing, &after] } else { vec![&nothing, &before, &after] };
        for pair in stops.windows(2) {
            let walked = go(&mut engine, pair[0], pair[1], &mut random, &mut |engine| commit(engine, &mut kernel));
            walked.map_err(TestCaseError::fail)?;
            prop_assert_eq!(&kernel, &from_scratch(pair[1]));
        }
        prop_assert!(engine.take_changes().is_empty(), "the same state asks for nothing");
    }
}
