//! Random changes while random things go wrong.

use std::time::Duration;

use super::fake_api::object::object;
use super::fake_api::{Fault, Manners, PLURALS};
use super::{SOON, Scene};

/// `WATCH_SEED=N` tries that one alone.
#[tokio::test]
async fn random_changes_with_random_faults() {
    let seeds = match std::env::var("WATCH_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=16).collect(),
    };
    futures::future::join_all(seeds.into_iter().map(wander)).await;
}

async fn wander(seed: u64) {
    println!("WATCH_SEED={seed}");
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut pick = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % below
    };
    let manners = Manners {
        streaming_lists: pick(2) == 0,
        gone_as_status: pick(2) == 0,
        bookmark_interval: Duration::from_millis(60),
        ..Manners::default()
    };
    let mut scene = Scene::new(manners, &[]).await;
    for step in 0..60 {
        for _ in 0..pick(6) {
            let (plural, name) = (PLURALS[pick(3)], format!("o{}", pick(12)));
            let object = object(plural, &name, &format!("step{step}"));
            scene.api.set(plural, &name, Some(object).filter(|_| pick(3) > 0));
        }
        let fault = match pick(24) {
            0 => Fault::Status([410, 429, 500, 503, 504][pick(5)], None),
            1 => Fault::Truncated(pick(3000)),
            2 => Fault::Reset(pick(3000)),
            3 => Fault::HangBeforeHeaders,
            4 => Fault::HangAfter(pick(3000)),
            5 => Fault::Dribble,
            6 => Fault::StreamError([410, 500][pick(2)]),
            7 => Fault::Malformed,
            8 => Fault::Repeated,
            9 => {
                scene.api.compact();
                continue;
            }
            _ => {
                scene.listen(10).await;
                continue;
            }
        };
        scene.api.fail(PLURALS[pick(3)], fault);
        scene.listen(pick(80) as u64).await;
    }
    // What is still to go wrong does.
    scene.view.converge(&scene.api, &mut scene.events, 3 * SOON).await;
    assert!(scene.api.requests("") < 1000, "{} requests", scene.api.requests(""));
}
