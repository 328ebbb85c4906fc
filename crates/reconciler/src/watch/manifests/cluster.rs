//! What manifests said, and what is new.

use std::collections::BTreeMap;

use podwall_policy::read::{Manifests, PolicyReading, read};
use podwall_policy::{Consequence, Mode, ObjectKey, Problem};

use super::DEFAULT_NAMESPACE;
use super::folder::Folder;
use crate::event::{Kind, Object, WatchEvent};

/// The objects that were sent.
#[derive(Default)]
pub(super) struct Known {
    /// Nothing was sent before.
    begun: bool,
    objects: BTreeMap<(Kind, ObjectKey), Object>,
    problems: Vec<Problem>,
}

impl Known {
    /// The events that lead from what was sent to what the folder says now: the first time a list of each kind, later
    /// the differences.
    pub fn take(&mut self, folder: &Folder) -> Vec<WatchEvent> {
        let (sources, mut problems) = folder.sources();
        let mut manifests = read(&sources, DEFAULT_NAMESPACE);
        problems.append(&mut manifests.problems);
        let mut objects = objects(manifests, &problems);
        // One that is refused stays as it was; a policy that is refused says so itself.
        for (id, object) in &self.objects {
            if !objects.contains_key(id) && of(&problems, id, Consequence::Refused).next().is_some() {
                objects.insert(id.clone(), object.clone());
            }
        }
        let mut events = Vec::new();
        for kind in Kind::ALL {
            let before = |events: &mut Vec<WatchEvent>| {
                if !self.begun {
                    events.push(WatchEvent::ListStarted(kind));
                }
            };
            before(&mut events);
            let gone = self.objects.keys().filter(|id| id.0 == kind && !objects.contains_key(id));
            events.extend(gone.map(|(kind, key)| WatchEvent::Gone(*kind, key.clone())));
            let new =
                objects.iter().filter(|(id, object)| id.0 == kind && self.objects.get(id) != Some(object));
            events.extend(new.map(|(_, object)| WatchEvent::Present(object.clone())));
            if !self.begun {
                events.push(WatchEvent::Listed { kind, complete: !folder.is_incomplete() });
            }
        }
        events.extend(self.report(problems));
        (self.begun, self.objects) = (true, objects);
        events
    }

    /// All problems that no policy carries with it, if they are others than before.
    fn report(&mut self, mut problems: Vec<Problem>) -> Vec<WatchEvent> {
        let carried = |problem: &Problem| {
            problem.object.as_ref().is_some_and(|name| name.starts_with("NetworkPolicy "))
                && matches!(problem.consequence, Consequence::Closed | Consequence::Refused)
        };
        problems.retain(|problem| !carried(problem));
        if problems == self.problems {
            return Vec::new();
        }
        self.problems = problems;
        let of = |problem: &Problem| {
            let word = problem.object.as_ref().and_then(|name| name.split(' ').next());
            Kind::ALL.into_iter().find(|kind| word == Some(kind.name())).unwrap_or(Kind::NetworkPolicy)
        };
        let over = Kind::ALL.into_iter().map(WatchEvent::Recovered);
        let event = |problem: &Problem| WatchEvent::Problem {
            kind: of(problem),
            key: None,
            problem: problem.clone(),
        };
        over.chain(self.problems.iter().map(event)).collect()
    }
}

/// The objects that policy needs, without the lines they stand on: those change with every line above them.
fn objects(manifests: Manifests, problems: &[Problem]) -> BTreeMap<(Kind, ObjectKey), Object> {
    let mut objects = Vec::new();
    for (key, mut pod) in manifests.pods.into_iter().filter(|(_, pod)| pod.takes_part()) {
        pod.location = None;
        objects.push(Object::Pod { key, uid: "".into(), pod: Box::new(pod) });
    }
    for (name, labels) in manifests.namespaces {
        let mode = Mode::audit_if(manifests.audited_namespaces.contains(&name));
        objects.push(Object::Namespace(ObjectKey { namespace: "".into(), name }, labels, mode));
    }
    for (key, mut policy) in manifests.policies {
        policy.location = None;
        let id = (Kind::NetworkPolicy, key.clone());
        let refusal = of(problems, &id, Consequence::Refused).next().cloned();
        let reading = match refusal {
            Some(problem) => PolicyReading::Refused { key: key.clone(), closing: policy, problem },
            None => PolicyReading::Read {
                key: key.clone(),
                policy,
                problems: of(problems, &id, Consequence::Closed).cloned().collect(),
            },
        };
        objects.push(Object::NetworkPolicy { key, uid: "".into(), reading: Box::new(reading) });
    }
    objects.into_iter().map(|object| ((object.kind(), object.key().clone()), object)).collect()
}

/// The problems of an object that reach so far. They name it as it was written, perhaps without a namespace.
fn of<'a>(
    problems: &'a [Problem],
    (kind, key): &'a (Kind, ObjectKey),
    consequence: Consequence,
) -> impl Iterator<Item = &'a Problem> {
    let short = (&*key.namespace == DEFAULT_NAMESPACE || *kind == Kind::Namespace)
        .then(|| format!("{} {}", kind.name(), key.name));
    let full = format!("{} {key}", kind.name());
    let names = move |name: &String| *name == full || Some(name) == short.as_ref();
    problems.iter().filter(move |problem| {
        problem.consequence == consequence && problem.object.as_ref().is_some_and(&names)
    })
}
