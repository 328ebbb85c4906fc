//! Random changes of a cluster, the same for the same seed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use anyhow::Result;
use podwall_policy::{ContainerPort, Labels, ObjectKey, Pod, Protocol};
use serde_json::{Value as Json, json};

use crate::objects::{Kind, create};
use crate::world::{Order, World};

/// The namespaces that everything random is in.
const NAMESPACES: [&str; 5] = ["red", "green", "blue", "black", "white"];
const APPS: [&str; 4] = ["web", "api", "data", "batch"];
const TIERS: [&str; 2] = ["front", "back"];

/// Numbers that look random (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed named by `$SEED`, or one of the clock's; printed, so that a failure can be had again.
    pub fn from_environment() -> Result<Self> {
        let seed = match std::env::var("SEED") {
            Ok(text) => text.parse()?,
            Err(_) => {
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.subsec_nanos().into()
            }
        };
        println!("SEED={seed}");
        Ok(Self::new(seed))
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    /// One of these.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// Changes a world at random. Pods that are real stay between two numbers; the distant ones are objects only.
pub struct Driver {
    /// Where its numbers come from.
    pub random: Random,
    pods: BTreeMap<ObjectKey, Pod>,
    policies: Vec<ObjectKey>,
    free: Vec<(Arc<str>, Vec<IpAddr>)>,
    real_pods: std::ops::RangeInclusive<usize>,
    distant: Vec<ObjectKey>,
    made: usize,
}

impl Driver {
    /// A driver for the nodes of `world`, with so many real pods.
    pub fn new(random: Random, world: &World, real_pods: std::ops::RangeInclusive<usize>) -> Self {
        let mut free = Vec::new();
        for (index, node) in world.options.nodes.keys().enumerate() {
            free.extend((2..200).rev().map(|number| (node.clone(), addresses(index as u8, number))));
        }
        Self {
            random,
            pods: BTreeMap::new(),
            policies: Vec::new(),
            free,
            real_pods,
            distant: Vec::new(),
            made: 0,
        }
    }

    /// The cluster to begin with: the real pods, distant ones, and policies.
    pub fn begin(&mut self, world: &mut World, distant: usize, policies: usize) -> Result<()> {
        for name in NAMESPACES {
            self.relabel_namespace(world, name)?;
        }
        for _ in 0..*self.real_pods.end() {
            self.add_pod(world)?;
        }
        let mut pods = Vec::new();
        for index in 0..distant {
            let key = self.new_key();
            let number = (index % 250) as u8 + 2;
            let block = 16 + (index / 250) as u8;
            pods.push((key.clone(), self.new_pod("elsewhere".into(), addresses(block, number))));
            self.distant.push(key);
        }
        world.add_distant_pods(&pods)?;
        let mut calls = Vec::new();
        for _ in 0..policies {
            let key = self.new_key();
            calls.push(create(Kind::NetworkPolicy, &self.new_policy(&key)));
            self.policies.push(key);
        }
        world.objects.call_all(calls)
    }

    /// Removes all that it has made but namespaces.
    pub fn end(&mut self, world: &mut World) -> Result<()> {
        for key in std::mem::take(&mut self.policies) {
            world.objects.delete(Kind::NetworkPolicy, &key)?;
        }
        for key in std::mem::take(&mut self.distant) {
            world.objects.delete(Kind::Pod, &key)?;
        }
        for key in std::mem::take(&mut self.pods).into_keys() {
            world.remove_pod(&key, Order::Object)?;
        }
        Ok(())
    }

    /// Makes one change, and says which.
    pub fn change(&mut self, world: &mut World) -> Result<String> {
        match self.random.below(10) {
            0 if self.pods.len() < *self.real_pods.end() => self.add_pod(world),
            0 | 1 if self.pods.len() > *self.real_pods.start() => self.remove_pod(world),
            2 | 3 => self.relabel_pod(world),
            4 => {
                let name = *self.random.one(&NAMESPACES);
                self.relabel_namespace(world, name)
            }
            5 if !self.distant.is_empty() => self.relabel_distant_pod(world),
            6 if self.policies.len() > 1 => self.remove_policy(world),
            7 | 8 if !self.policies.is_empty() => self.edit_policy(world),
            _ => self.add_policy(world),
        }
    }

    /// The real pods there are.
    pub fn pods(&self) -> &BTreeMap<ObjectKey, Pod> {
        &self.pods
    }

    fn add_pod(&mut self, world: &mut World) -> Result<String> {
        let place = self.random.below(self.free.len());
        // Mostly the address that was given back last.
        let place = if self.random.once_in(3) { place } else { self.free.len() - 1 };
        let (node, addresses) = self.free.remove(place);
        let (key, order) = (self.new_key(), self.order());
        let pod = self.new_pod(node, addresses);
        world.add_pod(&key, &pod, order)?;
        self.pods.insert(key.clone(), pod);
        Ok(format!("add pod {key}, {order:?} first"))
    }

    fn remove_pod(&mut self, world: &mut World) -> Result<String> {
        let (key, order) = (self.some_pod(), self.order());
        world.remove_pod(&key, order)?;
        if let Some(pod) = self.pods.remove(&key) {
            self.free.extend(pod.node.map(|node| (node, pod.addresses)));
        }
        Ok(format!("remove pod {key}, {order:?} first"))
    }

    fn relabel_pod(&mut self, world: &mut World) -> Result<String> {
        let (key, labels) = (self.some_pod(), self.labels());
        world.relabel_pod(&key, &labels)?;
        Ok(format!("relabel pod {key} {labels:?}"))
    }

    fn relabel_distant_pod(&mut self, world: &mut World) -> Result<String> {
        let key = self.random.one(&self.distant).clone();
        world.relabel_pod(&key, &self.labels())?;
        Ok(format!("relabel distant pod {key}"))
    }

    fn relabel_namespace(&mut self, world: &World, name: &str) -> Result<String> {
        let team: Arc<str> = (*self.random.one(&["one", "two", "three"])).into();
        let labels = match self.random.once_in(4) {
            true => Labels::default(),
            false => Labels::from([("team".into(), team)]),
        };
        world.put_namespace(name, &labels)?;
        Ok(format!("relabel namespace {name} {labels:?}"))
    }

    fn add_policy(&mut self, world: &World) -> Result<String> {
        let key = self.new_key();
        world.objects.create(Kind::NetworkPolicy, &self.new_policy(&key))?;
        self.policies.push(key.clone());
        Ok(format!("add policy {key}"))
    }

    fn edit_policy(&mut self, world: &World) -> Result<String> {
        let key = self.random.one(&self.policies).clone();
        world.objects.put(Kind::NetworkPolicy, &self.new_policy(&key))?;
        Ok(format!("edit policy {key}"))
    }

    fn remove_policy(&mut self, world: &World) -> Result<String> {
        let key = self.policies.swap_remove(self.random.below(self.policies.len()));
        world.objects.delete(Kind::NetworkPolicy, &key)?;
        Ok(format!("remove policy {key}"))
    }

    fn some_pod(&mut self) -> ObjectKey {
        let index = self.random.below(self.pods.len());
        self.pods.keys().nth(index).expect("below their number").clone()
    }

    fn order(&mut self) -> Order {
        *self.random.one(&[Order::Link, Order::Object])
    }

    fn new_key(&mut self) -> ObjectKey {
        self.made += 1;
        ObjectKey::new(*self.random.one(&NAMESPACES), format!("n{}", self.made))
    }

    fn labels(&mut self) -> Labels {
        let mut labels = Labels::from([("app".into(), (*self.random.one(&APPS)).into())]);
        if !self.random.once_in(3) {
            labels.insert("tier".into(), (*self.random.one(&TIERS)).into());
        }
        labels
    }

    fn new_pod(&mut self, node: Arc<str>, addresses: Vec<IpAddr>) -> Pod {
        let port =
            |name: Option<&str>, port, protocol| ContainerPort { name: name.map(Into::into), port, protocol };
        // What a name means differs from pod to pod.
        let named = if self.random.once_in(2) { 80 } else { 8001 };
        let other = if named == 80 { 8001 } else { 80 };
        Pod {
            labels: self.labels(),
            node: Some(node),
            addresses,
            host_network: false,
            finished: false,
            terminating: false,
            started: "".into(),
            ports: vec![
                port(Some("http"), named, Protocol::Tcp),
                port(None, other, Protocol::Tcp),
                port(Some("dns"), 53, Protocol::Udp),
            ],
            anti_spoofing: None,
            location: None,
        }
    }

    fn new_policy(&mut self, key: &ObjectKey) -> Json {
        let both = [vec!["Ingress"], vec!["Egress"], vec!["Ingress", "Egress"]];
        let types = self.random.one(&both);
        let mut spec = json!({"podSelector": self.selector(), "policyTypes": types});
        for kind in types {
            let (rules, peers) = if *kind == "Ingress" { ("ingress", "from") } else { ("egress", "to") };
            let count = self.random.below(3);
            spec[rules] = (0..count).map(|_| self.rule(peers)).collect();
        }
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
               "metadata": {"name": &*key.name, "namespace": &*key.namespace}, "spec": spec})
    }

    fn rule(&mut self, peers: &str) -> Json {
        let mut rule = json!({});
        let count = self.random.below(3);
        if count > 0 {
            rule[peers] = (0..count).map(|_| self.peer()).collect();
        }
        let ports = [
            json!({"port": 80}),
            json!({"port": 53, "protocol": "UDP"}),
            json!({"port": "http"}),
            json!({"port": 8000, "endPort": 8010}),
            json!({"protocol": "UDP"}),
        ];
        let count = self.random.below(3);
        if count > 0 {
            rule["ports"] = (0..count).map(|_| self.random.one(&ports).clone()).collect();
        }
        rule
    }

    fn peer(&mut self) -> Json {
        let teams = json!({"matchLabels": {"team": *self.random.one(&["one", "two", "three"])}});
        match self.random.below(6) {
            0 => json!({"podSelector": self.selector()}),
            1 => json!({"namespaceSelector": teams}),
            2 | 3 => json!({"namespaceSelector": teams, "podSelector": self.selector()}),
            4 => json!({"namespaceSelector": {}, "podSelector": self.selector()}),
            _ => self
                .random
                .one(&[
                    json!({"ipBlock": {"cidr": "10.244.0.0/16", "except": ["10.244.1.0/24"]}}),
                    json!({"ipBlock": {"cidr": "fd00:10:244::/48", "except": ["fd00:10:244:1::/64"]}}),
                    json!({"ipBlock": {"cidr": "203.0.113.0/24"}}),
                    json!({"ipBlock": {"cidr": "2001:db8::/32"}}),
                ])
                .clone(),
        }
    }

    fn selector(&mut self) -> Json {
        let app = *self.random.one(&APPS);
        match self.random.below(5) {
            0 => json!({}),
            1 => json!({"matchLabels": {"tier": *self.random.one(&TIERS)}}),
            2 => json!({"matchExpressions": [{"key": "app", "operator": "In", "values": [app, "batch"]}]}),
            3 => json!({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}),
            _ => json!({"matchLabels": {"app": app}}),
        }
    }
}

/// The addresses of a pod, of both families.
fn addresses(node: u8, number: u8) -> Vec<IpAddr> {
    let ipv4 = Ipv4Addr::new(10, 244, node, number);
    let ipv6 = Ipv6Addr::new(0xfd00, 0x10, 0x244, node.into(), 0, 0, 0, number.into());
    vec![ipv4.into(), ipv6.into()]
}
