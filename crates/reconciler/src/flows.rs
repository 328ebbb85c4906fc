//! The flow log: packets that the kernel reports, as records of connections.
//!
//! ```text
//! NFLOG ─► packets ─► who and why, by the state of that moment ─► records ─► the socket of `podwall flows`
//! ```
//!
//! Records are kept for a while, the latest of each verdict, so that who asks later is told what was. What is lost on
//! the way is counted.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{future, io};

use podwall_compiler::{Engine, FlowLog, flow_log};
use podwall_netlink::{Kernel, Logged, LoggedPacket, PacketLog};
use podwall_policy::{
    Cluster, Endpoint, Flow, FlowDirection, FlowEnd, FlowRecord, FlowVerdict, Mode, Protocol, Transport,
    Verdict, evaluate,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::broadcast;

/// So many records of one verdict are kept: those that were seen last.
const RECORDS_MAX: usize = 2048;
/// So many are kept for who follows slowly.
const BACKLOG: usize = 1024;
/// Who the ends are and which policies decide is found out again after so long.
const FRESH: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub struct Flows {
    log: Option<AsyncFd<Pollable>>,
    pages: BTreeMap<FlowVerdict, HashMap<Key, Entry>>,
    followers: broadcast::Sender<Arc<FlowRecord>>,
    lost: u64,
}

/// The kernel's log, as tokio wants it.
#[derive(Debug)]
struct Pollable(PacketLog);

/// What makes two packets one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    direction: Option<FlowDirection>,
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    port: Option<u16>,
}

#[derive(Debug)]
struct Entry {
    record: FlowRecord,
    described: Instant,
}

/// What is known so far, and what comes.
#[derive(Debug)]
pub struct Subscription {
    /// The records that are kept, by the time they were seen first.
    pub records: Vec<FlowRecord>,
    /// Those that come; their count is of the packets that came together.
    pub following: broadcast::Receiver<Arc<FlowRecord>>,
}

impl AsRawFd for Pollable {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Flows {
    /// No log.
    pub fn off() -> Self {
        Self { log: None, pages: BTreeMap::new(), followers: broadcast::channel(BACKLOG).0, lost: 0 }
    }

    /// Listens to the log's group, and makes sure that the kernel takes the rules that log.
    ///
    /// # Errors
    /// Why there can be no log; enforcing does not depend on it.
    #[expect(
        deprecated,
        reason = "its successor is unsafe; the log keeps its descriptor as long as it lives"
    )]
    pub fn open(log: FlowLog, kernel: &mut Kernel) -> Result<Self, String> {
        let packets = PacketLog::open(log.group).map_err(|error| error.to_string())?;
        kernel
            .try_out(&flow_log::trial(log))
            .map_err(|error| format!("the kernel takes no rules that log: {error}"))?;
        let packets = AsyncFd::new(Pollable(packets)).map_err(|error| error.to_string())?;
        Ok(Self { log: Some(packets), ..Self::off() })
    }

    /// True when packets are listened to.
    pub fn is_on(&self) -> bool {
        self.log.is_some()
    }

    /// How many packets the kernel had no room to keep for us, since the start.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Waits for packets; for ever, without a log. Nothing is lost when the waiting is given up.
    pub async fn heard(&mut self) -> io::Result<Logged> {
        let Some(log) = &mut self.log else { return future::pending().await };
        loop {
            let mut ready = log.readable_mut().await?;
            let logged = ready.get_inner_mut().0.receive()?;
            // The log has given all there was.
            ready.clear_ready();
            if logged != Logged::default() {
                return Ok(logged);
            }
        }
    }

    /// Takes what was heard. `is_local` tells the node's own addresses.
    pub fn take(
        &mut self,
        logged: Logged,
        engine: &Engine,
        node: &Arc<str>,
        is_local: impl Fn(IpAddr) -> bool,
    ) {
        self.lost += logged.lost;
        let now_ms = milliseconds_now();
        let mut together: Vec<(FlowVerdict, Key, u64)> = Vec::new();
        for packet in logged.packets {
            let Some((verdict, direction)) = flow_log::logged(&packet.prefix) else { continue };
            let key = Key::of(&packet, direction);
            match together.iter_mut().find(|(page, known, _)| (*page, *known) == (verdict, key)) {
                Some((.., count)) => *count += 1,
                None => together.push((verdict, key, 1)),
            }
        }
        for (verdict, key, count) in together {
            let page = self.pages.entry(verdict).or_default();
            let known = page.remove(&key);
            let described = match known {
                Some(entry) if entry.described.elapsed() < FRESH => Some(entry),
                known => {
                    let record = describe(verdict, &key, engine, node, &is_local);
                    record.map(|mut record| {
                        record.first_seen_ms =
                            known.as_ref().map_or(now_ms, |entry| entry.record.first_seen_ms);
                        record.count = known.map_or(0, |entry| entry.record.count);
                        Entry { record, described: Instant::now() }
                    })
                }
            };
            let Some(mut entry) = described else { continue };
            entry.record.last_seen_ms = now_ms;
            entry.record.count += count;
            // That nobody follows is no fault.
            let _ = self.followers.send(Arc::new(FlowRecord { count, ..entry.record.clone() }));
            page.insert(key, entry);
            forget_oldest(page);
        }
    }

    /// What is known so far, and what comes.
    pub fn subscribe(&self) -> Subscription {
        let mut records: Vec<FlowRecord> =
            self.pages.values().flat_map(HashMap::values).map(|entry| entry.record.clone()).collect();
        records.sort_by_key(|record| record.first_seen_ms);
        Subscription { records, following: self.followers.subscribe() }
    }
}

/// A quarter at once, so that not every new record looks for the oldest.
fn forget_oldest(page: &mut HashMap<Key, Entry>) {
    if page.len() <= RECORDS_MAX {
        return;
    }
    let mut times: Vec<u64> = page.values().map(|entry| entry.record.last_seen_ms).collect();
    times.sort_unstable();
    let from = times[RECORDS_MAX / 4];
    let mut room = RECORDS_MAX * 3 / 4;
    page.retain(|_, entry| {
        let keep = entry.record.last_seen_ms >= from && room > 0;
        room -= usize::from(keep);
        keep
    });
}

impl Key {
    fn of(packet: &LoggedPacket, direction: Option<FlowDirection>) -> Self {
        Self {
            direction,
            source: packet.source,
            destination: packet.destination,
            protocol: packet.protocol,
            port: packet.destination_port,
        }
    }

    fn protocol_name(&self) -> String {
        let named = Protocol::from_number(self.protocol);
        named.map_or_else(|| self.protocol.to_string(), |protocol| protocol.to_string())
    }
}

/// Who the ends are and which policies decide, by the present state; nothing when no pod of this node has part in it.
fn describe(
    verdict: FlowVerdict,
    key: &Key,
    engine: &Engine,
    node: &Arc<str>,
    is_local: &impl Fn(IpAddr) -> bool,
) -> Option<FlowRecord> {
    let [from, to] = [key.source, key.destination].map(|address| {
        let pod = engine.owner(address);
        let own_node = pod.is_none() && is_local(address);
        FlowEnd { address, pod, own_node }
    });
    // Other traffic of the node passes our chains, too.
    if verdict == FlowVerdict::Allowed
        && ![&from, &to].iter().any(|end| end.pod.as_ref().is_some_and(|pod| engine.is_local(pod)))
    {
        return None;
    }
    let endpoint = |end: &FlowEnd| match (&end.pod, end.own_node) {
        (Some(pod), _) => Endpoint::Pod { pod: pod.clone(), address: end.address },
        (None, true) => Endpoint::Node { node: node.clone(), address: end.address },
        (None, false) => Endpoint::Outside(end.address),
    };
    let transport = Transport::of(key.protocol, key.port);
    let flow = Flow { from: endpoint(&from), to: endpoint(&to), transport };
    let policies = key
        .direction
        .map(|direction| deciding(&engine.around([key.source, key.destination]), &flow, verdict, direction));
    Some(FlowRecord {
        first_seen_ms: 0,
        last_seen_ms: 0,
        verdict,
        direction: key.direction,
        from,
        to,
        protocol: key.protocol_name(),
        port: key.port,
        policies: policies.unwrap_or_default(),
        count: 0,
    })
}

/// The policies that isolate the side that decided, by `evaluate`; of what is audited, those in audit mode.
fn deciding(cluster: &Cluster, flow: &Flow, verdict: FlowVerdict, direction: FlowDirection) -> Vec<String> {
    let decision = match verdict {
        FlowVerdict::Audit => evaluate(&cluster.with_all_enforced(), flow),
        _ => evaluate(cluster, flow),
    };
    let side = match direction {
        FlowDirection::Egress => decision.egress,
        FlowDirection::Ingress => decision.ingress,
    };
    let (Verdict::Denied { isolating } | Verdict::Allowed { isolating, .. }) = side else {
        return Vec::new();
    };
    let is_audited = |key| cluster.policies.get(key).is_some_and(|it| cluster.mode(key, it) == Mode::Audit);
    let deciding = isolating.iter().filter(|key| verdict != FlowVerdict::Audit || is_audited(key));
    deciding.map(ToString::to_string).collect()
}

fn milliseconds_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[path = "flows_tests.rs"]
mod tests;
