//! What the policies of one end see of the other: ends that look alike to them are judged alike, and `evaluate` is asked
//! about one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use podwall_policy::{Cluster, IpBlock, LabelSelector, Namespaces, ObjectKey, Peer, Peers};

use super::class::selecting;
use crate::field::Direction;

/// What a peer asks of the other end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    /// Whether it is a pod of this namespace, or of one with such labels, that is selected.
    Pods { namespaces: Result<Arc<str>, LabelSelector>, pods: LabelSelector },
    /// Whether its address is in the block.
    Block(IpBlock),
}

impl Asked {
    fn of(peer: &Peer, own: &Arc<str>) -> Option<Self> {
        match peer {
            Peer::Unreadable => None,
            Peer::Block(block) => Some(Asked::Block(block.clone())),
            Peer::Pods { namespaces, pods } => {
                let namespaces = match namespaces {
                    Namespaces::Own => Ok(own.clone()),
                    Namespaces::Selected(selector) => Err(selector.clone()),
                };
                Some(Asked::Pods { namespaces, pods: pods.clone() })
            }
        }
    }

    fn holds(&self, cluster: &Cluster, pod: Option<&ObjectKey>, address: IpAddr) -> bool {
        match self {
            Asked::Block(block) => {
                block.cidr.contains(&address) && !block.except.iter().any(|except| except.contains(&address))
            }
            Asked::Pods { namespaces, pods } => pod.is_some_and(|key| {
                let is_there = match namespaces {
                    Ok(namespace) => *namespace == key.namespace,
                    Err(selector) => selector.matches(&cluster.namespace_labels(&key.namespace)),
                };
                is_there && cluster.pods.get(key).is_some_and(|pod| pods.matches(&pod.labels))
            }),
        }
    }
}

/// The questions of all classes, numbered, and what each end answers.
#[derive(Debug, Default)]
pub struct Views {
    asked: BTreeMap<Asked, usize>,
    /// By class: what its policies ask, of whom it sends to and of who sends to it.
    of_classes: Vec<[Vec<usize>; 2]>,
    /// By end: the answers.
    answers: Vec<Vec<bool>>,
}

fn index(direction: Direction) -> usize {
    match direction {
        Direction::Ingress => 0,
        Direction::Egress => 1,
    }
}

impl Views {
    /// Takes in what the policies ask that isolate a pod in one of the states.
    pub fn add_class(&mut self, states: [&Cluster; 2], pod: &ObjectKey) {
        let mut own: [BTreeSet<usize>; 2] = Default::default();
        for (policy, it) in states.into_iter().flat_map(|state| selecting(state, pod)) {
            for direction in Direction::BOTH {
                for rule in direction.rules(it).unwrap_or_default() {
                    let Peers::Only(peers) = &rule.peers else { continue };
                    for asked in peers.iter().filter_map(|peer| Asked::of(peer, &policy.namespace)) {
                        let next = self.asked.len();
                        own[index(direction)].insert(*self.asked.entry(asked).or_insert(next));
                    }
                }
            }
        }
        self.of_classes.push(own.map(|asked| asked.into_iter().collect()));
    }

    /// Takes in an end's answers, once all classes are; they come in the order in which ends are numbered.
    pub fn add_end(&mut self, cluster: &Cluster, pod: Option<&ObjectKey>, address: Option<IpAddr>) {
        let mut answers = vec![false; self.asked.len()];
        if let Some(address) = address {
            for (asked, number) in &self.asked {
                answers[*number] = asked.holds(cluster, pod, address);
            }
        }
        self.answers.push(answers);
    }

    /// What the policies of a class see of an end.
    pub fn view(&self, class: usize, direction: Direction, end: usize) -> Vec<bool> {
        let answers = &self.answers[end];
        self.of_classes[class][index(direction)].iter().map(|number| answers[*number]).collect()
    }
}
