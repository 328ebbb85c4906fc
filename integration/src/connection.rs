//! Many connections that live: opened once, asked again and again.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use podwall_lab::NetworkNamespace;
use podwall_policy::Protocol;

/// How long opening may take, and an answer to be sure that a connection lives.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long answers have to come before they are heard.
const PAUSE: Duration = Duration::from_millis(5);
/// The token of what the server listens on.
const LISTENER: u64 = u64::MAX;

/// Connections from one address to one port, with a server of their own at the other end.
pub struct Connections {
    clients: Vec<Client>,
    /// When each round of questions began; a question is the number of its round.
    rounds: Vec<Instant>,
    server: Option<JoinHandle<Result<()>>>,
    stop: Arc<AtomicBool>,
}

struct Client {
    socket: Socket,
    /// The last round that it answered.
    answered: Option<u32>,
    /// When that was heard.
    heard: Instant,
    longest_silence: Duration,
}

enum Socket {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

impl Connections {
    /// Opens `count` connections from `source` to a port of `destination` that nobody listens on yet.
    pub fn open(
        from: (&NetworkNamespace, IpAddr),
        to: (&NetworkNamespace, IpAddr),
        protocol: Protocol,
        port: u16,
        count: usize,
    ) -> Result<Self> {
        let at = SocketAddr::new(to.1, port);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let work: Box<dyn FnOnce() -> Result<()> + Send> = match protocol {
            Protocol::Tcp => {
                let listener = to.0.enter(|| TcpListener::bind(at))??;
                Box::new(move || serve_tcp(&listener, &stopped))
            }
            _ => {
                let socket = to.0.enter(|| UdpSocket::bind(at))??;
                Box::new(move || serve_udp(&socket, &stopped))
            }
        };
        let server = std::thread::Builder::new().name("connections".to_owned()).spawn(work)?;
        let mut connections = Self { clients: Vec::new(), rounds: Vec::new(), server: Some(server), stop };
        connections.clients = from.0.enter(|| {
            let one = |_| Client::open(SocketAddr::new(from.1, 0), at, protocol);
            (0..count).map(one).collect::<Result<Vec<_>>>()
        })??;
        let live = connections.live()?;
        ensure!(live == count, "only {live} of {count} connections could be opened");
        Ok(connections)
    }

    /// Asks every connection once, and hears who has answered by now.
    pub fn ask(&mut self) -> Result<()> {
        let round = self.rounds.len() as u32;
        self.rounds.push(Instant::now());
        self.clients.iter_mut().try_for_each(|client| client.ask(round))?;
        std::thread::sleep(PAUSE);
        self.hear()
    }

    /// How many answer a question that is asked now.
    pub fn live(&mut self) -> Result<usize> {
        let started = Instant::now();
        loop {
            self.ask()?;
            let live = self.answered_after(started);
            if live == self.clients.len() || started.elapsed() > PATIENCE {
                return Ok(live);
            }
        }
    }

    /// Hears who has answered by now.
    pub fn hear(&mut self) -> Result<()> {
        self.clients.iter_mut().try_for_each(Client::hear)
    }

    /// How many answered a question that was asked after `moment`.
    pub fn answered_after(&self, moment: Instant) -> usize {
        let asked = |client: &Client| self.rounds.get(client.answered? as usize).copied();
        self.clients.iter().filter(|client| asked(client).is_some_and(|asked| asked > moment)).count()
    }

    /// Begins to measure silence.
    pub fn begin_silence(&mut self) {
        for client in &mut self.clients {
            (client.heard, client.longest_silence) = (Instant::now(), Duration::ZERO);
        }
    }

    /// How long any of them was not heard of at most, since that began.
    pub fn longest_silence(&self) -> Duration {
        self.clients.iter().map(|it| it.longest_silence.max(it.heard.elapsed())).max().unwrap_or_default()
    }

    /// How long after `moment` the first question was asked that nobody answered any more; `None` while somebody
    /// answers.
    pub fn silent_after(&self, moment: Instant) -> Option<Duration> {
        let last = self.clients.iter().filter_map(|client| client.answered).max()?;
        Some(self.rounds.get(last as usize + 1)?.saturating_duration_since(moment))
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Err(_)) = self.server.take().map(JoinHandle::join) {
            eprintln!("the server of some connections panicked");
        }
    }
}

impl Client {
    fn open(from: SocketAddr, to: SocketAddr, protocol: Protocol) -> Result<Self> {
        let socket = match protocol {
            Protocol::Tcp => {
                let stream = TcpStream::connect_timeout(&to, PATIENCE).context("cannot open a connection")?;
                stream.set_nonblocking(true)?;
                Socket::Tcp(stream)
            }
            _ => {
                let socket = UdpSocket::bind(from)?;
                socket.connect(to)?;
                socket.set_nonblocking(true)?;
                Socket::Udp(socket)
            }
        };
        Ok(Self { socket, answered: None, heard: Instant::now(), longest_silence: Duration::ZERO })
    }

    fn ask(&mut self, round: u32) -> Result<()> {
        let question = round.to_be_bytes();
        let sent = match &mut self.socket {
            Socket::Tcp(stream) => stream.write(&question),
            Socket::Udp(socket) => socket.send(&question),
        };
        ignore_silence(sent).map(drop)
    }

    fn hear(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let heard = match &mut self.socket {
                Socket::Tcp(stream) => stream.read(&mut buffer),
                Socket::Udp(socket) => socket.recv(&mut buffer),
            };
            let length = ignore_silence(heard)?;
            // A stream may hold several answers; the last one counts.
            match buffer[..length].as_chunks().0.last() {
                Some(answer) => {
                    self.answered = Some(u32::from_be_bytes(*answer));
                    self.longest_silence = self.longest_silence.max(self.heard.elapsed());
                    self.heard = Instant::now();
                }
                None => return Ok(()),
            }
        }
    }
}

/// A connection that is cut is not an error here: it is what we watch for.
fn ignore_silence(result: std::io::Result<usize>) -> Result<usize> {
    match result {
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock
            | ErrorKind::PermissionDenied
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::BrokenPipe
            | ErrorKind::TimedOut
            | ErrorKind::HostUnreachable => Ok(0),
            _ => Err(anyhow!(error)),
        },
        Ok(count) => Ok(count),
    }
}

fn serve_tcp(listener: &TcpListener, stop: &AtomicBool) -> Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut streams: HashMap<u64, TcpStream> = HashMap::new();
    let mut events = [EpollEvent::empty(); 256];
    let mut buffer = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        let count = epoll.wait(&mut events, EpollTimeout::from(50_u8)).unwrap_or(0);
        for event in &events[..count] {
            if event.data() == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    let token = streams.len() as u64;
                    epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
                    streams.insert(token, stream);
                }
            } else if let Some(stream) = streams.get_mut(&event.data()) {
                match stream.read(&mut buffer) {
                    Ok(0) => epoll.delete(&*stream)?,
                    Ok(length) => ignore_silence(stream.write(&buffer[..length])).map(drop)?,
                    Err(error) => ignore_silence(Err(error)).map(drop)?,
                }
            }
        }
    }
    Ok(())
}

fn serve_udp(socket: &UdpSocket, stop: &AtomicBool) -> Result<()> {
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    socket2::SockRef::from(socket).set_recv_buffer_size(4 << 20)?;
    let mut buffer = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            ignore_silence(socket.send_to(&buffer[..length], peer)).map(drop)?;
        }
    }
    Ok(())
}
