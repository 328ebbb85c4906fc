//! The path does not matter: whatever states came before, the kernel ends where a fresh start would, and no
//! transaction on the way is one that the kernel would refuse.

use std::collections::BTreeMap;

use podwall_compiler::{Attachment, Closed, NodeOptions, NodeState, compile};
use podwall_policy::{Cluster, ObjectKey};
use podwall_ruleset::{InterfaceName, Known, Operation, Ruleset, diff};
use proptest::prelude::*;

use crate::cluster::cluster;
use crate::kernel::apply;

fn compiled(cluster: &Cluster) -> Ruleset {
    let name = |key: &ObjectKey| InterfaceName::new(&format!("veth-{}", key.name)).unwrap();
    let local = cluster.pods.keys().filter(|key| !key.name.ends_with('0'));
    let attach = |key: &ObjectKey| match key.name.ends_with(['1', '4']) {
        true => Attachment::Bridged { port: name(key), hardware_address: None },
        false => Attachment::Routed(name(key)),
    };
    let attachments: BTreeMap<ObjectKey, Attachment> = local.map(|key| (key.clone(), attach(key))).collect();
    let options = NodeOptions::default();
    compile(NodeState {
        cluster,
        node: "node-1",
        attachments: &attachments,
        closed: &Closed::default(),
        options: &options,
    })
    .ruleset
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_states_ends_where_a_fresh_start_would(states in prop::collection::vec(cluster(), 1..5)) {
        let rulesets: Vec<Ruleset> = states.iter().map(compiled).collect();
        let empty = compiled(&Cluster::default());
        let forward = rulesets.iter().collect::<Vec<_>>();
        let reversed = rulesets.iter().rev().collect::<Vec<_>>();
        let with_emptying: Vec<&Ruleset> = rulesets.iter().flat_map(|it| [&empty, it]).collect();
        let squashed: Vec<&Ruleset> = rulesets.first().into_iter().chain(rulesets.last()).collect();
        for path in [forward, reversed, with_emptying, squashed] {
            let mut kernel = Ruleset::default();
            for (index, desired) in path.into_iter().enumerate() {
                let known = if index == 0 { Known::Unknown } else { Known::Exactly(kernel.clone()) };
                kernel = apply(&kernel, &diff(&known, desired)).map_err(TestCaseError::fail)?;
                prop_assert_eq!(&kernel, desired);
            }
            prop_assert!(diff(&Known::Exactly(kernel.clone()), &kernel).is_empty(), "the same state asks for nothing");
        }
    }

    #[test]
    fn objects_in_any_order_give_the_same_text(state in cluster()) {
        let mut rebuilt = Cluster { policies: Default::default(), pods: Default::default(), ..state.clone() };
        rebuilt.policies.extend(state.policies.clone().into_iter().rev());
        rebuilt.pods.extend(state.pods.clone().into_iter().rev());
        prop_assert_eq!(compiled(&state).to_string(), compiled(&rebuilt).to_string());
    }

    /// A pod that moves, comes or goes changes elements; chains and rules stay (unless it was the only one that
    /// needed them).
    #[test]
    fn peers_that_move_touch_elements_only(state in cluster(), moved in any::<prop::sample::Index>()) {
        let mut after = state.clone();
        let key = moved.get(&state.pods.keys().cloned().collect::<Vec<_>>()).clone();
        let pod = after.pods.get_mut(&key).unwrap();
        prop_assume!(pod.node.as_deref() != Some("node-1"));
        // An address that it leaves to a local pod would change what that pod may send from.
        let left: Vec<_> = pod.addresses.clone();
        prop_assume!(state.pods.iter().all(|(it, pod)| *it == key || !pod.addresses.iter().any(|address| left.contains(address))));
        pod.addresses = vec!["10.244.1.200".parse().unwrap(), "fd00:10:244::200".parse().unwrap()];
        let transaction = diff(&Known::Exactly(compiled(&state)), &compiled(&after));
        let elements_only = |it: &Operation| {
            matches!(it, Operation::AddElements { .. } | Operation::DeleteElements { .. })
        };
        prop_assert!(transaction.operations.iter().all(elements_only), "{:?}", transaction);
    }
}
