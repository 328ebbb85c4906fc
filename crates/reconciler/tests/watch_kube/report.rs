//! Problems of policies as Events of Kubernetes.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use podwall_policy::{Consequence, ObjectKey, Problem};
use podwall_reconciler::watch::kube::client;
use podwall_reconciler::watch::report::PolicyReporter;

use super::fake_api::{FakeApi, Manners};

#[tokio::test]
async fn problems_of_policies_become_events_but_not_too_many() {
    let api = FakeApi::start(Manners::default()).await;
    let mut reporter = PolicyReporter::new(client(api.config()).unwrap(), "n1");
    let counts = reporter.counts();
    let problem = |field: usize| Problem {
        file: None,
        line: None,
        object: None,
        field: Some(format!("spec.ingress[{field}]")),
        message: "ä".repeat(2000),
        consequence: Consequence::Closed,
    };
    let key = ObjectKey::new("app", "web");
    for _ in 0..3 {
        reporter.report(&key, "u1", &problem(1));
    }
    // A policy that was made again is another.
    reporter.report(&key, "u2", &problem(1));
    for field in 0..100 {
        reporter.report(&key, "u3", &problem(field));
    }
    while counts.sent.load(Relaxed) < 20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((counts.dropped.load(Relaxed), counts.failed.load(Relaxed)), (82, 0));
    assert_eq!(api.requests("/namespaces/app/events"), 20);
    assert_eq!(api.requests(r#""kind":"NetworkPolicy","name":"web","namespace":"app","uid":"u1""#), 1);
    drop(api);
    let mut reporter =
        PolicyReporter::new(client(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap(), "n1");
    reporter.report(&key, "", &problem(1));
    while reporter.counts().failed.load(Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
