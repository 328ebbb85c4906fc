//! The watch of an API server that fails in every way we know: afterwards the watcher knows what the server has.

mod away;
#[path = "../fake_api/mod.rs"]
mod fake_api;
mod random;
mod report;
mod versions;

use std::time::Duration;

use fake_api::object::object;
use fake_api::view::View;
use fake_api::{FakeApi, Fault, Manners, PLURALS};
use podwall_reconciler::event::{Kind, WatchEvent};
use podwall_reconciler::watch::kube::{WatchOptions, client, start};
use serde_json::json;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinSet;

/// Production's times, a hundredth of them or so.
fn options() -> WatchOptions {
    WatchOptions {
        page_size: 3,
        streaming_lists: true,
        answer_timeout: Duration::from_millis(300),
        progress_timeout: Duration::from_millis(300),
        watch_timeout: Duration::from_millis(500),
        watch_grace: Duration::from_millis(100),
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(200),
        longest_absence: Duration::from_millis(100),
        healthy_after: Duration::from_millis(100),
    }
}

/// A server, and somebody who watches it.
struct Scene {
    api: FakeApi,
    view: View,
    events: Receiver<WatchEvent>,
    _tasks: JoinSet<()>,
}

const SOON: Duration = Duration::from_secs(3);

impl Scene {
    /// A server with eight objects of each kind, whose first answers go wrong in this way.
    async fn new(manners: Manners, faults: &[Fault]) -> Self {
        let api = FakeApi::start(manners).await;
        for (plural, number) in PLURALS.into_iter().flat_map(|plural| (0..8).map(move |it| (plural, it))) {
            api.set(plural, &format!("o{number}"), Some(object(plural, &format!("o{number}"), "first")));
        }
        for fault in faults {
            api.fail("pods", fault.clone());
        }
        let (sender, events) = channel(64);
        let tasks = start(client(api.config()).unwrap(), options(), sender);
        Self { api, view: View::default(), events, _tasks: tasks }
    }

    async fn converge(&mut self) {
        self.view.converge(&self.api, &mut self.events, SOON).await;
    }

    async fn listen(&mut self, time_ms: u64) {
        self.view.listen(&mut self.events, Duration::from_millis(time_ms)).await;
    }

    fn set(&self, plural: &'static str, name: &str, word: &str) {
        self.api.set(plural, name, Some(object(plural, name, word)));
    }

    /// Objects of every kind come, change and go, and all of it is heard.
    async fn check_changes(&mut self) {
        for plural in PLURALS {
            self.set(plural, "o1", "second");
            self.set(plural, "new", "third");
            self.api.set(plural, "o2", None);
        }
        self.converge().await;
    }

    fn reasons(&self) -> Vec<&'static str> {
        self.view.restarts.iter().map(|(_, reason)| *reason).collect()
    }
}

fn paged() -> Manners {
    Manners { streaming_lists: false, ..Manners::default() }
}

#[tokio::test]
async fn lists_and_changes() {
    for manners in [Manners::default(), paged()] {
        let streaming = manners.streaming_lists;
        let mut scene = Scene::new(manners, &[]).await;
        scene.converge().await;
        scene.check_changes().await;
        assert_eq!(scene.api.requests("pods?limit=3"), if streaming { 0 } else { 3 });
        // Streams end by agreement and are taken up where they were, without lists.
        scene.listen(1500).await;
        scene.check_changes().await;
        assert_eq!(scene.view.listed, Kind::ALL.map(|kind| (kind, 1)).into());
        assert_eq!(scene.reasons(), [""; 0]);
        assert!(scene.view.problems.is_empty(), "{:?}", scene.view.problems);
        assert!((2..20).contains(&scene.api.requests("pods?watch")), "{}", scene.api.requests("pods?watch"));
        assert_eq!(scene.api.requests("sendInitialEvents"), 3, "asked for once, refused or not");
    }
}

#[tokio::test]
async fn finished_pods_and_pods_of_the_host_are_gone() {
    let mut scene = Scene::new(Manners::default(), &[]).await;
    let mut finished = object("pods", "o3", "first");
    finished["status"]["phase"] = json!("Succeeded");
    scene.converge().await;
    scene.api.set("pods", "o3", Some(finished));
    scene.converge().await;
}

/// Every fault, at the first list, in both ways of listing, and at a stream of changes.
#[tokio::test]
async fn every_fault_heals() {
    let faults = [
        (Fault::Status(500, None), "unavailable"),
        (Fault::Status(503, None), "unavailable"),
        (Fault::Status(429, Some(1)), "unavailable"),
        (Fault::Status(403, None), "refused"),
        (Fault::Status(410, None), "expired"),
        (Fault::Truncated(0), "disconnected"),
        (Fault::Truncated(150), "disconnected"),
        (Fault::Reset(0), "disconnected"),
        (Fault::Reset(150), "disconnected"),
        (Fault::HangBeforeHeaders, "timeout"),
        (Fault::HangAfter(0), "timeout"),
        (Fault::HangAfter(150), "timeout"),
        (Fault::Dribble, "timeout"),
    ];
    for manners in [Manners::default(), paged()] {
        let tries = faults.iter().map(|(fault, reason)| {
            let manners = manners.clone();
            async move {
                let mut scene = Scene::new(manners.clone(), &[]).await;
                scene.converge().await;
                let fault = fault.clone();
                scene.api.fail_at("pods", true, fault.clone());
                scene.listen(900).await;
                scene.check_changes().await;
                let mut reasons = scene.reasons();
                reasons.dedup();
                assert_eq!(scene.api.faults_left(), 0);
                // An end by agreement, only early, is no failure; what is received of a change decides.
                let none = matches!(fault, Fault::Truncated(_)) && reasons.is_empty();
                assert!(none || reasons == [*reason], "{fault:?} of changes: {reasons:?}");

                let mut scene = Scene::new(manners, &[]).await;
                scene.api.fail_at("pods", false, fault.clone());
                scene.converge().await;
                scene.check_changes().await;
                assert!(scene.api.requests("pods") < 30, "{}", scene.api.requests("pods"));
            }
        });
        futures::future::join_all(tries).await;
    }
}

#[tokio::test]
async fn what_vanished_while_a_version_expired_is_gone() {
    let ways = [(true, false), (true, true), (false, false), (false, true)];
    let tries = ways.into_iter().map(|(streaming_lists, gone_as_status)| async move {
        let manners = Manners { streaming_lists, gone_as_status, ..Manners::default() };
        let mut scene = Scene::new(manners, &[]).await;
        scene.converge().await;
        for plural in PLURALS {
            // Away while things happen, of which nothing is remembered afterwards.
            scene.api.fail_at(plural, true, Fault::HangBeforeHeaders);
        }
        scene.listen(500).await;
        for plural in PLURALS {
            scene.api.set(plural, "o4", None);
            scene.set(plural, "o5", "second");
        }
        scene.api.compact();
        scene.converge().await;
        assert!(scene.reasons().contains(&"expired"), "{:?}", scene.reasons());
        scene.check_changes().await;
    });
    futures::future::join_all(tries).await;
}

#[tokio::test]
async fn an_unreadable_object_blocks_neither_a_list_nor_a_stream() {
    for manners in [Manners::default(), paged()] {
        let mut scene = Scene::new(manners, &[Fault::Malformed]).await;
        scene.converge().await;
        assert_eq!(scene.view.problems.len(), 1, "{:?}", scene.view.problems);
        scene.api.fail_at("pods", true, Fault::Malformed);
        while scene.api.faults_left() > 0 || scene.reasons().is_empty() {
            scene.listen(100).await;
        }
        scene.check_changes().await;
        assert_eq!(scene.reasons(), ["unreadable"], "a change may have been missed: it lists again");
        assert!(scene.view.listed[&Kind::Pod] >= 2);
    }
}

#[tokio::test]
async fn nothing_is_gone_for_want_of_a_name() {
    let mut scene = Scene::new(paged(), &[]).await;
    scene.converge().await;
    scene.api.fail_at("pods", true, Fault::StreamError(410));
    scene.api.fail_at("pods", false, Fault::Malformed);
    scene.listen(200).await;
    while scene.api.faults_left() > 0 {
        scene.listen(100).await;
    }
    scene.converge().await;
}

#[tokio::test]
async fn an_object_that_can_be_named_stays_as_it_was() {
    let mut scene = Scene::new(Manners::default(), &[]).await;
    scene.converge().await;
    let mut unreadable = object("pods", "o3", "second");
    unreadable["spec"]["containers"] = json!("none");
    scene.api.set("pods", "o3", Some(unreadable));
    scene.listen(300).await;
    assert!(!scene.view.agrees(&scene.api));
    let problem = scene.view.problems[0].to_string();
    assert!(problem.starts_with("Pod default/o3: spec.containers: must be a list"), "{problem}");
    // It is still there after a list, as it was.
    scene.api.compact();
    scene.api.fail_at("pods", true, Fault::StreamError(410));
    while scene.view.listed[&Kind::Pod] < 2 {
        scene.listen(100).await;
    }
    scene.set("pods", "o3", "first");
    scene.converge().await;
}

#[tokio::test]
async fn wrong_order_and_repetition_do_no_harm() {
    for fault in [Fault::Reordered, Fault::Repeated] {
        let mut scene = Scene::new(Manners::default(), &[]).await;
        scene.converge().await;
        scene.api.fail_at("pods", true, fault);
        scene.listen(700).await;
        // Both in one piece, as nothing here waits in between.
        scene.set("pods", "o1", "second");
        scene.set("pods", "o1", "third");
        scene.converge().await;
        scene.listen(100).await;
        assert!(scene.view.agrees(&scene.api), "{:?}", scene.view.words);
        assert_eq!(scene.reasons(), [""; 0]);
    }
}

#[tokio::test]
async fn a_refusal_says_what_to_check_and_is_tried_again_unhurriedly() {
    let cases = [
        (403, "check that a ClusterRole"),
        (401, "credentials"),
        (503, ""),
        (410, ""),
        (404, "(404): on demand"),
    ];
    let tries = cases.into_iter().map(|(code, words)| async move {
        let mut scene = Scene::new(paged(), &vec![Fault::Status(code, None); 1000]).await;
        scene.listen(1500).await;
        let requests = scene.api.requests("pods");
        assert!((8..60).contains(&requests), "{code}: {requests} requests");
        let problems: Vec<String> = scene.view.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), usize::from(!words.is_empty()), "{problems:?}");
        assert!(problems.iter().all(|problem| problem.contains(words)), "{problems:?}");
        assert_eq!(scene.view.listed.len(), 2, "the other kinds do not wait");
    });
    futures::future::join_all(tries).await;
}

#[tokio::test]
async fn the_end_of_a_refusal_is_told() {
    let mut scene = Scene::new(Manners::default(), &vec![Fault::Status(403, None); 3]).await;
    scene.converge().await;
    scene.listen(100).await;
    assert_eq!((scene.view.problems.len(), &*scene.view.recovered), (1, [Kind::Pod].as_slice()));
}

#[tokio::test]
async fn a_server_that_ends_every_stream_at_once_is_not_hurried() {
    let manners = Manners { second: Duration::ZERO, ..Manners::default() };
    let mut scene = Scene::new(manners, &[]).await;
    scene.converge().await;
    scene.listen(1500).await;
    assert!(scene.api.requests("pods") < 60, "{}", scene.api.requests("pods"));
    scene.check_changes().await;
}

#[tokio::test]
async fn streaming_lists_that_never_end_are_given_up() {
    let mut scene = Scene::new(Manners::default(), &vec![Fault::HangAfter(1000); 3]).await;
    scene.converge().await;
    assert_eq!(scene.api.requests("pods?limit"), 3);
}

#[tokio::test]
async fn dropping_the_receiver_ends_the_watches() {
    let Scene { api, events, mut _tasks, .. } = Scene::new(Manners::default(), &[]).await;
    drop(events);
    for _ in 0..3 {
        tokio::time::timeout(SOON, _tasks.join_next()).await.unwrap().unwrap().unwrap();
    }
    drop(api);
}
