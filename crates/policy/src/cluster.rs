//! The present state of a cluster, as far as policy cares.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{Mode, NetworkPolicy, Node, ObjectKey, Pod, Service};
use crate::selector::Labels;

/// The present state of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Labels of the namespaces, `kubernetes.io/metadata.name` included (S48).
    pub namespaces: BTreeMap<Arc<str>, Labels>,
    /// The namespaces whose policies are audited, and not enforced, unless a policy says otherwise itself.
    pub audited_namespaces: BTreeSet<Arc<str>>,
    /// The pods.
    pub pods: BTreeMap<ObjectKey, Pod>,
    /// The policies.
    pub policies: BTreeMap<ObjectKey, NetworkPolicy>,
    /// The Services; they play no part in policy.
    pub services: BTreeMap<ObjectKey, Service>,
    /// The nodes.
    pub nodes: BTreeMap<Arc<str>, Node>,
}

/// The label that every namespace has, with its name as the value (S48).
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

impl Cluster {
    /// The labels of a namespace; of one that is not declared, only its name (S48).
    pub fn namespace_labels(&self, namespace: &Arc<str>) -> Labels {
        let mut labels = self.namespaces.get(namespace).cloned().unwrap_or_default();
        labels.insert(NAMESPACE_NAME_LABEL.into(), namespace.clone());
        labels
    }

    /// Whether a policy is enforced: its own annotation decides, then its namespace's.
    pub fn mode(&self, key: &ObjectKey, policy: &NetworkPolicy) -> Mode {
        policy.mode_in(self.audited_namespaces.contains(&key.namespace))
    }

    /// The same cluster with every policy enforced.
    pub fn with_all_enforced(&self) -> Self {
        let mut cluster = self.clone();
        cluster.audited_namespaces.clear();
        cluster.policies.values_mut().for_each(|policy| policy.mode = None);
        cluster
    }

    /// The owner of every address of a pod that takes part: where two pods report one address, the one that
    /// started last, and of two that started together the one whose name sorts last (S84).
    pub fn address_owners(&self) -> BTreeMap<IpAddr, &ObjectKey> {
        let mut owners: BTreeMap<IpAddr, (&Arc<str>, &ObjectKey)> = BTreeMap::new();
        for (key, pod) in self.pods.iter().filter(|(_, pod)| pod.takes_part()) {
            for address in &pod.addresses {
                let claim = (&pod.started, key);
                owners.entry(*address).and_modify(|owner| *owner = claim.max(*owner)).or_insert(claim);
            }
        }
        owners.into_iter().map(|(address, (_, key))| (address, key)).collect()
    }
}
