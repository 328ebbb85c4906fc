//! A stream of packets, each from a source port of its own, with what became of each.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use podwall_lab::{Asked, Attempt, NetworkNamespace, Outcome};
use podwall_policy::{Protocol, Transport};

/// How long an answer is waited for: less than the second after which TCP asks again, so that a packet's time is the
/// time it was judged.
const PATIENCE: Duration = Duration::from_millis(900);
/// The source ports of all streams, in turn: connection tracking remembers what passed once, and what it remembers
/// passes again. They come again when it has forgotten.
const PORTS: RangeInclusive<u16> = 1024..=65_535;
/// How many were taken so far.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// One question of a stream.
#[derive(Debug, Clone)]
pub struct Shot {
    /// When it was asked.
    pub at: Instant,
    /// What became of it.
    pub outcome: Outcome,
}

impl Shot {
    /// True when it got through.
    pub fn passed(&self) -> bool {
        self.outcome.allowed() == Some(true)
    }
}

/// A stream under way: datagrams that are echoed, or connections that are opened. It ends when it is dropped.
pub struct Stream {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Vec<Shot>>>>,
}

impl Stream {
    /// Starts asking from `source`, in `namespace`, once in every `interval`.
    pub fn start(
        namespace: NetworkNamespace,
        source: IpAddr,
        destination: IpAddr,
        transport: Transport,
        interval: Duration,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let work = move || namespace.enter(|| run(source, destination, transport, interval, &stopped))?;
        let thread = Some(std::thread::Builder::new().name("stream".to_owned()).spawn(work)?);
        Ok(Self { stop, thread })
    }

    /// Waits until it has ended; returns all that was asked, in order.
    fn join(mut self) -> Result<Vec<Shot>> {
        let thread = self.thread.take().expect("it is taken only here");
        thread.join().map_err(|_| anyhow!("a stream panicked"))?
    }
}

/// Ends streams, all at once; returns all that each asked, in order.
pub fn finish_all(streams: impl IntoIterator<Item = Stream>) -> Result<Vec<Vec<Shot>>> {
    let streams: Vec<Stream> = streams.into_iter().collect();
    streams.iter().for_each(|stream| stream.stop.store(true, Ordering::Relaxed));
    streams.into_iter().map(Stream::join).collect()
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn run(
    source: IpAddr,
    destination: IpAddr,
    transport: Transport,
    interval: Duration,
    stop: &AtomicBool,
) -> Result<Vec<Shot>> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut shots: Vec<Shot> = Vec::new();
    let mut open: VecDeque<(usize, Attempt)> = VecDeque::new();
    let port = if let Transport::Port(_, port) = transport { port } else { 0 };
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) || !open.is_empty() {
        let now = Instant::now();
        if now >= next && !stop.load(Ordering::Relaxed) {
            next = (next + interval).max(now);
            let from = SocketAddr::new(source, next_port());
            let outcome = match Attempt::ask(from, SocketAddr::new(destination, port), transport) {
                Asked::Waiting(attempt) => {
                    let flags = match transport {
                        Transport::Port(Protocol::Tcp, _) => EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT,
                        _ => EpollFlags::EPOLLIN,
                    };
                    epoll.add(&attempt.socket, EpollEvent::new(flags, shots.len() as u64))?;
                    open.push_back((shots.len(), attempt));
                    Outcome::Timeout
                }
                Asked::Done(outcome) => outcome,
                Asked::PortTaken => continue,
            };
            shots.push(Shot { at: now, outcome });
        }
        let mut events = [EpollEvent::empty(); 64];
        let count = epoll.wait(&mut events, EpollTimeout::try_from(Duration::from_millis(1))?).unwrap_or(0);
        for event in &events[..count] {
            let Ok(place) = open.binary_search_by_key(&(event.data() as usize), |(shot, _)| *shot) else {
                continue;
            };
            if let Some(outcome) = open[place].1.read() {
                shots[open[place].0].outcome = outcome;
                open.remove(place);
            }
        }
        while open.front().is_some_and(|(shot, _)| shots[*shot].at.elapsed() > PATIENCE) {
            open.pop_front();
        }
    }
    Ok(shots)
}

fn next_port() -> u16 {
    let taken = TAKEN.fetch_add(1, Ordering::Relaxed);
    PORTS.start() + (taken % PORTS.len()) as u16
}
