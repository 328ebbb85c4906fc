//! Asks the kernel many questions at once.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use podwall_policy::{Protocol, Transport};

use crate::attempt::{Asked, Attempt, Outcome};
use crate::error::LabError;
use crate::listener::raw_sctp_socket;
use crate::namespace::NetworkNamespace;
use crate::plan::Probe;
use crate::sctp::{self, Chunk, Packet};

/// A probe gets this many attempts before it counts as unanswered.
const ATTEMPTS: u8 = 2;
/// Most questions under way at once.
const WINDOW_MAX: usize = 8192;
/// Questions asked before answers are looked at.
const BATCH: usize = 256;
/// File descriptors left to the rest of the process beyond those open when probing starts.
const DESCRIPTORS_SPARE: usize = 64;

/// Asks questions from inside the lab's namespaces.
pub struct Prober {
    timeout: Duration,
    ports: SourcePorts,
    next_tag: u32,
}

impl Prober {
    /// A prober that waits `timeout` for the answer to each attempt.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, ports: SourcePorts::default(), next_tag: 1 }
    }

    /// Asks all `probes` and returns what became of them, in the same order. `namespace` says where a probe's
    /// source is; `progress` is told how many are done.
    pub fn run<'a>(
        &mut self,
        probes: &[Probe],
        namespace: impl Fn(&Probe) -> &'a NetworkNamespace,
        mut progress: impl FnMut(usize),
    ) -> Result<Vec<Outcome>, LabError> {
        let mut run = Run::new(self, probes)?;
        while !run.is_done() {
            run.ask_some(&namespace)?;
            run.collect_answers()?;
            run.expire();
            progress(probes.len() - run.open);
        }
        Ok(run.outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Timeout)).collect())
    }
}

struct Run<'a> {
    prober: &'a mut Prober,
    probes: &'a [Probe],
    outcomes: Vec<Option<Outcome>>,
    /// How many have no outcome yet.
    open: usize,
    /// What is still to be asked, with the number of the attempt.
    waiting: VecDeque<(usize, u8)>,
    asked: HashMap<u64, Asking>,
    deadlines: VecDeque<(Instant, u64)>,
    raw: HashMap<IpAddr, RawSctp>,
    kernel_has_sctp: bool,
    /// Whose raw socket a token of epoll means.
    raw_tokens: HashMap<u64, IpAddr>,
    epoll: Epoll,
    window: usize,
    next_token: u64,
}

/// An attempt under way.
struct Asking {
    probe: usize,
    attempt: u8,
    how: How,
}

enum How {
    Socket(Attempt),
    /// Found by port and tag among what the source's raw socket receives.
    Sctp(IpAddr, u16, u32),
}

/// All SCTP attempts from one address share a raw socket.
struct RawSctp {
    socket: UdpSocket,
    asked: HashMap<(u16, u32), u64>,
}

impl<'a> Run<'a> {
    fn new(prober: &'a mut Prober, probes: &'a [Probe]) -> Result<Self, LabError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|error| LabError::machine("cannot watch sockets", error))?;
        Ok(Self {
            prober,
            probes,
            outcomes: vec![None; probes.len()],
            open: probes.len(),
            waiting: (0..probes.len()).map(|probe| (probe, 1)).collect(),
            asked: HashMap::new(),
            deadlines: VecDeque::new(),
            raw: HashMap::new(),
            raw_tokens: HashMap::new(),
            kernel_has_sctp: sctp::kernel_has_it(),
            epoll,
            window: window(),
            next_token: 0,
        })
    }

    fn is_done(&self) -> bool {
        self.open == 0
    }

    /// Asks a batch, entering each namespace once for all neighbours in line that ask from it.
    fn ask_some<'n>(&mut self, namespace: &impl Fn(&Probe) -> &'n NetworkNamespace) -> Result<(), LabError> {
        let mut room = BATCH.min(self.window.saturating_sub(self.asked.len()));
        while room > 0 && !self.waiting.is_empty() {
            let place = namespace(&self.probes[self.waiting[0].0]);
            place.enter(|| {
                while room > 0
                    && let Some((probe, attempt)) = self.waiting.front().copied()
                    && std::ptr::eq(place, namespace(&self.probes[probe]))
                {
                    self.waiting.pop_front();
                    self.ask(probe, attempt);
                    room -= 1;
                }
            })?;
        }
        Ok(())
    }

    fn ask(&mut self, index: usize, attempt: u8) {
        let probe = &self.probes[index];
        let outcome = match probe.transport {
            Transport::Port(Protocol::Sctp, port) if !self.kernel_has_sctp => {
                self.ask_sctp(index, attempt, port)
            }
            Transport::Port(_, port) => self.ask_socket(index, attempt, port),
            Transport::Other => self.ask_socket(index, attempt, 0),
        };
        if let Some(outcome) = outcome {
            self.finish(index, outcome);
        }
    }

    fn ask_socket(&mut self, index: usize, attempt: u8, port: u16) -> Option<Outcome> {
        let probe = &self.probes[index];
        let destination = SocketAddr::new(probe.address, port);
        let range = probe.source_ports();
        for _ in range.clone() {
            let source = SocketAddr::new(probe.source, self.prober.ports.next(probe.source, &range));
            match Attempt::ask(source, destination, probe.transport) {
                Asked::PortTaken => continue,
                Asked::Done(outcome) => return Some(outcome),
                Asked::Waiting(asking) => {
                    let token = self.token();
                    let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT;
                    // Datagram sockets can always be written to; only an answer or an error is news.
                    let flags = match probe.transport {
                        Transport::Port(Protocol::Tcp | Protocol::Sctp, _) => flags,
                        _ => EpollFlags::EPOLLIN,
                    };
                    if let Err(error) = self.epoll.add(&asking.socket, EpollEvent::new(flags, token)) {
                        return Some(Outcome::Error(format!("cannot watch a socket: {error}")));
                    }
                    self.remember(token, Asking { probe: index, attempt, how: How::Socket(asking) });
                    return None;
                }
            }
        }
        Some(Outcome::Error("all source ports are taken".to_owned()))
    }

    fn ask_sctp(&mut self, index: usize, attempt: u8, destination_port: u16) -> Option<Outcome> {
        let probe = &self.probes[index];
        let source_port = self.prober.ports.next(probe.source, &probe.source_ports());
        self.prober.next_tag = self.prober.next_tag.wrapping_add(1).max(1);
        let tag = self.prober.next_tag;
        let init = Packet { source_port, destination_port, verification_tag: 0, chunk: Chunk::Init { tag } };
        if let Err(error) = self.open_raw(probe.source) {
            return Some(Outcome::Error(format!("cannot open a raw socket: {error}")));
        }
        let token = self.token();
        let raw = self.raw.get_mut(&probe.source)?;
        match raw.socket.send_to(&init.to_bytes(), SocketAddr::new(probe.address, 0)) {
            Err(error) if error.kind() != std::io::ErrorKind::PermissionDenied => {
                return Some(Outcome::Error(error.to_string()));
            }
            Ok(_) | Err(_) => {}
        }
        raw.asked.insert((source_port, tag), token);
        let how = How::Sctp(probe.source, source_port, tag);
        self.remember(token, Asking { probe: index, attempt, how });
        None
    }

    fn open_raw(&mut self, address: IpAddr) -> std::io::Result<()> {
        if self.raw.contains_key(&address) {
            return Ok(());
        }
        let socket = raw_sctp_socket(address)?;
        let token = self.token();
        self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        self.raw_tokens.insert(token, address);
        self.raw.insert(address, RawSctp { socket, asked: HashMap::new() });
        Ok(())
    }

    fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    fn remember(&mut self, token: u64, asking: Asking) {
        self.deadlines.push_back((Instant::now() + self.prober.timeout, token));
        self.asked.insert(token, asking);
    }

    fn finish(&mut self, index: usize, outcome: Outcome) {
        if self.outcomes[index].replace(outcome).is_none() {
            self.open -= 1;
        }
    }

    /// Takes all answers that have come. Waits for one only when there is nothing else to do.
    fn collect_answers(&mut self) -> Result<(), LabError> {
        let may_ask = !self.waiting.is_empty() && self.asked.len() < self.window;
        let first_deadline = self.deadlines.front().map(|(deadline, _)| *deadline);
        let mut timeout = match first_deadline {
            Some(deadline) if !may_ask => {
                let wait = deadline.saturating_duration_since(Instant::now());
                EpollTimeout::try_from(wait + Duration::from_millis(1)).unwrap_or(EpollTimeout::ZERO)
            }
            _ => EpollTimeout::ZERO,
        };
        let mut events = [EpollEvent::empty(); 512];
        loop {
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => 0,
                Err(error) => return Err(LabError::machine("cannot wait for answers", error)),
            };
            for event in &events[..count] {
                self.read(event.data());
            }
            if count < events.len() {
                return Ok(());
            }
            timeout = EpollTimeout::ZERO;
        }
    }

    fn read(&mut self, token: u64) {
        if let Some(address) = self.raw_tokens.get(&token).copied() {
            return self.read_sctp(address);
        }
        let Some(asking) = self.asked.get_mut(&token) else { return };
        let probe = asking.probe;
        if let How::Socket(attempt) = &mut asking.how
            && let Some(outcome) = attempt.read()
        {
            self.asked.remove(&token);
            self.finish(probe, outcome);
        }
    }

    fn read_sctp(&mut self, address: IpAddr) {
        let mut buffer = [0; 2048];
        while let Some(raw) = self.raw.get_mut(&address)
            && let Ok((length, _)) = raw.socket.recv_from(&mut buffer)
        {
            let payload = sctp::payload(&buffer[..length], address.is_ipv4());
            let Some(packet) = payload.and_then(Packet::from_bytes) else { continue };
            let outcome = match packet.chunk {
                Chunk::InitAck => Outcome::Answered,
                Chunk::Abort => Outcome::Refused,
                Chunk::Init { .. } => continue,
            };
            let key = (packet.destination_port, packet.verification_tag);
            if let Some(asking) = raw.asked.remove(&key).and_then(|token| self.asked.remove(&token)) {
                self.finish(asking.probe, outcome);
            }
        }
    }

    /// Gives up on attempts whose time is over: another attempt, or none.
    fn expire(&mut self) {
        let now = Instant::now();
        while let Some((deadline, token)) = self.deadlines.front().copied()
            && deadline <= now
        {
            self.deadlines.pop_front();
            let Some(asking) = self.asked.remove(&token) else { continue };
            if let How::Sctp(address, port, tag) = asking.how
                && let Some(raw) = self.raw.get_mut(&address)
            {
                raw.asked.remove(&(port, tag));
            }
            if asking.attempt < ATTEMPTS {
                self.waiting.push_back((asking.probe, asking.attempt + 1));
            } else {
                self.finish(asking.probe, Outcome::Timeout);
            }
        }
    }
}

/// Source ports that were not used for a long time: connection tracking remembers old ones, and what it remembers
/// passes whatever the policy says now. Kept per address and across steps, because a pod that is made anew gets
/// its old address.
#[derive(Default)]
struct SourcePorts {
    used: HashMap<(IpAddr, u16), u32>,
}

impl SourcePorts {
    fn next(&mut self, address: IpAddr, range: &RangeInclusive<u16>) -> u16 {
        let used = self.used.entry((address, *range.start())).or_default();
        let length = u32::from(range.end() - range.start()) + 1;
        let port = range.start() + (*used % length) as u16;
        *used = used.wrapping_add(1);
        port
    }
}

/// How many sockets may be open at once; raises the soft limit on open files to the hard one first.
fn window() -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return BATCH };
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count());
    let free = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(open + DESCRIPTORS_SPARE);
    free.clamp(1, WINDOW_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_ports_are_used_in_turn_and_per_address() {
        let mut ports = SourcePorts::default();
        let [one, other] = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])];
        let taken: Vec<u16> = (0..4).map(|_| ports.next(one, &(1024..=1026))).collect();
        assert_eq!(taken, [1024, 1025, 1026, 1024]);
        assert_eq!(ports.next(other, &(1024..=1026)), 1024);
    }
}
