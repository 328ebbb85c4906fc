//! `map`: who may talk to whom, between workloads and with the outside, by namespace.
//!
//! ```text
//! snapshot ─► what `diff` finds between no policies at all and these: what is denied ─► the rest is allowed
//! flow log ─► whose flows they were                                                        ├─► page (html)
//!                                                                                          ├─► picture (svg, dot)
//!                                                                                          └─► data (json)
//! ```
//!
//! Pods that policies cannot tell apart are one group, and what is said of two groups holds for all workloads in them:
//! a map of many workloads stays small. Where nothing isolates either end everything is allowed, and nothing is drawn.

mod dot;
mod html;
mod layout;
mod observed;
mod svg;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use podwall_policy::{FlowRecord, Mode, ObjectKey};
use serde::Serialize;

use crate::diff::ports::PortSet;
use crate::diff::space::{self, AddressRange};
use crate::diff::{Difference, End};
use crate::field::Direction;
use crate::flow_log::Residents;
use crate::party::workload_name;
use crate::snapshot::Snapshot;

/// How many blocks a name leaves out one by one.
const SHOWN: usize = 6;

/// Who may talk to whom. Everything that is named by a number is an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Map {
    version: u32,
    policies: Vec<MapPolicy>,
    groups: Vec<Group>,
    /// Workloads, then what is outside.
    ends: Vec<MapEnd>,
    /// The sets of ports that `allowed` speaks of, in words.
    ports: Vec<String>,
    /// From a group, to a group, these ports. Only where a policy isolates one of the two.
    allowed: Vec<(usize, usize, usize)>,
    observed: Vec<Observed>,
    /// Flows of the log whose ends are not in the state.
    unplaced: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct MapPolicy {
    name: String,
    /// `FILE:LINE`
    at: Option<String>,
}

/// What policies cannot tell apart, and the policies that isolate it; `None` when none does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Group {
    ingress: Option<Vec<usize>>,
    egress: Option<Vec<usize>>,
    /// Whether it has addresses of IPv4, and of IPv6.
    #[serde(skip)]
    families: [bool; 2],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct MapEnd {
    name: String,
    /// `None` outside the cluster.
    namespace: Option<String>,
    pods: usize,
    group: usize,
}

/// Flows that were seen between two ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Observed {
    from: usize,
    to: usize,
    port: String,
    verdict: podwall_policy::FlowVerdict,
    count: u64,
}

/// The ends that pods and addresses are at.
struct Places<'s> {
    residents: Residents<'s>,
    pods: BTreeMap<ObjectKey, usize>,
    outside: Vec<(AddressRange, usize)>,
}

impl Map {
    /// The map of a state, with the flows that were seen.
    pub fn new(snapshot: &Snapshot, records: &[FlowRecord]) -> Self {
        let mut open = snapshot.clone();
        open.cluster.policies.clear();
        let difference = Difference::new(&open, snapshot);
        let numbers: BTreeMap<&ObjectKey, usize> =
            snapshot.cluster.policies.keys().enumerate().map(|(index, key)| (key, index)).collect();
        let policy = |(key, policy): (&ObjectKey, &podwall_policy::NetworkPolicy)| MapPolicy {
            name: key.to_string(),
            at: policy.location.as_ref().map(|it| format!("{}:{}", it.file, it.line)),
        };
        let mut map = Self {
            version: 1,
            policies: snapshot.cluster.policies.iter().map(policy).collect(),
            groups: difference.classes.iter().map(|it| group(snapshot, &it.pods[0], &numbers)).collect(),
            ends: Vec::new(),
            ports: Vec::new(),
            allowed: Vec::new(),
            observed: Vec::new(),
            unplaced: 0,
        };
        let denied = denied(&difference);
        let mut places = map.add_workloads(snapshot, &difference);
        let outside = map.add_outside(&difference, &denied, &mut places);
        map.add_allowed(&denied, &outside);
        map.add_observed(&places, records);
        map
    }

    fn add_workloads<'s>(&mut self, snapshot: &'s Snapshot, difference: &Difference) -> Places<'s> {
        let owners = Residents::owners(snapshot);
        let mut places =
            Places { residents: Residents::new(snapshot), pods: BTreeMap::new(), outside: Vec::new() };
        for (group, class) in difference.classes.iter().enumerate() {
            let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
            for pod in &class.pods {
                let name = owners.get(pod).map_or_else(|| pod.to_string(), |owner| workload_name(owner));
                let number = *numbers.entry(name.clone()).or_insert(self.ends.len());
                if number == self.ends.len() {
                    let namespace = Some(class.namespace.to_string());
                    self.ends.push(MapEnd { name, namespace, pods: 0, group });
                }
                self.ends[number].pods += 1;
                places.pods.insert(pod.clone(), number);
            }
        }
        places
    }

    /// Pieces of the address space that are denied alike are one end. Returns the group of each piece.
    fn add_outside(&mut self, difference: &Difference, denied: &Denied, places: &mut Places) -> Vec<usize> {
        // What is said of a piece: the other end, whether the piece sends, and the ports.
        type Said<'d> = Vec<(End, bool, &'d PortSet)>;
        let mut alike: BTreeMap<(bool, Said), Vec<usize>> = BTreeMap::new();
        let spoken = |family: usize| self.groups.iter().any(|group| group.families[family]);
        let spoken = [spoken(0), spoken(1)];
        for (index, piece) in difference.outside.iter().enumerate() {
            if !spoken[usize::from(!piece.ipv4)] {
                continue;
            }
            let own = End::Outside(index);
            let said = denied.iter().filter_map(|((from, to), sets)| {
                let (other, sends) = match (*from == own, *to == own) {
                    (true, false) => (*to, true),
                    (false, true) => (*from, false),
                    _ => return None,
                };
                sets.iter().map(move |(_, ports)| (other, sends, ports)).next()
            });
            alike.entry((!piece.ipv4, said.collect())).or_default().push(index);
        }
        let mut groups = vec![usize::MAX; difference.outside.len()];
        for pieces in alike.into_values() {
            let ranges: Vec<&AddressRange> = pieces.iter().map(|it| &difference.outside[*it]).collect();
            let name = space::names(&ranges, SHOWN).join(", ");
            for index in &pieces {
                groups[*index] = self.groups.len();
                places.outside.push((difference.outside[*index].clone(), self.ends.len()));
            }
            self.ends.push(MapEnd { name, namespace: None, pods: 0, group: self.groups.len() });
            let ipv4 = ranges[0].ipv4;
            self.groups.push(Group { families: [ipv4, !ipv4], ..Group::default() });
        }
        groups
    }

    fn add_allowed(&mut self, denied: &Denied, outside: &[usize]) {
        let group_of = |end: &End| match end {
            End::Pods(index) => *index,
            End::Outside(index) => outside[*index],
        };
        let mut words: BTreeMap<String, usize> = BTreeMap::new();
        let mut allowed: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        let mut put = |map: &mut Self, from: usize, to: usize, text: String| {
            let next = words.len();
            let number = *words.entry(text.clone()).or_insert(next);
            if number == map.ports.len() {
                map.ports.push(text);
            }
            allowed.insert((from, to), number);
        };
        let said: BTreeMap<(usize, usize), &DeniedPorts> =
            denied.iter().map(|((from, to), sets)| ((group_of(from), group_of(to)), sets)).collect();
        for from in 0..self.groups.len() {
            for to in 0..self.groups.len() {
                let (source, target) = (&self.groups[from], &self.groups[to]);
                let judged = source.egress.is_some() || target.ingress.is_some();
                let meet = (0..2).any(|family| source.families[family] && target.families[family]);
                if !judged || !meet {
                    continue;
                }
                match said.get(&(from, to)) {
                    None => put(self, from, to, PortSet::default().complement().to_string()),
                    Some(sets) => {
                        if let Some(text) = allowed_words(sets) {
                            put(self, from, to, text);
                        }
                    }
                }
            }
        }
        self.allowed = allowed.into_iter().map(|((from, to), ports)| (from, to, ports)).collect();
    }

    /// The namespaces, sorted.
    fn namespaces(&self) -> BTreeSet<&str> {
        self.ends.iter().filter_map(|end| end.namespace.as_deref()).collect()
    }

    /// The allowed pairs of ends, with the ports in words.
    fn edges(&self) -> impl Iterator<Item = (usize, usize, &str)> {
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); self.groups.len()];
        for (index, end) in self.ends.iter().enumerate() {
            members[end.group].push(index);
        }
        self.allowed.iter().flat_map(move |(from, to, ports)| {
            let (from, to) = (members[*from].clone(), members[*to].clone());
            let pairs =
                from.into_iter().flat_map(move |from| to.clone().into_iter().map(move |to| (from, to)));
            let itself = |(from, to): &(usize, usize)| from == to && self.ends[*from].pods < 2;
            pairs.filter(move |pair| !itself(pair)).map(|(from, to)| (from, to, self.ports[*ports].as_str()))
        })
    }

    /// All of it as one line of JSON.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string(self).expect("a map is always JSON");
        format!("{text}\n")
    }
}

/// What is denied between two ends, by family where the two differ.
type Denied = BTreeMap<(End, End), DeniedPorts>;
type DeniedPorts = Vec<(Option<bool>, PortSet)>;

fn denied(difference: &Difference) -> Denied {
    let mut denied = Denied::new();
    for change in difference.changes.iter().filter(|change| !change.opens) {
        denied.entry((change.from, change.to)).or_default().push((change.ipv4, change.ports.clone()));
    }
    denied
}

/// What is left of everything; `None` when nothing is.
fn allowed_words(denied: &[(Option<bool>, PortSet)]) -> Option<String> {
    let left = |(family, ports): &(Option<bool>, PortSet)| {
        let allowed = ports.complement();
        let family = match family {
            None => "",
            Some(true) => " over IPv4",
            Some(false) => " over IPv6",
        };
        (!allowed.is_empty()).then(|| format!("{allowed}{family}"))
    };
    let mut parts: Vec<String> = denied.iter().filter_map(left).collect();
    // One family is denied something, and the other, which both ends have, nothing.
    if let [(Some(ipv4), _)] = denied {
        parts.push(format!("everything over {}", if *ipv4 { "IPv6" } else { "IPv4" }));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn group(snapshot: &Snapshot, pod: &ObjectKey, numbers: &BTreeMap<&ObjectKey, usize>) -> Group {
    let (labels, addresses) = {
        let pod = &snapshot.cluster.pods[pod];
        (&pod.labels, &pod.addresses)
    };
    let isolating = |direction: Direction| {
        let policies = snapshot.cluster.policies.iter().filter(|(key, policy)| {
            key.namespace == pod.namespace
                && policy.pod_selector.matches(labels)
                && direction.rules(policy).is_some()
                && snapshot.cluster.mode(key, policy) == Mode::Enforce
        });
        let found: Vec<usize> = policies.map(|(key, _)| numbers[key]).collect();
        (!found.is_empty()).then_some(found)
    };
    let families = [true, false].map(|ipv4| addresses.iter().any(|it| it.is_ipv4() == ipv4));
    Group { ingress: isolating(Direction::Ingress), egress: isolating(Direction::Egress), families }
}
