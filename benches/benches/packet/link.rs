//! Nodes of two pods each, and frames on the first pod's link.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendto, socket};
use podwall_compiler::Attachment;
use podwall_lab::{Families, Layout, NetworkNamespace, Party, Scene, Settings, Topology};
use podwall_policy::{Cluster, Labels, Manifests, ObjectKey, PlacementOptions, Pod, place};

use crate::layouts;

/// The namespace of the pods.
pub const NAMESPACE: &str = "bench";
/// The port that the last of the policies allows.
pub const PORT: u16 = 8_000;
/// A port that none does.
const OTHER_PORT: u16 = 9_999;
/// Connections that are established.
const CONNECTIONS: u16 = 16;
const FIRST_ESTABLISHED: u16 = 20_000;
const FIRST_NEW: u16 = 30_000;
const PATIENCE: Duration = Duration::from_millis(1_000);
/// How long nothing must arrive of what is denied.
const SILENCE: Duration = Duration::from_millis(60);

/// All nodes.
pub struct Nodes {
    cluster: Cluster,
    scene: Scene,
    topology: Topology,
}

/// The two pods of a node.
#[derive(Debug, Clone)]
pub struct Ends {
    /// The host sides of their links.
    pub interfaces: [String; 2],
    /// Their addresses.
    pub addresses: [Ipv4Addr; 2],
}

/// What is sent on one node, and how.
pub struct Lane {
    socket: OwnedFd,
    link: LinkAddr,
    /// Frames of connections that nobody has seen.
    pub new: Vec<Vec<u8>>,
    /// Frames of connections that have been answered.
    pub established: Vec<Vec<u8>>,
    /// How many were sent.
    pub sent: u64,
}

impl Lane {
    /// Sends frames one by one. Each has been judged when the call returns.
    pub fn send(&self, frames: &[Vec<u8>]) -> Result<()> {
        for frame in frames {
            sendto(self.socket.as_raw_fd(), frame, &self.link, MsgFlags::empty())?;
        }
        Ok(())
    }
}

impl Nodes {
    /// So many nodes, with pods.
    pub fn new(count: usize) -> Result<Self> {
        let options = PlacementOptions { node_count: count, ipv4: true, ipv6: true };
        let nodes = place(&Manifests::default(), &options, None).nodes;
        let mut cluster = Cluster { nodes, ..Cluster::default() };
        for index in 0..count {
            for side in 0..2 {
                cluster.pods.insert(key(index, side), pod(index, side));
            }
        }
        let families = Families { ipv4: true, ipv6: false };
        let scene = Scene::new(&cluster, &[], families);
        let settings = Settings { families, layout: Layout::Routed, node_sysctls: Vec::new() };
        let mut topology = Topology::new(settings)?;
        topology.add_nodes(&scene)?;
        topology.add_pods(&scene)?;
        topology.wait_for_links()?;
        Ok(Self { cluster, scene, topology })
    }

    /// The pods of a node.
    pub fn ends(&self, index: usize) -> Ends {
        let interface = |side| {
            let place = &self.scene.pods[&key(index, side)];
            place.interface.as_ref().expect("it is routed").to_string()
        };
        Ends { interfaces: [interface(0), interface(1)], addresses: [address(index, 0), address(index, 1)] }
    }

    /// How the pods of a node are attached.
    pub fn attachments(&self, index: usize) -> BTreeMap<ObjectKey, Attachment> {
        self.scene.attachments(&node(index), Layout::Routed)
    }

    /// A pod of a node.
    pub fn pod(&self, index: usize, side: usize) -> (ObjectKey, Pod) {
        let key = key(index, side);
        let pod = self.cluster.pods[&key].clone();
        (key, pod)
    }

    /// The namespace of a node.
    pub fn namespace(&self, index: usize) -> Result<&NetworkNamespace> {
        self.topology.namespace(&Party::Node(node(index))).context("no such node")
    }

    /// Runs a program on a node, with text for it to read.
    pub fn run(&self, index: usize, program: &[&str], text: &str) -> Result<String> {
        let child = self.namespace(index)?.enter(|| {
            let mut command = Command::new(program[0]);
            command.args(&program[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
        })?;
        let mut child = child.with_context(|| program.join(" "))?;
        child.stdin.take().expect("piped").write_all(text.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{}: {}", program.join(" "), output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Loads rules as text.
    pub fn nft(&self, index: usize, text: &str) -> Result<()> {
        self.run(index, &["nft", "-f", "-"], text).map(drop)
    }

    /// Opens connections through a node whose rules are in force, sees that what they deny is denied, and from then on
    /// drops what leaves for the second pod. Returns the frames.
    pub fn lane(&self, index: usize, denies: bool, frames: u16) -> Result<Lane> {
        let ends = self.ends(index);
        let ports = FIRST_ESTABLISHED..FIRST_ESTABLISHED + CONNECTIONS;
        for port in ports.clone() {
            ensure!(self.is_answered(index, port, PORT, PATIENCE)?, "what is allowed does not pass");
        }
        let passes = self.is_answered(index, FIRST_ESTABLISHED - 1, OTHER_PORT, SILENCE)?;
        ensure!(passes != denies, "port {OTHER_PORT} passes: {passes}, but something is in force: {denies}");
        self.nft(index, &layouts::drop_after(&ends.interfaces[1]))?;
        let far = self.topology.namespace(&Party::Pod(key(index, 0))).context("no such pod")?;
        let (socket, own) = far.enter(|| (packet_socket(), link_of(None)))?;
        let host = self.namespace(index)?.enter(|| link_of(Some(&ends.interfaces[0])))?;
        let (own, host) = (own?, host?);
        let hardware = |link: &LinkAddr| link.addr().context("a link without a hardware address");
        let (from, to) = (hardware(&own)?, hardware(&host)?);
        let frame = |port: u16| frame([to, from], ends.addresses, [port, PORT]);
        let established: Vec<Vec<u8>> =
            (0..frames).map(|it| frame(FIRST_ESTABLISHED + it % CONNECTIONS)).collect();
        let new = (0..frames).map(|it| frame(FIRST_NEW + it)).collect();
        Ok(Lane { socket: socket?, link: own, new, established, sent: 0 })
    }

    /// Fails unless all that was sent came through all hooks.
    pub fn check_judged(&self, index: usize, sent: u64) -> Result<()> {
        let listed = self.run(index, &["nft", "list", "table", "inet", "bench"], "")?;
        let counted = listed.split("packets ").nth(1).and_then(|rest| rest.split(' ').next());
        let counted: u64 = counted.context("no counter")?.parse()?;
        // The node speaks to its pods too: neighbour solicitations are not IP, little else is.
        ensure!(counted >= sent, "of {sent} frames only {counted} came through");
        Ok(())
    }

    fn is_answered(&self, index: usize, from: u16, to: u16, patience: Duration) -> Result<bool> {
        let ends = self.ends(index);
        let bound = |side: usize, port: u16| -> Result<UdpSocket> {
            let host = self.topology.namespace(&Party::Pod(key(index, side))).context("no such pod")?;
            let socket =
                host.enter(|| UdpSocket::bind(SocketAddr::new(ends.addresses[side].into(), port)))??;
            socket.set_read_timeout(Some(patience))?;
            Ok(socket)
        };
        let (client, server) = (bound(0, from)?, bound(1, to)?);
        client.send_to(b"?", server.local_addr()?)?;
        let mut byte = [0];
        let Ok((_, peer)) = server.recv_from(&mut byte) else { return Ok(false) };
        server.send_to(b"!", peer)?;
        Ok(client.recv_from(&mut byte).is_ok())
    }
}

fn node(index: usize) -> Arc<str> {
    format!("node-{}", index + 1).into()
}

fn key(index: usize, side: usize) -> ObjectKey {
    ObjectKey::new(NAMESPACE, format!("{}-{index}", ["client", "server"][side]))
}

fn address(index: usize, side: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, index as u8, 10 + side as u8)
}

fn pod(index: usize, side: usize) -> Pod {
    let labels = if side == 0 { ("role", "last") } else { ("app", "server") };
    Pod {
        labels: Labels::from([(labels.0.into(), labels.1.into())]),
        node: Some(node(index)),
        addresses: vec![IpAddr::from(address(index, side))],
        host_network: false,
        finished: false,
        terminating: false,
        started: "".into(),
        ports: vec![],
        anti_spoofing: None,
        location: None,
    }
}

fn packet_socket() -> Result<OwnedFd> {
    Ok(socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?)
}

/// A link of the namespace that this thread is in: the one of this name, or the one that is not `lo`.
fn link_of(name: Option<&str>) -> Result<LinkAddr> {
    let wanted = |it: &str| name.map_or(it != "lo", |name| it == name);
    let mut links = getifaddrs()?.filter(|it| wanted(&it.interface_name));
    let link = links.find_map(|it| it.address?.as_link_addr().copied());
    link.with_context(|| format!("no link {name:?}"))
}

/// A datagram of 22 bytes in a frame; addresses are those of source and destination, hardware ones the other way round.
fn frame(hardware: [[u8; 6]; 2], addresses: [Ipv4Addr; 2], ports: [u16; 2]) -> Vec<u8> {
    const PAYLOAD: [u8; 22] = [0; 22];
    let udp_length = 8 + PAYLOAD.len() as u16;
    let mut header = vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 17, 0, 0];
    header[2..4].copy_from_slice(&(20 + udp_length).to_be_bytes());
    addresses.iter().for_each(|address| header.extend(address.octets()));
    let sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    header[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    let [source, destination] = ports.map(u16::to_be_bytes);
    // A datagram over IPv4 may go without a checksum.
    let udp = [&source[..], &destination, &udp_length.to_be_bytes(), &[0, 0], &PAYLOAD].concat();
    [&hardware[0][..], &hardware[1], &[0x08, 0x00], &header, &udp].concat()
}
