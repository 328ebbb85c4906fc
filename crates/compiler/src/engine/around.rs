//! What there is to say of a packet that was logged: whose it was, and what `evaluate` needs to say why.

use std::net::IpAddr;

use podwall_policy::{Cluster, Mode, ObjectKey};

use super::Engine;

impl Engine {
    /// The pod that an address belongs to now (S84), of this node or not.
    pub fn owner(&self, address: IpAddr) -> Option<ObjectKey> {
        Some(self.census.key(self.census.owners.get(address)?))
    }

    /// True for a pod of this node that takes part in policy.
    pub fn is_local(&self, pod: &ObjectKey) -> bool {
        self.census.find(pod).is_some_and(|id| self.census.is_local(id))
    }

    /// The part of the cluster that matters between two addresses: their pods, the namespaces of those, and the policies
    /// that select them. [`evaluate`](podwall_policy::evaluate) says of it what it says of the whole.
    pub fn around(&self, ends: [IpAddr; 2]) -> Cluster {
        let policies = &self.node.policies;
        let mut cluster =
            Cluster { audited_namespaces: policies.audited_namespaces().clone(), ..Cluster::default() };
        for id in ends.into_iter().filter_map(|address| self.census.owners.get(address)) {
            let (key, record) = (self.census.key(id), self.census.pods.get(id));
            let labels = self.census.labels(id);
            let selecting = policies.selecting(&key.namespace, labels);
            cluster.policies.extend(selecting.iter().map(|it| (it.key.clone(), it.policy.clone())));
            let namespace = self.census.identities.get_namespace(record.namespace);
            cluster.namespaces.insert(key.namespace.clone(), namespace.labels.clone());
            cluster.pods.insert(key, self.census.pods.to_pod(record, labels));
        }
        cluster
    }

    /// The policies in audit mode, of the whole cluster.
    pub fn audited_policies(&self) -> Vec<ObjectKey> {
        let policies = &self.node.policies;
        let audited = policies.all().iter().filter(|(key, policy)| policies.mode(key, policy) == Mode::Audit);
        audited.map(|(key, _)| key.clone()).collect()
    }
}
