//! What the watches have said, fed to the engine.
//!
//! A policy that was refused keeps its last good version in force; where there is none, what closes the pods that it
//! may select. What a complete list does not mention is gone.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use podwall_compiler::Engine;
use podwall_policy::read::{PolicyReading, with_last_version_kept};
use podwall_policy::{ObjectKey, Pod, Problem};

use crate::event::{Kind, Object, WatchEvent};
use crate::interfaces::{Finder, LocalPod};

/// The engine with what it was told.
#[derive(Debug)]
pub struct Mirror {
    /// The present state.
    pub engine: Engine,
    node: Arc<str>,
    lists: BTreeMap<Kind, List>,
    hasher: RandomState,
    /// The policies that were refused, and whether what is in force instead closes.
    refused: BTreeMap<ObjectKey, Refused>,
    /// What is wrong with objects, and, without a name, with a watch.
    problems: BTreeMap<(Kind, Option<ObjectKey>), Vec<Problem>>,
    /// The policies with problems, by what problems call them, with their uids.
    troubled: BTreeMap<String, (ObjectKey, Arc<str>)>,
}

/// How far the list of a kind is.
#[derive(Debug, Default)]
struct List {
    /// It has been complete once: what it says is the truth, though it may be old.
    complete: bool,
    /// The objects that a list under way has named, by hash: a relist of 100,000 pods must not cost their names. The
    /// hash is keyed, so nobody can choose names that collide.
    named: Option<HashSet<u64>>,
}

#[derive(Debug)]
struct Refused {
    problem: Problem,
    /// True when what is in force instead closes the pods it may select; false when it is the last good version.
    closes: bool,
}

impl Mirror {
    /// Nothing has been said yet.
    pub fn new(engine: Engine, node: Arc<str>) -> Self {
        Self {
            engine,
            node,
            lists: Kind::ALL.map(|kind| (kind, List::default())).into(),
            hasher: RandomState::new(),
            refused: BTreeMap::new(),
            problems: BTreeMap::new(),
            troubled: BTreeMap::new(),
        }
    }

    /// True when every kind has been listed once. Before that nothing in the kernel may change: what is in force
    /// there is better than half a cluster.
    pub fn is_complete(&self) -> bool {
        self.lists.values().all(|list| list.complete)
    }

    /// The kinds that have not been listed yet.
    pub fn missing(&self) -> impl Iterator<Item = Kind> {
        self.lists.iter().filter(|(_, list)| !list.complete).map(|(kind, _)| *kind)
    }

    /// What is wrong with objects and watches, and what became of it.
    pub fn problems(&self) -> impl Iterator<Item = Problem> {
        let refused = self.refused.values().map(|refused| match refused.closes {
            true => refused.problem.clone(),
            false => with_last_version_kept(&refused.problem),
        });
        refused.chain(self.problems.values().flatten().cloned()).chain(self.engine.problems())
    }

    /// The policy that a problem is about, with its uid.
    pub fn policy_of(&self, problem: &Problem) -> Option<(&ObjectKey, &Arc<str>)> {
        let (key, uid) = self.troubled.get(problem.object.as_ref()?)?;
        Some((key, uid))
    }

    /// Takes what a watch says. Local pods go to the finder too.
    pub fn hear(&mut self, event: WatchEvent, finder: &mut Finder) {
        match event {
            WatchEvent::ListStarted(kind) => {
                self.watch_speaks(kind);
                self.lists.entry(kind).or_default().named = Some(HashSet::new());
            }
            WatchEvent::Present(object) => {
                self.watch_speaks(object.kind());
                self.name(object.kind(), object.key());
                self.forget_problems(object.kind(), object.key());
                self.set(object, finder);
            }
            WatchEvent::Unread { kind, key, problem } => {
                self.watch_speaks(kind);
                self.name(kind, &key);
                self.problems.insert((kind, Some(key)), vec![problem]);
            }
            WatchEvent::Gone(kind, key) => {
                self.watch_speaks(kind);
                self.remove(kind, &key, finder);
            }
            WatchEvent::Listed { kind, complete } => {
                self.watch_speaks(kind);
                self.end_list(kind, complete, finder);
            }
            WatchEvent::Problem { kind, key: Some(key), problem } => {
                self.problems.entry((kind, Some(key))).or_default().push(problem);
            }
            WatchEvent::Problem { kind, key: None, problem } => {
                self.problems.insert((kind, None), vec![problem]);
            }
            WatchEvent::Recovered(kind) => self.watch_speaks(kind),
            WatchEvent::Restarted { .. } => {}
        }
    }

    /// What was wrong with the watch itself is over.
    fn watch_speaks(&mut self, kind: Kind) {
        if !self.problems.is_empty() {
            self.problems.remove(&(kind, None));
        }
    }

    fn forget_problems(&mut self, kind: Kind, key: &ObjectKey) {
        if !self.problems.is_empty() {
            self.problems.remove(&(kind, Some(key.clone())));
        }
    }

    fn name(&mut self, kind: Kind, key: &ObjectKey) {
        if let Some(named) = self.lists.get_mut(&kind).and_then(|list| list.named.as_mut()) {
            named.insert(self.hasher.hash_one(key));
        }
    }

    fn set(&mut self, object: Object, finder: &mut Finder) {
        match object {
            Object::Pod { key, uid, pod } => self.set_pod(key, uid, *pod, finder),
            Object::Namespace(key, labels, mode) => {
                self.engine.set_namespace_mode(&key.name, mode);
                self.engine.set_namespace(key.name, labels);
            }
            Object::NetworkPolicy { key, uid, reading } => {
                let sound = matches!(&*reading, PolicyReading::Read { problems, .. } if problems.is_empty());
                let object = format!("NetworkPolicy {key}");
                match sound {
                    true => self.troubled.remove(&object),
                    false => self.troubled.insert(object, (key.clone(), uid)),
                };
                self.set_policy(key, *reading);
            }
        }
    }

    fn set_pod(&mut self, key: ObjectKey, uid: Arc<str>, pod: Pod, finder: &mut Finder) {
        if pod.takes_part() && pod.node.as_ref() == Some(&self.node) {
            finder.set_pod(key.clone(), LocalPod::new(uid, &pod));
        } else {
            finder.remove_pod(&key);
        }
        self.engine.set_pod(key, pod);
    }

    fn set_policy(&mut self, key: ObjectKey, reading: PolicyReading) {
        match reading {
            PolicyReading::Read { policy, problems, .. } => {
                self.refused.remove(&key);
                if !problems.is_empty() {
                    self.problems.insert((Kind::NetworkPolicy, Some(key.clone())), problems);
                }
                self.engine.set_policy(key, policy);
            }
            PolicyReading::Refused { closing, problem, .. } => {
                let closes = match self.refused.get(&key) {
                    Some(before) => before.closes,
                    None => self.engine.policy(&key).is_none(),
                };
                if closes {
                    self.engine.set_policy(key.clone(), closing);
                }
                self.refused.insert(key, Refused { problem, closes });
            }
            PolicyReading::Unreadable(problem) => {
                self.problems.insert((Kind::NetworkPolicy, Some(key)), vec![problem]);
            }
        }
    }

    fn remove(&mut self, kind: Kind, key: &ObjectKey, finder: &mut Finder) {
        self.forget_problems(kind, key);
        match kind {
            Kind::Pod => {
                finder.remove_pod(key);
                self.engine.remove_pod(key);
            }
            Kind::Namespace => self.engine.remove_namespace(&key.name),
            Kind::NetworkPolicy => {
                self.refused.remove(key);
                self.troubled.remove(&format!("NetworkPolicy {key}"));
                self.engine.remove_policy(key);
            }
        }
    }

    fn end_list(&mut self, kind: Kind, complete: bool, finder: &mut Finder) {
        let list = self.lists.entry(kind).or_default();
        list.complete = true;
        let named = list.named.take();
        let Some(named) = named.filter(|_| complete) else { return };
        let is_gone = |key: &ObjectKey| !named.contains(&self.hasher.hash_one(key));
        let gone: Vec<ObjectKey> = match kind {
            Kind::Pod => self.engine.pod_keys().filter(is_gone).collect(),
            Kind::Namespace => {
                let names = self.engine.namespace_names();
                names.map(|name| ObjectKey::new("", name)).filter(is_gone).collect()
            }
            Kind::NetworkPolicy => self.engine.policy_keys().filter(is_gone).collect(),
        };
        for key in gone {
            self.remove(kind, &key, finder);
        }
    }
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
