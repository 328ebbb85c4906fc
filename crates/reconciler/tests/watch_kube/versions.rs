//! Versions that are forgotten, and versions that go backwards.

use std::time::Duration;

use podwall_reconciler::event::Kind;

use super::fake_api::{Fault, Manners, PLURALS};
use super::{Scene, paged};

#[tokio::test]
async fn a_list_whose_next_page_has_expired_begins_again() {
    let mut scene = Scene::new(paged(), &[Fault::TokenExpires]).await;
    scene.converge().await;
    assert_eq!(scene.reasons(), ["expired"]);
    // The same of a list that was not the first: what its first page had not is not gone yet.
    scene.api.fail_at("pods", true, Fault::StreamError(410));
    scene.api.fail_at("pods", false, Fault::TokenExpires);
    while scene.api.faults_left() > 0 || scene.view.listed[&Kind::Pod] < 2 {
        scene.listen(10).await;
        let pods = scene.view.words.keys().filter(|(kind, _)| *kind == Kind::Pod).count();
        assert_eq!(pods, scene.api.objects("pods").len(), "a pod was gone for a while");
    }
    scene.check_changes().await;
    assert!(scene.api.requests("pods?limit") < 20, "{}", scene.api.requests("pods?limit"));
}

#[tokio::test]
async fn bookmarks_keep_a_version_of_which_nothing_happens() {
    for (interval_ms, reasons) in [(50, vec![]), (60_000, vec!["expired"; 2])] {
        let bookmark_interval = Duration::from_millis(interval_ms);
        let mut scene = Scene::new(Manners { bookmark_interval, ..Manners::default() }, &[]).await;
        scene.converge().await;
        // Namespaces change; pods and policies hear of it only by bookmarks.
        for number in 0..10 {
            scene.set("namespaces", "o1", &format!("word{number}"));
        }
        scene.listen(200).await;
        // Between two streams of each kind: one that is under way would be told.
        for plural in PLURALS {
            scene.api.fail_at(plural, true, Fault::HangBeforeHeaders);
        }
        while scene.api.faults_left() > 0 {
            scene.listen(10).await;
        }
        scene.api.compact();
        scene.check_changes().await;
        let expired: Vec<_> = scene.reasons().into_iter().filter(|reason| *reason != "timeout").collect();
        assert_eq!(expired, reasons, "bookmarks every {interval_ms} ms");
    }
}

/// etcd's own versions go backwards when a backup is restored as it is. A server that is asked for what comes after a
/// version of the future says nothing at all.
#[tokio::test]
async fn a_restored_backup_is_noticed() {
    let ways = [(true, 150), (false, 150), (true, 60_000)];
    let tries = ways.into_iter().map(|(streaming_lists, bookmark_ms)| async move {
        let bookmark_interval = Duration::from_millis(bookmark_ms);
        let mut scene =
            Scene::new(Manners { streaming_lists, bookmark_interval, ..Manners::default() }, &[]).await;
        scene.converge().await;
        let backup = scene.api.backup();
        scene.check_changes().await;
        scene.api.restore(backup);
        scene.converge().await;
        let restored = scene.reasons().into_iter().filter(|reason| *reason == "restored").count();
        assert_eq!(restored, PLURALS.len(), "{:?}", scene.reasons());
        scene.check_changes().await;
    });
    futures::future::join_all(tries).await;
}

/// Comparing versions costs a request for each absence of the server, and nothing while streams speak.
#[tokio::test]
async fn versions_are_compared_only_when_in_doubt() {
    let mut scene = Scene::new(Manners::default(), &[]).await;
    scene.converge().await;
    scene.listen(1500).await;
    assert_eq!(scene.api.requests("pods?limit=1"), 0);
    scene.api.fail_at("pods", true, Fault::Reset(0));
    while scene.api.faults_left() > 0 {
        scene.listen(50).await;
    }
    scene.check_changes().await;
    assert_eq!(scene.api.requests("pods?limit=1"), 1);
    assert_eq!(scene.view.listed[&Kind::Pod], 1, "nothing was listed again");
}
