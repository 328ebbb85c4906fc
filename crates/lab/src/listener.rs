//! Answers on the ports that pods declare, for all namespaces from one thread.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use podwall_policy::{ContainerPort, Protocol};
use socket2::{Domain, Socket, Type};

use crate::error::LabError;
use crate::namespace::NetworkNamespace;
use crate::scene::Party;
use crate::sctp;

/// The longest queue of connections that wait for the thread; the kernel cuts it to `somaxconn`.
const BACKLOG: i32 = 4096;

/// All that is listened on.
pub struct Listeners {
    shared: Arc<Shared>,
    bound: HashMap<Party, HashMap<Binding, u64>>,
    next_token: u64,
}

/// One socket. Always bound to one address, so that answers carry the address that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Binding {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    /// SCTP by the kernel, where it has it.
    SctpKernel(SocketAddr),
    /// SCTP by ourselves: all ports of one address, those in the set answered, the others refused.
    SctpRaw(IpAddr, BTreeSet<u16>),
}

enum Answering {
    Accept(Socket),
    Echo(UdpSocket),
    Sctp { socket: UdpSocket, ipv4: bool, ports: BTreeSet<u16> },
}

struct Shared {
    epoll: Epoll,
    sockets: Mutex<HashMap<u64, Answering>>,
}

impl Listeners {
    /// Starts the thread. It ends with the process.
    pub fn start() -> Result<Self, LabError> {
        let failed = |error: &dyn std::fmt::Display| LabError::machine("cannot start the listeners", error);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|error| failed(&error))?;
        let shared = Arc::new(Shared { epoll, sockets: Mutex::new(HashMap::new()) });
        let thread = shared.clone();
        std::thread::Builder::new()
            .name("listeners".to_owned())
            .spawn(move || thread.serve())
            .map_err(|error| failed(&error))?;
        Ok(Self { shared, bound: HashMap::new(), next_token: 0 })
    }

    /// Makes `host` listen on exactly these ports. With `sctp`, its other SCTP ports refuse.
    pub fn set(
        &mut self,
        host: &Party,
        namespace: &NetworkNamespace,
        addresses: &[IpAddr],
        ports: &BTreeSet<ContainerPort>,
        sctp: bool,
    ) -> Result<(), LabError> {
        let wanted = bindings(addresses, ports, sctp);
        let bound = self.bound.entry(host.clone()).or_default();
        bound.retain(|binding, token| wanted.contains(binding) || self.shared.remove(*token));
        let missing: Vec<&Binding> = wanted.iter().filter(|binding| !bound.contains_key(binding)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        namespace.enter(|| {
            for binding in missing {
                self.next_token += 1;
                self.shared.add(self.next_token, binding).map_err(|error| {
                    LabError::machine(format!("{host} cannot listen ({binding:?})"), error)
                })?;
                bound.insert(binding.clone(), self.next_token);
            }
            Ok(())
        })?
    }

    /// Closes all sockets of a host, so that its namespace can go.
    pub fn remove(&mut self, host: &Party) {
        for token in self.bound.remove(host).into_iter().flat_map(HashMap::into_values) {
            self.shared.remove(token);
        }
    }
}

fn bindings(addresses: &[IpAddr], ports: &BTreeSet<ContainerPort>, sctp: bool) -> HashSet<Binding> {
    let kernel_sctp = sctp && sctp::kernel_has_it();
    let mut wanted = HashSet::new();
    for address in addresses {
        for port in ports {
            let at = SocketAddr::new(*address, port.port);
            match port.protocol {
                Protocol::Tcp => wanted.insert(Binding::Tcp(at)),
                Protocol::Udp => wanted.insert(Binding::Udp(at)),
                Protocol::Sctp if kernel_sctp => wanted.insert(Binding::SctpKernel(at)),
                Protocol::Sctp => false,
            };
        }
        if sctp && !kernel_sctp {
            let of_sctp = ports.iter().filter(|port| port.protocol == Protocol::Sctp);
            wanted.insert(Binding::SctpRaw(*address, of_sctp.map(|port| port.port).collect()));
        }
    }
    wanted
}

impl Shared {
    fn sockets(&self) -> MutexGuard<'_, HashMap<u64, Answering>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, token: u64, binding: &Binding) -> io::Result<()> {
        let answering = open(binding)?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, token);
        match &answering {
            Answering::Accept(socket) => self.epoll.add(socket, event)?,
            Answering::Echo(socket) | Answering::Sctp { socket, .. } => self.epoll.add(socket, event)?,
        }
        self.sockets().insert(token, answering);
        Ok(())
    }

    /// Closes a socket; false, for the use in `retain`.
    fn remove(&self, token: u64) -> bool {
        self.sockets().remove(&token);
        false
    }

    fn serve(&self) {
        let mut events = [EpollEvent::empty(); 256];
        loop {
            let Ok(count) = self.epoll.wait(&mut events, EpollTimeout::NONE) else { continue };
            let sockets = self.sockets();
            for event in &events[..count] {
                // A socket may have been closed since the kernel reported it.
                if let Some(answering) = sockets.get(&event.data()) {
                    answering.answer_all();
                }
            }
        }
    }
}

impl Answering {
    fn answer_all(&self) {
        // Ends with `WouldBlock`, or with what became of somebody who asked and is gone: the socket is reported
        // again while something waits.
        while self.answer_one().is_ok() {}
    }

    fn answer_one(&self) -> io::Result<()> {
        let mut buffer = [0; 2048];
        match self {
            // Closing with a reset leaves no socket behind to wait out its time.
            Answering::Accept(socket) => socket.accept()?.0.set_linger(Some(Duration::ZERO)),
            Answering::Echo(socket) => {
                let (length, peer) = socket.recv_from(&mut buffer)?;
                socket.send_to(&buffer[..length], peer).map(|_| ())
            }
            Answering::Sctp { socket, ipv4, ports } => {
                let (length, mut peer) = socket.recv_from(&mut buffer)?;
                let packet = sctp::payload(&buffer[..length], *ipv4).and_then(sctp::Packet::from_bytes);
                let Some(packet) = packet else { return Ok(()) };
                let Some(answer) = packet.answer(ports.contains(&packet.destination_port)) else {
                    return Ok(());
                };
                // A raw socket of IPv6 takes the port for a protocol number.
                peer.set_port(0);
                socket.send_to(&answer.to_bytes(), peer).map(|_| ())
            }
        }
    }
}

fn open(binding: &Binding) -> io::Result<Answering> {
    let listen = |at: &SocketAddr, protocol| {
        let socket = Socket::new(Domain::for_address(*at), Type::STREAM.nonblocking(), protocol)?;
        socket.set_reuse_address(true)?;
        socket.bind(&(*at).into())?;
        socket.listen(BACKLOG)?;
        Ok(Answering::Accept(socket))
    };
    match binding {
        Binding::Tcp(at) => listen(at, Some(socket2::Protocol::TCP)),
        Binding::SctpKernel(at) => listen(at, Some(sctp::PROTOCOL.into())),
        Binding::Udp(at) => {
            let socket = UdpSocket::bind(at)?;
            socket.set_nonblocking(true)?;
            Ok(Answering::Echo(socket))
        }
        Binding::SctpRaw(address, ports) => {
            let socket = raw_sctp_socket(*address)?;
            Ok(Answering::Sctp { socket, ipv4: address.is_ipv4(), ports: ports.clone() })
        }
    }
}

/// A raw socket that receives the SCTP packets to one address. While there is one, the kernel does not answer
/// them with "protocol unreachable". The type is the standard library's for its `recv_from`; it is not UDP.
pub fn raw_sctp_socket(address: IpAddr) -> io::Result<UdpSocket> {
    let at = SocketAddr::new(address, 0);
    let socket = Socket::new(Domain::for_address(at), Type::RAW.nonblocking(), Some(sctp::PROTOCOL.into()))?;
    socket.set_recv_buffer_size(4 << 20)?;
    socket.bind(&at.into())?;
    Ok(socket.into())
}
