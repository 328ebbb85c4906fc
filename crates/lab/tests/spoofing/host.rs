//! What a pod can do to its own network, and what can be seen there.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::{AddressFamily as Family, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, sendto, socket,
};
use podwall_lab::{Lab, Party};
use podwall_policy::ObjectKey;
use socket2::{Domain, Socket, Type};

use crate::wire::Hardware;

const INTERFACE: &str = "eth0";
/// How long something may take to arrive, and how long is waited for what must not.
const PATIENCE: Duration = Duration::from_millis(300);

/// A pod or a node of the lab, seen from inside.
pub struct Host<'a> {
    lab: &'a Lab,
    party: Party,
}

impl<'a> Host<'a> {
    pub fn pod(lab: &'a Lab, name: &str) -> Self {
        Self { lab, party: Party::Pod(ObjectKey::new("default", name)) }
    }

    pub fn node(lab: &'a Lab, name: &str) -> Self {
        Self { lab, party: Party::Node(name.into()) }
    }

    fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        let namespace = self.lab.topology().namespace(&self.party).expect("the host is there");
        namespace.enter(work).expect("the host can be entered")
    }

    fn link(&self) -> LinkAddr {
        let addresses = self.enter(getifaddrs).expect("a list of addresses");
        let mut links = addresses.filter(|it| it.interface_name == INTERFACE).filter_map(|it| it.address);
        links.find_map(|address| address.as_link_addr().copied()).expect("a link")
    }

    pub fn hardware(&self) -> Hardware {
        self.link().addr().expect("an Ethernet address")
    }

    /// The address of a family that others know it by.
    pub fn address(&self, ipv4: bool) -> IpAddr {
        let addresses = self.enter(getifaddrs).expect("a list of addresses");
        let of_link = addresses.filter(|it| it.interface_name == INTERFACE).filter_map(|it| it.address);
        let mut found =
            of_link.filter_map(|address| match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
                (Some(it), _) => Some(IpAddr::V4(it.ip())),
                (_, Some(it)) => Some(IpAddr::V6(it.ip())),
                _ => None,
            });
        let fits =
            |it: &IpAddr| it.is_ipv4() == ipv4 && !matches!(it, IpAddr::V6(it) if it.is_unicast_link_local());
        found.find(fits).expect("an address")
    }

    /// The link-local address.
    pub fn link_local(&self) -> Ipv6Addr {
        let addresses = self.enter(getifaddrs).expect("a list of addresses");
        let of_link = addresses.filter(|it| it.interface_name == INTERFACE).filter_map(|it| it.address);
        let mut found = of_link.filter_map(|address| address.as_sockaddr_in6().map(|it| it.ip()));
        found.find(Ipv6Addr::is_unicast_link_local).expect("a link-local address")
    }

    /// True when a TCP connection is answered. The lab's listeners reset what they accept, which may be faster than
    /// we are at noticing that it was accepted.
    pub fn connects(&self, to: SocketAddr) -> bool {
        let error = self.enter(|| TcpStream::connect_timeout(&to, PATIENCE)).err().map(|error| error.kind());
        !matches!(
            error,
            Some(ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable)
        )
    }

    /// Tries a TCP connection from an address, whether or not anything comes of it.
    pub fn connect_from(&self, from: IpAddr, to: SocketAddr) {
        let attempt = || {
            let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
            socket.bind(&SocketAddr::new(from, 0).into())?;
            match socket.connect_timeout(&to.into(), PATIENCE) {
                Err(error) if error.kind() == ErrorKind::AddrNotAvailable => Err(error),
                _ => Ok(()),
            }
        };
        self.enter(attempt).expect("a connection can be tried from an own address");
    }

    /// Sends a packet with a header of our making; the kernel finds the way.
    pub fn send_packet(&self, packet: &[u8], to: IpAddr) {
        const HEADER_INCLUDED: i32 = 255;
        let to = SocketAddr::new(to, 0);
        let send = || {
            Socket::new(Domain::for_address(to), Type::RAW, Some(HEADER_INCLUDED.into()))?
                .send_to(packet, &to.into())
        };
        self.enter(send).expect("a raw packet can be sent");
    }

    /// Sends a frame as it is.
    pub fn send_frame(&self, frame: &[u8]) {
        let link = self.link();
        let send = || sendto(packet_socket().as_raw_fd(), frame, &link, MsgFlags::empty());
        self.enter(send).expect("a frame can be sent");
    }

    /// Begins to look at the frames of an interface.
    pub fn watch(&self, interface: &str) -> Watch {
        self.enter(|| Watch {
            socket: packet_socket(),
            interface: if_nametoindex(interface).expect("the interface is there") as usize,
        })
    }

    /// Gives the host an address more, with duplicate address detection if it is of IPv6 and wanted.
    pub fn add_address(&self, address: IpAddr, detect: bool) {
        let message = |interface| {
            let mut message = AddressMessage::default();
            message.header.family = if address.is_ipv4() { Family::Inet } else { Family::Inet6 };
            message.header.prefix_len = if address.is_ipv4() { 32 } else { 128 };
            message.header.index = interface;
            message.attributes.push(AddressAttribute::Address(address));
            match address {
                IpAddr::V4(_) => message.attributes.push(AddressAttribute::Local(address)),
                IpAddr::V6(_) if !detect => message.header.flags = AddressHeaderFlags::Nodad,
                IpAddr::V6(_) => {}
            }
            RouteNetlinkMessage::NewAddress(message)
        };
        self.request(message, NLM_F_CREATE | NLM_F_ACK);
    }

    /// Takes an address away again.
    pub fn remove_address(&self, address: IpAddr) {
        let message = |interface| {
            let mut message = AddressMessage::default();
            message.header.family = if address.is_ipv4() { Family::Inet } else { Family::Inet6 };
            message.header.prefix_len = if address.is_ipv4() { 32 } else { 128 };
            message.header.index = interface;
            message.attributes.push(AddressAttribute::Address(address));
            message.attributes.push(AddressAttribute::Local(address));
            RouteNetlinkMessage::DelAddress(message)
        };
        self.request(message, NLM_F_ACK);
    }

    /// Where the host believes a neighbour to be.
    pub fn neighbour(&self, address: IpAddr) -> Option<Vec<u8>> {
        let message = |interface| {
            let mut message = NeighbourMessage::default();
            message.header.family = if address.is_ipv4() { Family::Inet } else { Family::Inet6 };
            message.header.ifindex = interface;
            message.attributes.push(NeighbourAttribute::Destination(match address {
                IpAddr::V4(address) => NeighbourAddress::Inet(address),
                IpAddr::V6(address) => NeighbourAddress::Inet6(address),
            }));
            RouteNetlinkMessage::GetNeighbour(message)
        };
        match self.request(message, 0) {
            Some(RouteNetlinkMessage::NewNeighbour(neighbour)) => {
                neighbour.attributes.into_iter().find_map(|attribute| match attribute {
                    NeighbourAttribute::LinkLayerAddress(address) => Some(address),
                    _ => None,
                })
            }
            _ => None,
        }
    }

    fn request(
        &self,
        message: impl Fn(u32) -> RouteNetlinkMessage,
        flags: u16,
    ) -> Option<RouteNetlinkMessage> {
        self.enter(|| {
            let mut message = NetlinkMessage::from(message(if_nametoindex(INTERFACE).expect("a link")));
            message.header.flags = NLM_F_REQUEST | flags;
            message.finalize();
            let mut bytes = vec![0; message.buffer_len()];
            message.serialize(&mut bytes);
            let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE).expect("a netlink socket");
            socket.bind_auto().expect("a netlink socket");
            socket.send_to(&bytes, &netlink_sys::SocketAddr::new(0, 0), 0).expect("a request can be sent");
            let (answer, _) = socket.recv_from_full().expect("an answer");
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).expect("an answer");
            match answer.payload {
                NetlinkPayload::InnerMessage(message) => Some(message),
                NetlinkPayload::Error(error) if error.code.is_some() => panic!("refused: {}", error.to_io()),
                _ => None,
            }
        })
    }

    /// Turns duplicate address detection on, which the lab has off.
    pub fn detect_duplicates(&self) {
        for setting in ["all/accept_dad", "eth0/accept_dad", "eth0/dad_transmits"] {
            let path = format!("/proc/sys/net/ipv6/conf/{setting}");
            self.enter(|| std::fs::write(path, "1")).expect("a setting of the kernel");
        }
    }

    /// True when the detection of duplicates found that somebody else has the address.
    pub fn is_duplicate(&self, address: Ipv6Addr) -> bool {
        const FAILED: u32 = 0x08;
        let started = Instant::now();
        let wanted: String = address.octets().iter().map(|byte| format!("{byte:02x}")).collect();
        while started.elapsed() < Duration::from_secs(3) {
            let text =
                self.enter(|| std::fs::read_to_string("/proc/thread-self/net/if_inet6")).expect("addresses");
            let line = text.lines().find(|line| line.starts_with(&wanted)).unwrap_or_default();
            let flags = line.split_whitespace().nth(4).and_then(|flags| u32::from_str_radix(flags, 16).ok());
            if flags.is_some_and(|flags| flags & FAILED != 0) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// How many packets were dropped for their source; `None` without nft. Advertisements count elsewhere: those of
    /// a pod's own link-local address are dropped too, when somebody checks a neighbour.
    pub fn dropped(&self) -> Option<u64> {
        let list = |family: &str| {
            Command::new("nft")
                .args(["list", "table", family, "podwall"])
                .output()
                .ok()
                .filter(|it| it.status.success())
        };
        let outputs = self.enter(|| [list("inet"), list("bridge")]);
        let outputs: Vec<_> = outputs.into_iter().flatten().collect();
        let count = |text: &str| -> u64 {
            let chain = text.split("chain spoofed {").nth(1).and_then(|rest| rest.split_once("\n\t}"));
            let counter = chain.and_then(|(rules, _)| rules.split("counter packets ").nth(1));
            counter.and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap_or(0)
        };
        (!outputs.is_empty())
            .then(|| outputs.iter().map(|it| count(&String::from_utf8_lossy(&it.stdout))).sum())
    }
}

/// All frames of an interface, from when the watch began.
pub struct Watch {
    socket: OwnedFd,
    interface: usize,
}

impl Watch {
    /// True when a frame like this comes in time.
    pub fn sees(&self, wanted: impl Fn(&[u8]) -> bool) -> bool {
        self.sees_within(PATIENCE, wanted)
    }

    /// The same, for what the kernel does not do at once.
    pub fn sees_within(&self, patience: Duration, wanted: impl Fn(&[u8]) -> bool) -> bool {
        let started = Instant::now();
        let mut frame = [0; 2048];
        while started.elapsed() < patience {
            match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut frame) {
                Ok((length, Some(from))) if from.ifindex() == self.interface && wanted(&frame[..length]) => {
                    return true;
                }
                Ok(_) => {}
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
        false
    }
}

fn packet_socket() -> OwnedFd {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).expect("a packet socket")
}
