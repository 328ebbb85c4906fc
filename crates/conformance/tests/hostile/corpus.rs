//! Bytes that are to be manifests.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use podwall_compiler::{Attachment, Closed, NodeOptions, NodeState, compile};
use podwall_conformance::damage::damage_text;
use podwall_conformance::{Random, cases};
use podwall_ruleset::InterfaceName;

use crate::{budget, cluster, manifests};

/// How large a text may grow.
const LIMIT: usize = 16_384;

/// The files of the corpus and some of the cases.
fn texts() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/manifests");
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 8, "the corpus is gone");
    let files = files.iter().map(|file| fs::read(file).unwrap());
    let policies = cases().into_iter().step_by(29).map(|case| {
        let state = &case.states()[0];
        state
            .objects()
            .filter(|it| it["kind"] == "NetworkPolicy")
            .map(|it| format!("{it}\n---\n"))
            .collect::<String>()
    });
    files.chain(policies.map(String::into_bytes)).collect()
}

/// From bytes to text for nft, and back to a panic if there is one.
fn run(bytes: &[u8]) -> Result<(), String> {
    let way = || {
        let manifests = manifests(bytes.to_vec());
        // Every problem is printed to somebody.
        let said: usize = manifests.problems.iter().map(|problem| problem.to_string().len()).sum();
        let cluster = cluster(&manifests);
        let interface = |index: usize| InterfaceName::new(&format!("veth{index}")).unwrap();
        let attachments = cluster
            .pods
            .keys()
            .enumerate()
            .map(|(index, key)| (key.clone(), Attachment::Routed(interface(index))))
            .collect();
        let options = NodeOptions::default();
        let closed = Closed::default();
        let node = cluster.nodes.keys().next().cloned().unwrap_or_default();
        let state = NodeState {
            cluster: &cluster,
            node: &node,
            attachments: &attachments,
            closed: &closed,
            options: &options,
        };
        said + compile(state).ruleset.to_string().len()
    };
    let shown = || format!("{:?}", String::from_utf8_lossy(bytes));
    catch_unwind(AssertUnwindSafe(way)).map(drop).map_err(|_| format!("a panic for {}", shown()))
}

#[test]
fn the_corpus_is_read_without_a_panic() {
    let failed: Vec<String> = texts().iter().filter_map(|text| run(text).err()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn damaged_text_is_read_without_a_panic() {
    let (until, mut random) = budget();
    let texts = texts();
    let mut tried = 0_u64;
    while Instant::now() < until {
        let mut text = random.pick(&texts).clone();
        let other: &Vec<u8> = random.pick(&texts);
        damage_some(&mut text, other, &mut random);
        run(&text).unwrap_or_else(|message| panic!("after {tried} texts: {message}"));
        tried += 1;
    }
    println!("{tried} damaged texts");
    assert!(tried > 100, "only {tried} texts in time");
}

fn damage_some(text: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..=random.below(4) {
        damage_text(text, other, random);
    }
    text.truncate(LIMIT);
}
