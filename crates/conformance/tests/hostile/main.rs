//! What nobody should have written: nothing of it makes us panic, and nothing that is not understood is open.
//!
//! ```text
//! bytes, from the corpus and damaged   ─► read, compile, print, judge: no panic
//! policies, damaged in one place       ─► the same, and if it was complained of, nothing is open that was closed
//! ```
//!
//! Some seconds in `cargo test`; `FUZZ_SECONDS` makes it longer, `PODWALL_SEED` makes it different. What makes it
//! fail is printed with its bytes: put it into the corpus, where it stays.

mod corpus;
mod never_open;
#[path = "../../../compiler/tests/properties/way.rs"]
#[allow(dead_code)] // forged sources: the properties' business
mod way;

use std::time::{Duration, Instant};

use podwall_conformance::Random;
use podwall_policy::read::{Manifests, Source, read};
use podwall_policy::{Cluster, PlacementOptions, place};

/// How long each suite runs, and how its chance begins.
fn budget() -> (Instant, Random) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let until = Instant::now() + Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(3));
    (until, Random(number("PODWALL_SEED").unwrap_or(1)))
}

fn manifests(bytes: Vec<u8>) -> Manifests {
    read(&[Source { name: "hostile.yaml".into(), bytes }], "default")
}

fn cluster(manifests: &Manifests) -> Cluster {
    place(manifests, &PlacementOptions { node_count: 2, ipv4: true, ipv6: true }, None)
}
