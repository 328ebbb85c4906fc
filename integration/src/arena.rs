//! Where faults are tried: a server on one node, who may reach it and who may not on both, and streams between them.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use podwall_lab::{Layout, Outcome, Party};
use podwall_policy::{ContainerPort, Labels, ObjectKey, Pod, Protocol, Transport};
use serde_json::{Value as Json, json};

use crate::api_server::ApiServer;
use crate::objects::Kind;
use crate::stream::{Stream, finish_all};
use crate::world::{Order, World, WorldOptions};

/// The namespace of its pods.
pub const NAMESPACE: &str = "arena";
/// A datagram that is echoed.
pub const UDP: Transport = Transport::Port(Protocol::Udp, 53);
/// A connection that is opened.
pub const TCP: Transport = Transport::Port(Protocol::Tcp, 80);
const INTERVAL: Duration = Duration::from_millis(5);

/// The pods: name, which is also its label `app`, and node.
const PODS: [(&str, u8); 5] =
    [("server", 1), ("friend", 2), ("stranger", 2), ("neighbour", 1), ("subject", 1)];

/// Who asks whom, how, by IPv4 or else IPv6, and whether that is allowed.
const STREAMS: [(&str, &str, Transport, bool, bool); 6] = [
    ("friend", "server", UDP, true, true),
    ("friend", "server", TCP, false, true),
    ("stranger", "server", UDP, true, false),
    ("stranger", "server", TCP, false, false),
    ("neighbour", "server", UDP, false, false),
    ("server", "friend", UDP, true, true),
];

/// The numbers of their addresses begin here; random pods have lower ones.
const FIRST_NUMBER: u8 = 210;

/// The world, with a policy that lets only `friend` reach `server`.
pub fn world(api: &ApiServer, layout: Layout, drop_unknown: bool) -> Result<World> {
    let mut options = WorldOptions::new(layout, 2);
    options.drop_unknown = drop_unknown;
    let mut world = World::new(api, options)?;
    world.put_namespace(NAMESPACE, &Labels::default())?;
    for (index, (name, node)) in PODS.into_iter().enumerate() {
        world.add_pod(&key(name), &pod(name, node, FIRST_NUMBER + index as u8), Order::Link)?;
    }
    world.objects.put(Kind::NetworkPolicy, &from_friend_only("server"))?;
    Ok(world)
}

/// The same, enforced by agents.
pub fn enforced(api: &ApiServer, layout: Layout, drop_unknown: bool) -> Result<World> {
    let mut world = world(api, layout, drop_unknown)?;
    world.start_agents()?;
    world.until_agreed(Duration::from_secs(5))?;
    Ok(world)
}

/// A pod of the arena.
pub fn key(name: &str) -> ObjectKey {
    ObjectKey::new(NAMESPACE, name)
}

/// The same, as somebody who sends packets.
pub fn party(name: &str) -> Party {
    Party::Pod(key(name))
}

/// A pod that listens on all ports of the streams, labelled `app=NAME`.
pub fn pod(name: &str, node: u8, number: u8) -> Pod {
    let index = node - 1;
    let addresses = [format!("10.244.{index}.{number}"), format!("fd00:10:244:{index}::{number:x}")];
    let ports = [(53, Protocol::Udp), (80, Protocol::Tcp)];
    Pod {
        labels: Labels::from([("app".into(), name.into())]),
        node: Some(format!("node-{node}").into()),
        addresses: addresses.map(|text| text.parse().expect("an address")).to_vec(),
        host_network: false,
        finished: false,
        terminating: false,
        started: "".into(),
        ports: ports.map(|(port, protocol)| ContainerPort { name: None, port, protocol }).to_vec(),
        anti_spoofing: None,
        location: None,
    }
}

/// Only `friend` may reach the pods of this app.
pub fn from_friend_only(app: &str) -> Json {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": app, "namespace": NAMESPACE},
        "spec": {
            "podSelector": {"matchLabels": {"app": app}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}]}],
        },
    })
}

/// Streams under way, of which each should always pass or never.
pub struct Traffic {
    streams: Vec<(String, bool, Stream)>,
}

/// What became of the packets.
#[derive(Debug, Default)]
pub struct Fate {
    /// How many there were.
    pub packets: usize,
    /// Allowed ones that did not pass.
    pub lost: Vec<Stray>,
    /// Denied ones that passed.
    pub leaked: Vec<Stray>,
}

/// A packet that went otherwise than it should.
#[derive(Debug)]
pub struct Stray {
    /// The stream it is of.
    pub stream: String,
    /// When it was sent, since the start.
    pub at: Duration,
    /// What became of it.
    pub outcome: Outcome,
}

impl Traffic {
    /// Starts all streams.
    pub fn start(world: &World) -> Result<Self> {
        let mut streams = Vec::new();
        for (from, to, transport, ipv4, allowed) in STREAMS {
            let stream = world.stream(&party(from), &party(to), transport, INTERVAL, ipv4)?;
            streams.push((format!("{from} -> {to} {transport:?}"), allowed, stream));
        }
        Ok(Self { streams })
    }

    /// Ends all streams; times are counted from `start`.
    pub fn finish(self, start: Instant) -> Result<Fate> {
        let mut fate = Fate::default();
        let (names, streams): (Vec<_>, Vec<_>) =
            self.streams.into_iter().map(|(name, allowed, stream)| ((name, allowed), stream)).unzip();
        for ((name, allowed), shots) in names.into_iter().zip(finish_all(streams)?) {
            ensure!(!shots.is_empty(), "{name}: not one packet was sent");
            fate.packets += shots.len();
            for shot in shots.iter().filter(|shot| shot.passed() != allowed) {
                let list = if allowed { &mut fate.lost } else { &mut fate.leaked };
                let at = shot.at.saturating_duration_since(start);
                list.push(Stray { stream: name.clone(), at, outcome: shot.outcome.clone() });
            }
        }
        Ok(fate)
    }
}

impl Fate {
    /// Fails when a packet went otherwise than it should.
    pub fn check(&self) -> Result<()> {
        if self.lost.is_empty() && self.leaked.is_empty() {
            return Ok(());
        }
        let show = |list: &[Stray]| match list {
            [] => "none".to_owned(),
            [first, .., last] => format!("{first:?} to {last:?}"),
            [one] => format!("{one:?}"),
        };
        let (lost, leaked) = (self.lost.len(), self.leaked.len());
        bail!(
            "of {} packets {lost} were lost: {}, and {leaked} passed that must not: {}",
            self.packets,
            show(&self.lost),
            show(&self.leaked)
        )
    }
}
