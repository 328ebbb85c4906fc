//! What a node enforces, and how it follows the cluster from step to step.

use std::collections::BTreeMap;
use std::sync::Arc;

use podwall_compiler::{Attachment, Engine, NodeOptions};
use podwall_policy::{Cluster, ObjectKey, Problem};
use podwall_ruleset::Transaction;

/// The policy of one node, kept from step to step.
pub struct NodePolicy {
    engine: Engine,
    attachments: BTreeMap<ObjectKey, Attachment>,
}

impl NodePolicy {
    /// A node that knows nothing, and whose kernel has nothing.
    pub fn new(node: &Arc<str>, options: &NodeOptions) -> Self {
        Self { engine: Engine::new(node.clone(), options.clone()), attachments: BTreeMap::new() }
    }

    /// Brings the node to a state; returns what its kernel is to change. What is as it was is not told again.
    pub fn move_to(
        &mut self,
        cluster: &Cluster,
        attachments: BTreeMap<ObjectKey, Attachment>,
        options: NodeOptions,
    ) -> Transaction {
        let engine = &mut self.engine;
        engine.set_options(options);
        let gone: Vec<ObjectKey> =
            engine.policy_keys().filter(|it| !cluster.policies.contains_key(it)).collect();
        gone.iter().for_each(|key| engine.remove_policy(key));
        let gone: Vec<ObjectKey> = engine.pod_keys().filter(|it| !cluster.pods.contains_key(it)).collect();
        gone.iter().for_each(|key| engine.remove_pod(key));
        let gone: Vec<Arc<str>> =
            engine.namespace_names().filter(|it| !cluster.namespaces.contains_key(it)).collect();
        gone.iter().for_each(|name| engine.remove_namespace(name));
        for key in self.attachments.keys().filter(|key| !attachments.contains_key(*key)) {
            engine.set_attachment(key.clone(), None);
        }
        for (key, attachment) in &attachments {
            engine.set_attachment(key.clone(), Some(attachment.clone()));
        }
        engine.set_audited_namespaces(&cluster.audited_namespaces);
        for (name, labels) in &cluster.namespaces {
            engine.set_namespace(name.clone(), labels.clone());
        }
        for (key, policy) in &cluster.policies {
            engine.set_policy(key.clone(), policy.clone());
        }
        for (key, pod) in &cluster.pods {
            engine.set_pod(key.clone(), pod.clone());
        }
        self.attachments = attachments;
        engine.take_changes()
    }

    /// What cannot be honoured.
    pub fn problems(&self) -> Vec<Problem> {
        self.engine.problems()
    }
}
