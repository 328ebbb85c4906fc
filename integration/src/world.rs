//! Nodes and pods of the lab whose objects are in an API server. We are the kubelet and the network plugin: who makes
//! a pod's link, and who says that it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use podwall_lab::{
    Families, Layout, Listeners, NetworkNamespace, OutsideHost, Party, Prober, Scene, Settings, Topology,
    service_addresses, service_ruleset,
};
use podwall_policy::{
    Cluster, Labels, Manifests, NAMESPACE_NAME_LABEL, Node, ObjectKey, PlacementOptions, Pod, Protocol,
    Transport, place,
};
use serde_json::{Map, Value as Json, json};

use crate::agent::Agent;
use crate::api_server::ApiServer;
use crate::json;
use crate::objects::{self, Kind, Objects};
use crate::stream::Stream;

/// How long each of a probe's two attempts waits for an answer.
const PROBE_TIMEOUT: Duration = Duration::from_millis(100);
/// How long an agent may take to be in sync.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// What the API server has for itself.
const SYSTEM_NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// What a world is like.
#[derive(Debug, Clone)]
pub struct WorldOptions {
    /// How pods are attached.
    pub layout: Layout,
    /// The families of addresses.
    pub families: Families,
    /// The nodes that are real.
    pub nodes: BTreeMap<Arc<str>, Node>,
    /// Hosts outside the cluster.
    pub outside: Vec<OutsideHost>,
    /// What agents are told of pods that they do not know: true closes them.
    pub drop_unknown: bool,
}

impl WorldOptions {
    /// Both families, one host outside, and so many nodes called `node-1` and on.
    pub fn new(layout: Layout, node_count: usize) -> Self {
        let options = PlacementOptions { node_count, ipv4: true, ipv6: true };
        let addresses = ["203.0.113.50", "2001:db8::50"].map(|text| text.parse().expect("an address"));
        Self {
            layout,
            families: Families { ipv4: true, ipv6: true },
            nodes: place(&Manifests::default(), &options, None).nodes,
            outside: vec![OutsideHost { name: "internet".into(), addresses: addresses.to_vec() }],
            drop_unknown: false,
        }
    }
}

/// What comes first when a pod begins, and ends first when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Its link.
    Link,
    /// What the API server says of it.
    Object,
}

/// Nodes, pods, and their objects. What it has in the API server is removed by the next world there.
pub struct World {
    /// The API server, as an administrator.
    pub objects: Objects,
    /// The agents, by node.
    pub agents: BTreeMap<Arc<str>, Agent>,
    /// What probes dial.
    pub transports: BTreeSet<Transport>,
    pub(crate) options: WorldOptions,
    /// The nodes, the Services, and the pods that have links.
    linked: Cluster,
    pub(crate) scene: Scene,
    pub(crate) topology: Topology,
    listeners: Listeners,
    pub(crate) prober: Prober,
}

impl World {
    /// The nodes, with agents that are not yet started.
    pub fn new(api: &ApiServer, options: WorldOptions) -> Result<Self> {
        let settings =
            Settings { families: options.families, layout: options.layout, node_sysctls: Vec::new() };
        let mut world = Self {
            objects: Objects::new(&api.admin())?,
            agents: BTreeMap::new(),
            transports: BTreeSet::from([
                Transport::Port(Protocol::Tcp, 80),
                Transport::Port(Protocol::Udp, 53),
            ]),
            linked: Cluster { nodes: options.nodes.clone(), ..Cluster::default() },
            options,
            scene: Scene::default(),
            topology: Topology::new(settings)?,
            listeners: Listeners::start()?,
            prober: Prober::new(PROBE_TIMEOUT),
        };
        world.empty_api_server()?;
        world.follow()?;
        let logs: PathBuf = api.folder().join("agents");
        std::fs::create_dir_all(&logs)?;
        for (index, name) in world.options.nodes.keys().enumerate() {
            let namespace = world.namespace(&Party::Node(name.clone()))?;
            let agent = Agent::new(name, namespace, &api.agent(), world.options.drop_unknown, &logs)?;
            agent.write_cni_configuration(world.options.layout, index)?;
            world.agents.insert(name.clone(), agent);
        }
        Ok(world)
    }

    /// Starts all agents, and waits until they are in sync.
    pub fn start_agents(&mut self) -> Result<()> {
        self.agents.values_mut().try_for_each(Agent::start)?;
        self.agents.values_mut().try_for_each(|agent| agent.wait_until_ready(READY_LIMIT).map(drop))
    }

    /// Creates a namespace, or gives it exactly these labels.
    pub fn put_namespace(&self, name: &str, labels: &Labels) -> Result<()> {
        let own = labels.iter().filter(|(label, _)| &***label != NAMESPACE_NAME_LABEL);
        let labels: Map<String, Json> =
            own.map(|(name, value)| (name.to_string(), (&**value).into())).collect();
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        self.objects.put(Kind::Namespace, &object)
    }

    /// Creates a pod and lets it run, in this order.
    pub fn add_pod(&mut self, key: &ObjectKey, pod: &Pod, first: Order) -> Result<()> {
        self.objects.create(Kind::Pod, &json::pod(key, pod))?;
        match first {
            Order::Link => self.link_pod(key, pod).and_then(|()| self.report_pod(key, pod)),
            Order::Object => self.report_pod(key, pod).and_then(|()| self.link_pod(key, pod)),
        }?;
        if pod.terminating {
            let grace = json!({"gracePeriodSeconds": 3600});
            self.objects.call(Method::DELETE, &objects::one(Kind::Pod, key), grace)?;
        }
        Ok(())
    }

    /// Ends a pod and deletes it, in this order.
    pub fn remove_pod(&mut self, key: &ObjectKey, first: Order) -> Result<()> {
        if first == Order::Link {
            self.unlink_pod(key)?;
        }
        self.objects.delete(Kind::Pod, key)?;
        self.unlink_pod(key)
    }

    /// Many pods that are only objects, all at once: on nodes that are not real.
    pub fn add_distant_pods(&self, pods: &[(ObjectKey, Pod)]) -> Result<()> {
        let create = |(key, pod): &(ObjectKey, Pod)| objects::create(Kind::Pod, &json::pod(key, pod));
        self.objects.call_all(pods.iter().map(create).collect())?;
        self.objects.call_all(pods.iter().map(|(key, pod)| report(key, pod, None)).collect())
    }

    /// What the network plugin does for a new pod.
    pub fn link_pod(&mut self, key: &ObjectKey, pod: &Pod) -> Result<()> {
        self.linked.pods.insert(key.clone(), pod.clone());
        self.follow()
    }

    /// What the network plugin does when a pod ends.
    pub fn unlink_pod(&mut self, key: &ObjectKey) -> Result<()> {
        match self.linked.pods.remove(key) {
            Some(_) => self.follow(),
            None => Ok(()),
        }
    }

    /// What the kubelet reports once a pod runs.
    pub fn report_pod(&self, key: &ObjectKey, pod: &Pod) -> Result<()> {
        let host = pod.node.as_ref().and_then(|node| self.options.nodes.get(node));
        let (method, path, body) = report(key, pod, host.and_then(|node| node.addresses.first().copied()));
        self.objects.call(method, &path, body).map(drop)
    }

    /// Brings objects and links to this state, as a user, a kubelet and a network plugin would. `policies` are the
    /// policies as they were written.
    pub fn move_to(&mut self, cluster: &Cluster, policies: &[Json]) -> Result<()> {
        let empty = Labels::default();
        let used = cluster.pods.keys().map(|key| &key.namespace);
        for name in cluster.namespaces.keys().chain(used).collect::<BTreeSet<_>>() {
            self.put_namespace(name, cluster.namespaces.get(name).unwrap_or(&empty))?;
        }
        let wanted: BTreeSet<ObjectKey> = policies.iter().map(objects::key_of).collect();
        for key in self.objects.keys(Kind::NetworkPolicy)?.iter().filter(|key| !wanted.contains(key)) {
            self.objects.delete(Kind::NetworkPolicy, key)?;
        }
        let before = self.linked.pods.clone();
        for key in before.keys().filter(|key| !same_but_labels(cluster.pods.get(key), before.get(key))) {
            self.remove_pod(key, Order::Object)?;
        }
        let used: BTreeSet<&str> = cluster
            .namespaces
            .keys()
            .chain(cluster.pods.keys().map(|key| &key.namespace))
            .map(|it| &**it)
            .collect();
        for key in self.objects.keys(Kind::Namespace)? {
            if !used.contains(&*key.name) && !SYSTEM_NAMESPACES.contains(&&*key.name) {
                self.objects.delete(Kind::Namespace, &key)?;
            }
        }
        for policy in policies {
            self.objects.put(Kind::NetworkPolicy, policy)?;
        }
        for key in self.linked.services.keys() {
            self.objects.delete(Kind::Service, key)?;
        }
        for (key, service) in &cluster.services {
            self.objects.create(Kind::Service, &json::service(key, service))?;
        }
        self.linked.services = cluster.services.clone();
        for (key, pod) in &cluster.pods {
            match self.linked.pods.contains_key(key) {
                true => self.relabel_pod(key, &pod.labels)?,
                false => self.add_pod(key, pod, Order::Link)?,
            }
        }
        self.follow()
    }

    /// Gives a pod exactly these labels.
    pub fn relabel_pod(&mut self, key: &ObjectKey, labels: &Labels) -> Result<()> {
        let object = self.objects.call(Method::GET, &objects::one(Kind::Pod, key), Json::Null)?;
        let before = object["metadata"]["labels"].as_object().into_iter().flatten();
        let mut change: Map<String, Json> = before.map(|(name, _)| (name.clone(), Json::Null)).collect();
        change.extend(labels.iter().map(|(name, value)| (name.to_string(), (&**value).into())));
        self.objects.patch(Kind::Pod, key, json!({"metadata": {"labels": change}}))?;
        if let Some(pod) = self.linked.pods.get_mut(key) {
            pod.labels = labels.clone();
        }
        Ok(())
    }

    /// A stream of packets from one host to another, for as long as it is held.
    pub fn stream(
        &self,
        from: &Party,
        to: &Party,
        transport: Transport,
        interval: Duration,
        ipv4: bool,
    ) -> Result<Stream> {
        let address = |party: &Party| {
            let found = self.scene.addresses(party).iter().copied().find(|address| address.is_ipv4() == ipv4);
            found.with_context(|| format!("{party} has no such address"))
        };
        Stream::start(self.namespace(from)?, address(from)?, address(to)?, transport, interval)
    }

    /// The namespace of a host.
    pub fn namespace(&self, party: &Party) -> Result<NetworkNamespace> {
        let found = self.topology.namespace(&self.scene.host_of(party));
        Ok(found.with_context(|| format!("there is no {party}"))?.duplicate()?)
    }

    /// An address of a host.
    pub fn address(&self, party: &Party) -> Result<IpAddr> {
        let addresses = self.scene.addresses(party);
        addresses.first().copied().with_context(|| format!("{party} has no address"))
    }

    /// All addresses of a host.
    pub fn addresses(&self, party: &Party) -> Vec<IpAddr> {
        self.scene.addresses(party).to_vec()
    }

    /// Makes hosts, links, listeners and Services follow what is linked.
    fn follow(&mut self) -> Result<()> {
        self.scene = Scene::new(&self.linked, &self.options.outside, self.options.families);
        let scene = &self.scene;
        for gone in self.topology.remove_surplus(scene)? {
            self.listeners.remove(&gone);
        }
        self.topology.add_nodes(scene)?;
        let services = service_addresses(&self.linked, scene);
        if !services.is_empty() || !self.linked.services.is_empty() {
            for node in scene.nodes.keys() {
                self.topology.set_services(node, service_ruleset(&services))?;
            }
        }
        self.topology.add_pods(scene)?;
        self.topology.update_neighbours(scene)?;
        self.topology.wait_for_links()?;
        let sctp = self.transports.iter().any(|it| matches!(it, Transport::Port(Protocol::Sctp, _)));
        for (host, (addresses, ports)) in scene.listening() {
            if let Some(namespace) = self.topology.namespace(&host) {
                self.listeners.set(&host, namespace, &addresses, &ports, sctp)?;
            }
        }
        Ok(())
    }

    fn empty_api_server(&self) -> Result<()> {
        for kind in [Kind::NetworkPolicy, Kind::Pod, Kind::Service, Kind::Namespace] {
            let is_ours = |key: &ObjectKey| match kind {
                Kind::Namespace => !SYSTEM_NAMESPACES.contains(&&*key.name),
                Kind::Service => &*key.name != "kubernetes",
                _ => true,
            };
            for key in self.objects.keys(kind)?.iter().filter(|key| is_ours(key)) {
                self.objects.delete(kind, key)?;
            }
        }
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.agents.clear();
        // The listeners' thread lives on, and its sockets would keep their namespaces.
        match self.topology.remove_surplus(&Scene::default()) {
            Ok(gone) => gone.iter().for_each(|host| self.listeners.remove(host)),
            Err(error) => eprintln!("a world is not wholly removed: {error}"),
        }
    }
}

fn report(key: &ObjectKey, pod: &Pod, host: Option<IpAddr>) -> objects::Call {
    (Method::PATCH, format!("{}/status", objects::one(Kind::Pod, key)), json::running(pod, host))
}

fn same_but_labels(one: Option<&Pod>, other: Option<&Pod>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return false };
    Pod { labels: Labels::default(), location: None, ..one.clone() }
        == Pod { labels: Labels::default(), location: None, ..other.clone() }
}
