//! The policies of the whole cluster. Those of namespaces without pods of this node are kept and not looked at.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use podwall_policy::{LabelSelector, Labels, Mode, Namespaces, NetworkPolicy, ObjectKey, Peer, Peers};

use super::label_index::{Bucket, buckets, buckets_of};
use crate::group::{Policies, Selecting};

/// See the module.
#[derive(Debug, Default)]
pub struct PolicyStore {
    policies: Policies,
    /// The namespaces whose policies are audited unless they say otherwise.
    audited_namespaces: BTreeSet<Arc<str>>,
    /// Where each is found by the labels of the pods that it may select: a namespace may have thousands.
    index: HashMap<Bucket, BTreeSet<ObjectKey>>,
    /// Each selector once, with the number of places where policies have it: thousands of policies say the same.
    selectors: HashMap<LabelSelector, u32>,
}

impl PolicyStore {
    /// All of them.
    pub fn all(&self) -> &Policies {
        &self.policies
    }

    /// The policies that select pods of these labels, sorted by name.
    pub fn selecting(&self, namespace: &Arc<str>, labels: &Labels) -> Vec<Selecting<'_>> {
        let found =
            buckets_of(Some(namespace), labels).filter_map(|bucket| self.index.get(&bucket)).flatten();
        let policies = found.filter_map(|key| self.policies.get_key_value(key));
        let selecting = policies.filter(|(_, policy)| policy.pod_selector.matches(labels));
        let with_mode = |(key, policy)| Selecting { key, policy, mode: self.mode(key, policy) };
        let mut selecting: Vec<_> = selecting.map(with_mode).collect();
        selecting.sort_unstable_by_key(|it| it.key);
        selecting
    }

    /// Whether a policy is enforced.
    pub fn mode(&self, key: &ObjectKey, policy: &NetworkPolicy) -> Mode {
        policy.mode_in(self.audited_namespaces.contains(&key.namespace))
    }

    /// The namespaces whose policies are audited unless they say otherwise.
    pub fn audited_namespaces(&self) -> &BTreeSet<Arc<str>> {
        &self.audited_namespaces
    }

    /// Sets what the policies of a namespace are unless they say otherwise. False when it was so before.
    pub fn set_namespace_mode(&mut self, namespace: &Arc<str>, mode: Mode) -> bool {
        match mode {
            Mode::Audit => self.audited_namespaces.insert(namespace.clone()),
            Mode::Enforce => self.audited_namespaces.remove(namespace),
        }
    }

    /// Sets a policy. False when it says what it said before.
    pub fn insert(&mut self, key: ObjectKey, mut policy: NetworkPolicy) -> bool {
        if let Some(before) = self.policies.get_mut(&key)
            && (&before.pod_selector, &before.ingress, &before.egress, before.mode)
                == (&policy.pod_selector, &policy.ingress, &policy.egress, policy.mode)
        {
            before.location = policy.location;
            return false;
        }
        for_each_selector(&mut policy, |selector| {
            *self.selectors.entry(selector.clone()).or_default() += 1;
            if let Some((shared, _)) = self.selectors.get_key_value(selector) {
                *selector = shared.clone();
            }
        });
        self.remove(&key);
        for bucket in buckets(Some(&key.namespace), &policy.pod_selector) {
            self.index.entry(bucket).or_default().insert(key.clone());
        }
        self.policies.insert(key, policy);
        true
    }

    /// Removes a policy. False when it is not there.
    pub fn remove(&mut self, key: &ObjectKey) -> bool {
        let Some(mut policy) = self.policies.remove(key) else { return false };
        for bucket in buckets(Some(&key.namespace), &policy.pod_selector) {
            if let Some(keys) = self.index.get_mut(&bucket) {
                keys.remove(key);
                if keys.is_empty() {
                    self.index.remove(&bucket);
                }
            }
        }
        for_each_selector(&mut policy, |selector| {
            if let Some(places) = self.selectors.get_mut(selector) {
                *places -= 1;
                if *places == 0 {
                    self.selectors.remove(selector);
                }
            }
        });
        true
    }
}

fn for_each_selector(policy: &mut NetworkPolicy, mut then: impl FnMut(&mut LabelSelector)) {
    then(&mut policy.pod_selector);
    for rule in policy.ingress.iter_mut().chain(&mut policy.egress).flatten() {
        let Peers::Only(peers) = &mut rule.peers else { continue };
        for peer in peers {
            if let Peer::Pods { namespaces, pods } = peer {
                then(pods);
                if let Namespaces::Selected(selector) = namespaces {
                    then(selector);
                }
            }
        }
    }
}
