use podwall_compiler::NodeOptions;
use podwall_policy::Labels;
use podwall_policy::read::api;
use serde_json::json;

use super::*;
use crate::interfaces::Patience;

struct Heard {
    mirror: Mirror,
    finder: Finder,
}

impl Heard {
    fn new() -> Self {
        let engine = Engine::new("node-1".into(), NodeOptions::default());
        Self { mirror: Mirror::new(engine, "node-1".into()), finder: Finder::new(Patience::default()) }
    }

    fn hear(&mut self, events: impl IntoIterator<Item = WatchEvent>) -> &mut Self {
        for event in events {
            self.mirror.hear(event, &mut self.finder);
        }
        self
    }

    fn list(&mut self, kind: Kind, objects: impl IntoIterator<Item = Object>) -> &mut Self {
        self.hear([WatchEvent::ListStarted(kind)]);
        self.hear(objects.into_iter().map(WatchEvent::Present));
        self.hear([WatchEvent::Listed { kind, complete: true }])
    }

    fn pods(&self) -> Vec<String> {
        let mut pods: Vec<String> = self.mirror.engine.pod_keys().map(|key| key.to_string()).collect();
        pods.sort();
        pods
    }
}

fn pod(name: &str) -> Object {
    let pod = Pod {
        labels: Labels::new(),
        node: Some("node-1".into()),
        addresses: Vec::new(),
        host_network: false,
        finished: false,
        terminating: false,
        started: "".into(),
        ports: Vec::new(),
        anti_spoofing: None,
        location: None,
    };
    Object::Pod { key: ObjectKey::new("default", name), uid: "".into(), pod: Box::new(pod) }
}

/// A policy of this spec, as the API server's watch says it.
fn policy(spec: serde_json::Value) -> WatchEvent {
    let object = json!({ "metadata": { "name": "web", "namespace": "default" }, "spec": spec });
    let reading = Box::new(api::read_policy(&api::NETWORK_POLICY.read(object).unwrap()));
    let key = ObjectKey::new("default", "web");
    WatchEvent::Present(Object::NetworkPolicy { key, uid: "uid-1".into(), reading })
}

#[test]
fn nothing_is_complete_before_all_kinds_are_listed() {
    let mut heard = Heard::new();
    heard.list(Kind::Pod, [pod("a")]).list(Kind::Namespace, []);
    assert!(!heard.mirror.is_complete());
    assert_eq!(heard.mirror.missing().collect::<Vec<_>>(), [Kind::NetworkPolicy]);
    heard.list(Kind::NetworkPolicy, []);
    assert!(heard.mirror.is_complete());
}

#[test]
fn what_a_complete_list_does_not_name_is_gone() {
    let mut heard = Heard::new();
    heard.list(Kind::Pod, [pod("a"), pod("b"), pod("c")]);
    assert_eq!(heard.pods(), ["default/a", "default/b", "default/c"]);
    heard.list(Kind::Pod, [pod("b")]);
    assert_eq!(heard.pods(), ["default/b"]);
}

#[test]
fn a_list_that_breaks_or_lacks_a_name_takes_nothing_away() {
    let mut heard = Heard::new();
    heard.list(Kind::Pod, [pod("a"), pod("b")]);
    heard.hear([WatchEvent::ListStarted(Kind::Pod), WatchEvent::Present(pod("b"))]);
    assert_eq!(heard.pods(), ["default/a", "default/b"]);
    heard.hear([
        WatchEvent::ListStarted(Kind::Pod),
        WatchEvent::Present(pod("c")),
        WatchEvent::Listed { kind: Kind::Pod, complete: false },
    ]);
    assert_eq!(heard.pods(), ["default/a", "default/b", "default/c"]);
}

#[test]
fn an_object_that_cannot_be_read_stays_as_it_was() {
    let mut heard = Heard::new();
    heard.list(Kind::Pod, [pod("a")]);
    let problem = Problem {
        file: None,
        line: None,
        object: Some("Pod default/a".to_owned()),
        field: None,
        message: "no pod".to_owned(),
        consequence: podwall_policy::Consequence::Ignored,
    };
    heard.hear([
        WatchEvent::ListStarted(Kind::Pod),
        WatchEvent::Unread { kind: Kind::Pod, key: ObjectKey::new("default", "a"), problem },
        WatchEvent::Listed { kind: Kind::Pod, complete: true },
    ]);
    assert_eq!(heard.pods(), ["default/a"]);
    assert_eq!(heard.mirror.problems().count(), 1);
    heard.hear([WatchEvent::Present(pod("a"))]);
    assert_eq!(heard.mirror.problems().count(), 0);
}

#[test]
fn a_refused_policy_leaves_its_last_good_version_in_force() {
    let key = ObjectKey::new("default", "web");
    let mut heard = Heard::new();
    heard.hear([policy(json!({ "podSelector": {}, "egress": [{}], "policyTypes": ["Egress"] }))]);
    let good = heard.mirror.engine.policy(&key).cloned().unwrap();
    heard.hear([policy(json!({ "podSelctor": {} })), policy(json!({ "podSelctor": {} }))]);
    assert_eq!(heard.mirror.engine.policy(&key), Some(&good));
    let problems: Vec<Problem> = heard.mirror.problems().collect();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("last good version stays in force"), "{}", problems[0]);
    assert_eq!(heard.mirror.policy_of(&problems[0]).unwrap().1.as_ref(), "uid-1");
    heard.hear([policy(json!({ "podSelector": {} }))]);
    assert_eq!(heard.mirror.problems().count(), 0);
    assert_ne!(heard.mirror.engine.policy(&key), Some(&good));
}

#[test]
fn a_policy_that_was_never_good_closes_until_it_is() {
    let key = ObjectKey::new("default", "web");
    let mut heard = Heard::new();
    heard.hear([policy(json!({ "podSelctor": {} }))]);
    let closing = heard.mirror.engine.policy(&key).unwrap();
    assert_eq!((closing.ingress.as_deref(), closing.egress.as_deref()), (Some(&[][..]), Some(&[][..])));
    let problems: Vec<Problem> = heard.mirror.problems().collect();
    assert!(problems[0].message.contains("closed until it is mended"), "{}", problems[0]);
    // Another bad version of it closes as well: what stands in for it is no good version.
    heard.hear([policy(json!({ "podSelector": { "matchLabels": { "app": "web" } }, "podSelctor": {} }))]);
    let closing = heard.mirror.engine.policy(&key).unwrap();
    assert_eq!(closing.ingress.as_deref(), Some(&[][..]));
    heard.hear([WatchEvent::Gone(Kind::NetworkPolicy, key.clone())]);
    assert_eq!(heard.mirror.engine.policy(&key), None);
    assert_eq!(heard.mirror.problems().count(), 0);
}
