//! Questions to rtnetlink. Each waits for its answer, and for whoever holds the kernel's lock on links.

use std::io;
use std::time::Duration;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use super::links::{Inside, Link, Look, Snapshot, Update};
use super::message::{Message, Received, messages};

/// RTNLGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE. New namespaces are not among them: a link says
/// by itself that its other side has moved to one.
const GROUPS: [u32; 5] = [1, 5, 7, 9, 11];
/// What may wait while we are busy: a burst of a few thousand links.
const RECEIVE_BYTES: usize = 4 << 20;
/// The kernel answers at once, once it has its lock.
const ANSWER_SECONDS: i64 = 10;
/// How often a list is asked for that changes while it is read. What changed is told by events as well.
const ATTEMPTS_MAX: usize = 5;
/// Between them, for whoever changes things to get on.
const PAUSE: Duration = Duration::from_millis(5);

/// A socket that is told what changes.
pub(super) fn subscribe() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    // By force only in the initial user namespace.
    if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BYTES).is_err() {
        let _ = setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BYTES);
    }
    for group in GROUPS {
        socket.add_membership(group)?;
    }
    socket.set_non_blocking(true)?;
    Ok(socket)
}

/// A socket for questions.
pub(super) struct Questions {
    socket: Socket,
    sequence: u32,
}

impl Questions {
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_SECONDS))?;
        // Kernels before 4.20 have neither this nor a list of another namespace's addresses: they list our own, which
        // the answer shows.
        let _ = socket.set_netlink_get_strict_chk(true);
        Ok(Self { socket, sequence: 0 })
    }

    /// Everything on this side.
    pub fn snapshot(&mut self) -> io::Result<Snapshot> {
        let mut all = Snapshot::default();
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let mut requests = vec![
            RouteNetlinkMessage::GetLink(link),
            RouteNetlinkMessage::GetAddress(AddressMessage::default()),
        ];
        requests.extend([AddressFamily::Inet, AddressFamily::Inet6].map(|family| {
            let mut route = RouteMessage::default();
            route.header.address_family = family;
            RouteNetlinkMessage::GetRoute(route)
        }));
        for request in requests {
            for message in self.list(&request)? {
                if let Message::Update(update) = message {
                    add(&mut all, update);
                }
            }
        }
        Ok(all)
    }

    /// Looks at a link anew and at its far side. The link's own state is asked for first: when its other side is
    /// moved to a namespace, nobody tells us.
    pub fn look(&mut self, look: Look) -> io::Result<Vec<Update>> {
        let Some(link) = self.link(None, look.interface)? else {
            return Ok(vec![Update::Inside(look, None)]);
        };
        let far_side = link.far_side();
        let inside = match far_side {
            Some((namespace, index)) => self.inside(look.interface, namespace, index)?,
            None => None,
        };
        Ok(vec![Update::Link(look.interface, link), Update::Inside(look, inside)])
    }

    fn inside(&mut self, interface: u32, namespace: i32, index: u32) -> io::Result<Option<Inside>> {
        let mut request = AddressMessage::default();
        request.header.index = index;
        request.attributes.push(AddressAttribute::TargetNetNsId(namespace));
        let Some(answers) = permitted(self.list(&RouteNetlinkMessage::GetAddress(request)))? else {
            return Ok(None);
        };
        let far = |message| match message {
            Message::FarAddress(of, address) if of == namespace => Some(address.addr()),
            _ => None,
        };
        let addresses = answers.into_iter().filter_map(far).collect();
        // Last, so that it proves whose addresses these were: numbers of namespaces are used again.
        let far_link = self.link(Some(namespace), index)?;
        let is_ours = |link: &Link| link.peer == Some(interface);
        Ok(far_link.filter(is_ours).map(|link| Inside { addresses, hardware_address: link.hardware_address }))
    }

    /// A link, here or in another namespace; `None` when it is not there or not for us to see.
    fn link(&mut self, namespace: Option<i32>, index: u32) -> io::Result<Option<Link>> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.extend(namespace.map(LinkAttribute::IfNetnsId));
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let answers = permitted(self.ask(&RouteNetlinkMessage::GetLink(message), NLM_F_ACK))?;
        let link = |received: Received| match received.message {
            Message::Update(Update::Link(_, link)) => Some(link),
            _ => None,
        };
        Ok(answers.into_iter().flatten().find_map(link))
    }

    fn list(&mut self, request: &RouteNetlinkMessage) -> io::Result<Vec<Message>> {
        let mut attempts = 1;
        loop {
            let answers = self.ask(request, NLM_F_DUMP)?;
            if attempts == ATTEMPTS_MAX || !answers.iter().any(|answer| answer.interrupted) {
                return Ok(answers.into_iter().map(|answer| answer.message).collect());
            }
            attempts += 1;
            std::thread::sleep(PAUSE);
        }
    }

    fn ask(&mut self, request: &RouteNetlinkMessage, flags: u16) -> io::Result<Vec<Received>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(request.clone());
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut answers = Vec::new();
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            for received in messages(&bytes) {
                match received.message {
                    _ if received.sequence != self.sequence => {}
                    Message::Done | Message::Answer(0) => return Ok(answers),
                    Message::Answer(number) => return Err(io::Error::from_raw_os_error(number)),
                    _ => answers.push(received),
                }
            }
        }
    }
}

/// What is not there, or not for us to see, is not found. Other errors stay errors.
fn permitted<T>(answer: io::Result<T>) -> io::Result<Option<T>> {
    let is_refusal = |error: &io::Error| {
        let number = error.raw_os_error().map(Errno::from_raw);
        matches!(
            number,
            Some(
                Errno::ENODEV
                    | Errno::EPERM
                    | Errno::EACCES
                    | Errno::EINVAL
                    | Errno::ENOENT
                    | Errno::EOPNOTSUPP
            )
        )
    };
    match answer {
        Err(error) if is_refusal(&error) => Ok(None),
        other => other.map(Some),
    }
}

fn add(all: &mut Snapshot, update: Update) {
    match update {
        Update::Link(index, link) => {
            all.links.insert(index, link);
        }
        Update::Route { to, route, .. } => {
            all.routes.entry(to).or_default().insert(route);
        }
        Update::Address(index, address) => {
            all.addresses.entry(address.addr()).or_default().insert((index, address.prefix_len()));
        }
        _ => {}
    }
}
