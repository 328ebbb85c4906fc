//! What somebody knows who applies the events of a watch, as the agent's loop does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use podwall_policy::read::PolicyReading;
use podwall_policy::{ObjectKey, Operator, Problem};
use podwall_reconciler::event::{Kind, Object, WatchEvent};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout_at};

use super::object::word;
use super::{FakeApi, PLURALS};

/// Objects by kind and name, each as the word it says.
#[derive(Default)]
pub struct View {
    pub words: BTreeMap<(Kind, ObjectKey), String>,
    /// What the list of a kind had so far that has begun and not ended.
    open_lists: BTreeMap<Kind, BTreeSet<ObjectKey>>,
    pub listed: BTreeMap<Kind, u32>,
    pub restarts: Vec<(Kind, &'static str)>,
    pub problems: Vec<Problem>,
    pub recovered: Vec<Kind>,
}

impl View {
    pub fn apply(&mut self, event: WatchEvent) {
        match event {
            WatchEvent::ListStarted(kind) => {
                self.open_lists.insert(kind, BTreeSet::new());
            }
            WatchEvent::Present(object) => {
                let (kind, key) = (object.kind(), object.key().clone());
                self.see(kind, &key);
                self.words.insert((kind, key), word_of(&object));
            }
            WatchEvent::Unread { kind, key, problem } => {
                self.see(kind, &key);
                self.problems.push(problem);
            }
            WatchEvent::Gone(kind, key) => {
                self.words.remove(&(kind, key));
            }
            WatchEvent::Listed { kind, complete } => {
                let list = self.open_lists.remove(&kind).expect("a list ends that began");
                *self.listed.entry(kind).or_default() += 1;
                if complete {
                    self.words.retain(|(of, key), _| *of != kind || list.contains(key));
                }
            }
            WatchEvent::Recovered(kind) => self.recovered.push(kind),
            WatchEvent::Problem { problem, .. } => self.problems.push(problem),
            WatchEvent::Restarted { kind, reason } => self.restarts.push((kind, reason)),
        }
    }

    fn see(&mut self, kind: Kind, key: &ObjectKey) {
        if let Some(list) = self.open_lists.get_mut(&kind) {
            list.insert(key.clone());
        }
    }

    /// True when it is what the server has, and every kind was listed.
    pub fn agrees(&self, api: &FakeApi) -> bool {
        self.words == words_of(api) && self.listed.len() == 3 && self.open_lists.is_empty()
    }

    /// What is here and not at the server, and what is there and not here.
    fn difference(&self, api: &FakeApi) -> String {
        let (here, there): (BTreeSet<_>, BTreeSet<_>) =
            (self.words.clone().into_iter().collect(), words_of(api).into_iter().collect());
        let only_here: Vec<_> = here.difference(&there).collect();
        let only_there: Vec<_> = there.difference(&here).collect();
        format!("only here {only_here:?}\nonly there {only_there:?}\nlists {:?}", self.open_lists)
    }

    /// Applies events until it agrees with the server, which must be soon.
    #[track_caller]
    pub fn converge<'a>(
        &'a mut self,
        api: &'a FakeApi,
        events: &'a mut Receiver<WatchEvent>,
        within: Duration,
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let deadline = Instant::now() + within;
            while !self.agrees(api) {
                match timeout_at(deadline, events.recv()).await {
                    Ok(event) => self.apply(event.expect("the watch goes on")),
                    Err(_) => panic!(
                        "{caller}: not within {within:?}: {}\nrestarts {:?}",
                        self.difference(api),
                        self.restarts
                    ),
                }
            }
        }
    }

    /// Applies what comes for some time.
    pub async fn listen(&mut self, events: &mut Receiver<WatchEvent>, time: Duration) {
        let deadline = Instant::now() + time;
        while let Ok(event) = timeout_at(deadline, events.recv()).await {
            self.apply(event.expect("the watch goes on"));
        }
    }
}

fn words_of(api: &FakeApi) -> BTreeMap<(Kind, ObjectKey), String> {
    let mut words = BTreeMap::new();
    for (plural, kind) in PLURALS.into_iter().zip(Kind::ALL) {
        for (name, object) in api.objects(plural) {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
            let key = ObjectKey::new(namespace, name.as_str());
            words.extend(word(plural, &object).map(|word| ((kind, key), word)));
        }
    }
    words
}

fn word_of(object: &Object) -> String {
    let labels = match object {
        Object::Pod { pod, .. } => &pod.labels,
        Object::Namespace(_, labels, _) => labels,
        Object::NetworkPolicy { reading, .. } => match &**reading {
            PolicyReading::Read { policy, .. } => {
                let requirement = policy.pod_selector.requirements().next().expect("a selector");
                let Operator::In(values) = &requirement.operator else { panic!("{requirement}") };
                return values.first().expect("a value").to_string();
            }
            other => return format!("{other:?}"),
        },
    };
    labels["word"].to_string()
}
