//! A server that is away: how often it is tried, and how soon it is noticed.

use std::time::{Duration, Instant};

use podwall_reconciler::watch::kube::{WatchOptions, client, start};
use tokio::net::TcpListener;
use tokio::sync::mpsc::channel;
use tokio::time::timeout_at;

use super::options;

/// Somebody listens and hangs up at once, as a load balancer does that has no server.
#[tokio::test]
async fn a_server_that_is_away_is_tried_at_a_bounded_rate_and_at_random() {
    const WATCHED: Duration = Duration::from_secs(3);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, mut events) = channel(64);
    let _tasks = start(client(kube::Config::new(address.parse().unwrap())).unwrap(), options(), sender);
    let _heard = tokio::spawn(async move { while events.recv().await.is_some() {} });
    let begun = Instant::now();
    let mut tries = Vec::new();
    while let Ok(Ok((connection, _))) = timeout_at((begun + WATCHED).into(), listener.accept()).await {
        drop(connection);
        tries.push(begun.elapsed());
    }
    // Each of three watches pauses between nothing and a tenth of a second, half of it on average.
    let expected = 3 * WATCHED.as_millis() / (options().longest_absence.as_millis() / 2);
    let most = usize::try_from(expected).unwrap() * 2;
    assert!((10..most).contains(&tries.len()), "{} tries in {WATCHED:?}, at most {most}", tries.len());
    let mut pauses_ms: Vec<u128> = tries.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    pauses_ms.sort_unstable();
    pauses_ms.dedup();
    assert!(pauses_ms.len() > 5, "pauses are not random: {pauses_ms:?}");
}

/// What the tests above show of short times holds of production's: every wait for a server that has gone silent ends
/// within a minute, and a server that is away is asked no more than a few times a second.
#[test]
fn production_notices_a_dead_connection_within_a_minute() {
    let WatchOptions {
        answer_timeout, progress_timeout, watch_timeout, watch_grace, longest_absence, ..
    } = WatchOptions::default();
    let minute = Duration::from_secs(60);
    assert!(watch_timeout + watch_grace < minute && answer_timeout + progress_timeout < minute);
    assert!((Duration::from_millis(500)..=Duration::from_secs(2)).contains(&longest_absence));
}
