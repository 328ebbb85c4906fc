//! The state of a cluster as one node sees it, kept event by event, and the changes that each event makes to what
//! the node's kernel should hold.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use podwall_policy::{Cluster, Labels, NetworkPolicy, ObjectKey, Pod, Problem};

use podwall_ruleset::{Hook, InterfaceName, Known, Packet, Ruleset, Transaction, diff, judge};

use crate::{Attachment, Closed, Compiled, NodeOptions, NodeState, compile};

/// A connection as conntrack sees it: where it came from before any translation, and where it went after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The source address, before it was masqueraded.
    pub source: IpAddr,
    /// The destination address, after a Service was translated.
    pub destination: IpAddr,
    /// The number of the transport protocol.
    pub protocol: u8,
    /// The destination port after translation, if the protocol has ports.
    pub destination_port: Option<u16>,
    /// True when the destination is the node itself.
    pub to_node: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Engine {
    node: Arc<str>,
    options: NodeOptions,
    cluster: Cluster,
    attachments: BTreeMap<ObjectKey, Attachment>,
    closed: Closed,
    taken: Ruleset,
}

impl Engine {
    /// An engine that knows nothing yet: no table at all has been taken.
    pub fn new(node: Arc<str>, options: NodeOptions) -> Self {
        Self {
            node,
            options,
            cluster: Cluster::default(),
            attachments: BTreeMap::new(),
            closed: Closed::default(),
            taken: Ruleset::default(),
        }
    }

    /// A pod is there, in this version.
    pub fn set_pod(&mut self, key: ObjectKey, pod: Pod) {
        self.cluster.pods.insert(key, pod);
    }

    /// A pod is gone. Its attachment stays until it is taken away.
    pub fn remove_pod(&mut self, key: &ObjectKey) {
        self.cluster.pods.remove(key);
    }

    /// A namespace is there, with these labels.
    pub fn set_namespace(&mut self, name: Arc<str>, labels: Labels) {
        self.cluster.namespaces.insert(name, labels);
    }

    /// A namespace is gone.
    pub fn remove_namespace(&mut self, name: &str) {
        self.cluster.namespaces.remove(name);
    }

    /// A policy is there, in this version.
    pub fn set_policy(&mut self, key: ObjectKey, policy: NetworkPolicy) {
        self.cluster.policies.insert(key, policy);
    }

    /// A policy is gone.
    pub fn remove_policy(&mut self, key: &ObjectKey) {
        self.cluster.policies.remove(key);
    }

    /// How a local pod is attached; `None` when that is not known.
    pub fn set_attachment(&mut self, key: ObjectKey, attachment: Option<Attachment>) {
        match attachment {
            Some(attachment) => self.attachments.insert(key, attachment),
            None => self.attachments.remove(&key),
        };
    }

    /// What is closed though no known pod is behind it.
    pub fn set_closed(&mut self, closed: Closed) {
        self.closed = closed;
    }

    /// What the node's operator chose.
    pub fn set_options(&mut self, options: NodeOptions) {
        self.options = options;
    }

    /// What turns the ruleset as it was when this was called last into the present one; from nothing, the first
    /// time. Equal to what [`diff`] gives for the two, but for the order of independent operations.
    pub fn take_changes(&mut self) -> Transaction {
        let desired = self.ruleset();
        let known = std::mem::replace(&mut self.taken, desired);
        diff(&Known::Exactly(known), &self.taken)
    }

    /// The present ruleset was written in another way.
    pub fn forget_changes(&mut self) {
        self.taken = self.ruleset();
    }

    /// How much there is.
    pub fn counts(&self) -> Counts {
        Counts::default()
    }

    /// The local pods.
    pub fn local_pods(&self) -> Vec<LocalPodState> {
        Vec::new()
    }

    /// Everything that the kernel should hold: what [`compile`] gives for the present state.
    pub fn ruleset(&self) -> Ruleset {
        self.compiled().ruleset
    }

    /// What cannot be honoured; the pods concerned are closed.
    pub fn problems(&self) -> Vec<Problem> {
        self.compiled().problems
    }

    /// The present state, for `evaluate`. It is made for the occasion: do not ask in a hot loop.
    pub fn cluster(&self) -> Cluster {
        self.cluster.clone()
    }

    /// The pods' names.
    pub fn pod_keys(&self) -> impl Iterator<Item = ObjectKey> {
        self.cluster.pods.keys().cloned()
    }

    /// The names of the namespaces that were set.
    pub fn namespace_names(&self) -> impl Iterator<Item = Arc<str>> {
        self.cluster.namespaces.keys().cloned()
    }

    /// The policies' names.
    pub fn policy_keys(&self) -> impl Iterator<Item = ObjectKey> {
        self.cluster.policies.keys().cloned()
    }

    /// A policy.
    pub fn policy(&self, key: &ObjectKey) -> Option<&NetworkPolicy> {
        self.cluster.policies.get(key)
    }

    /// True when the kernel, holding the present ruleset, lets a new connection like this pass on this node. For
    /// connections that the node itself opens do not ask: they are never judged (S60).
    pub fn allows(&self, connection: &Connection) -> bool {
        let interface = |address: IpAddr| self.interface_of(address);
        let outside = || InterfaceName::new("other").expect("a short word");
        let packet = Packet {
            hook: if connection.to_node { Hook::Input } else { Hook::Forward },
            input_interface: Some(interface(connection.source).unwrap_or_else(outside)),
            output_interface: (!connection.to_node)
                .then(|| interface(connection.destination).unwrap_or_else(outside)),
            source: connection.source,
            destination: connection.destination,
            protocol: connection.protocol,
            source_port: Some(0),
            destination_port: connection.destination_port,
            icmpv6_type: None,
            state: None,
            mark: 0,
        };
        judge(&self.ruleset(), &packet)
    }

    fn interface_of(&self, address: IpAddr) -> Option<InterfaceName> {
        let owners = self.cluster.address_owners();
        match self.attachments.get(*owners.get(&address)?)? {
            Attachment::Routed(interface) => Some(interface.clone()),
            Attachment::Bridged { .. } => None,
        }
    }

    fn compiled(&self) -> Compiled {
        compile(NodeState {
            cluster: &self.cluster,
            node: &self.node,
            attachments: &self.attachments,
            closed: &self.closed,
            options: &self.options,
        })
    }
}

/// Counts
#[derive(Debug, Default)]
pub struct Counts {
    /// a
    pub pods: usize,
    /// a
    pub local_pods: usize,
    /// a
    pub namespaces: usize,
    /// a
    pub policies: usize,
    /// a
    pub tables: usize,
    /// a
    pub sets: usize,
    /// a
    pub elements: usize,
    /// a
    pub chains: usize,
    /// a
    pub rules: usize,
}
/// x
#[derive(Debug)]
pub struct LocalPodState {
    /// a
    pub key: ObjectKey,
    /// a
    pub addresses: Vec<IpAddr>,
    /// a
    pub attachment: Option<Attachment>,
    /// a
    pub ingress: Option<podwall_ruleset::Name>,
    /// a
    pub egress: Option<podwall_ruleset::Name>,
    /// a
    pub policies: Vec<ObjectKey>,
}
