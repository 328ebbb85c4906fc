//! The policies of the whole cluster. Those of namespaces without pods of this node are kept and not looked at.

use std::collections::HashMap;

use podwall_policy::{LabelSelector, Namespaces, NetworkPolicy, ObjectKey, Peer, Peers};

use crate::group::Policies;

/// See the module.
#[derive(Debug, Default)]
pub struct PolicyStore {
    policies: Policies,
    /// Each selector once, with the number of places where policies have it: thousands of policies say the same.
    selectors: HashMap<LabelSelector, u32>,
}

impl PolicyStore {
    /// All of them.
    pub fn all(&self) -> &Policies {
        &self.policies
    }

    /// Sets a policy. False when it says what it said before.
    pub fn insert(&mut self, key: ObjectKey, mut policy: NetworkPolicy) -> bool {
        if let Some(before) = self.policies.get_mut(&key)
            && (&before.pod_selector, &before.ingress, &before.egress)
                == (&policy.pod_selector, &policy.ingress, &policy.egress)
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
        self.policies.insert(key, policy);
        true
    }

    /// Removes a policy. False when it is not there.
    pub fn remove(&mut self, key: &ObjectKey) -> bool {
        let Some(mut policy) = self.policies.remove(key) else { return false };
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
