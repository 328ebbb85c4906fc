//! How long a change takes, from the event in memory to the kernel's acknowledgement, beside what the kernel alone needs
//! for the same elements and what `nft -f` takes; and bursts of changes.

use std::time::{Duration, Instant};

use anyhow::Result;
use podwall_benches::cluster::Cluster;
use podwall_benches::event::Event;
use podwall_benches::figure::{Figure, Measure, Size, Spread, is_full, save};
use podwall_benches::raw::{Cold, RawSocket};
use podwall_benches::script;
use podwall_compiler::Engine;
use podwall_netlink::{Kernel, encode};
use podwall_ruleset::Transaction;

/// The size that the budgets are about.
const REFERENCE: Size = Size { pods: 10_000, policies: 1_000, local_pods: 110 };
const ROUNDS_HOT: usize = 300;
const ROUNDS_COLD: usize = 40;
const ROUNDS_BURST: usize = 20;
const ROUNDS_NFT: usize = 5;
/// How long the processor idles before a cold change.
const IDLE: Duration = Duration::from_millis(2);
const BURST_PODS: u32 = 1_000;
const RESTARTED_PODS: u32 = 100;
const STORM_POLICIES: u32 = 100;

/// A change and the way back.
struct Change {
    names: [&'static str; 2],
    events: [Vec<Event>; 2],
    /// What must be there meanwhile.
    before: Option<(Event, Event)>,
}

impl Change {
    fn new(names: [&'static str; 2], events: [Vec<Event>; 2]) -> Self {
        Self { names, events, before: None }
    }
}

fn main() -> Result<()> {
    podwall_lab::isolate_process()?;
    let (mut updates, mut bursts) = (Vec::new(), Vec::new());
    for size in sizes() {
        eprintln!("{} pods, {} policies, {} local", size.pods, size.policies, size.local_pods);
        let mut bench = Bench::new(size)?;
        for change in changes(bench.cluster) {
            updates.extend(bench.measure("update", &change, "hot", ROUNDS_HOT, size == REFERENCE)?);
            if size == REFERENCE || is_full() {
                updates.extend(bench.measure("update", &change, "cold", ROUNDS_COLD, false)?);
            }
        }
        if size == REFERENCE {
            for change in burst_changes(bench.cluster) {
                bursts.extend(bench.measure("burst", &change, "", ROUNDS_BURST, false)?);
            }
        }
    }
    updates.sort_by_key(|figure: &Figure| (figure.size, figure.condition == "cold"));
    save("update", &updates)?;
    save("burst", &bursts)
}

fn sizes() -> Vec<Size> {
    if !is_full() {
        let of = |pods, policies| Size { pods, policies, local_pods: 110 };
        return vec![of(1_000, 1_000), REFERENCE, of(100_000, 1_000)];
    }
    let mut sizes = Vec::new();
    for pods in [1_000, 10_000, 100_000] {
        for policies in [100, 1_000, 5_000] {
            sizes.extend([110, 250].map(|local_pods| Size { pods, policies, local_pods }));
        }
    }
    sizes
}

fn changes(cluster: Cluster) -> Vec<Change> {
    let peer = cluster.distant_peer();
    let (key, pod) = (cluster.pod_key(peer), cluster.pod(peer));
    let mut relabelled = pod.clone();
    relabelled.labels = relabelled
        .labels
        .iter()
        .map(|(name, value)| match &**name {
            "app" => (name.clone(), "canary".into()),
            _ => (name.clone(), value.clone()),
        })
        .collect();
    let there = Event::SetPod(key.clone(), pod);
    let local = cluster.pod_events(0);
    let local_gone =
        vec![Event::RemovePod(cluster.pod_key(0)), Event::SetAttachment(cluster.pod_key(0), None)];
    let policy = podwall_policy::ObjectKey::new(cluster.namespace_name(0), "of-50-peers");
    let set_policy = |edited| vec![Event::SetPolicy(policy.clone(), cluster.policy_of_many_peers(edited))];
    vec![
        Change::new(["pod delete", "pod add"], [vec![Event::RemovePod(key.clone())], vec![there.clone()]]),
        Change::new(
            ["pod label change (leaves sets)", "pod label change (enters sets)"],
            [vec![Event::SetPod(key, relabelled)], vec![there]],
        ),
        Change::new(
            ["namespace label change (leaves sets)", "namespace label change (enters sets)"],
            [vec![cluster.namespace_of_team(1, "none")], vec![cluster.namespace(1)]],
        ),
        Change::new(["local pod delete", "local pod add"], [local_gone, local]),
        Change::new(
            ["policy of 50 peers add", "policy of 50 peers delete"],
            [set_policy(false), vec![Event::RemovePolicy(policy.clone())]],
        ),
        Change {
            before: Some((set_policy(false).remove(0), Event::RemovePolicy(policy.clone()))),
            ..Change::new(
                ["policy of 50 peers edit", "policy of 50 peers edit back"],
                [set_policy(true), set_policy(false)],
            )
        },
    ]
}

fn burst_changes(cluster: Cluster) -> Vec<Change> {
    let pods = cluster.size.pods - BURST_PODS..cluster.size.pods;
    let gone = |index| Event::RemovePod(cluster.pod_key(index));
    // Each comes back at another address, as a pod that is restarted does.
    let moved = |index: u32| {
        let mut events = cluster.pod_events(index);
        if let Event::SetPod(_, pod) = &mut events[0] {
            pod.addresses = vec![std::net::Ipv4Addr::from(0x0b00_0000 + index).into()];
        }
        [vec![gone(index), Event::SetAttachment(cluster.pod_key(index), None)], events].concat()
    };
    let back = |index| [vec![gone(index)], cluster.pod_events(index)].concat();
    let storm = |index: u32| (cluster.policy_key(index), cluster.policy(index + 7));
    vec![
        Change::new(
            ["1,000 pods delete", "1,000 pods add"],
            [pods.clone().map(gone).collect(), pods.flat_map(|it| cluster.pod_events(it)).collect()],
        ),
        Change::new(
            ["100 local pods restart", "100 local pods restart back"],
            [(0..RESTARTED_PODS).flat_map(moved).collect(), (0..RESTARTED_PODS).flat_map(back).collect()],
        ),
        Change::new(
            ["100 policies edit", "100 policies edit back"],
            [
                (0..STORM_POLICIES).map(storm).map(|(key, policy)| Event::SetPolicy(key, policy)).collect(),
                (0..STORM_POLICIES)
                    .map(|it| Event::SetPolicy(cluster.policy_key(it), cluster.policy(it)))
                    .collect(),
            ],
        ),
    ]
}

struct Bench {
    cluster: Cluster,
    engine: Engine,
    kernel: Kernel,
    raw: RawSocket,
    cold: Cold,
}

impl Bench {
    fn new(size: Size) -> Result<Self> {
        let cluster = Cluster::new(size);
        let mut engine = cluster.engine();
        let mut kernel = Kernel::open()?;
        kernel.apply(&engine.take_changes())?;
        Ok(Self { cluster, engine, kernel, raw: RawSocket::open(), cold: Cold::new() })
    }

    /// Makes a change and takes it back, by us and by bytes that were made before, in turn.
    fn measure(
        &mut self,
        suite: &str,
        change: &Change,
        condition: &str,
        rounds: usize,
        with_nft: bool,
    ) -> Result<Vec<Figure>> {
        let mut times: [Vec<Duration>; 2] = Default::default();
        let mut floors: [Vec<Duration>; 2] = Default::default();
        let mut transactions: [Transaction; 2] = Default::default();
        if let Some((there, _)) = &change.before {
            self.apply(there)?;
        }
        // The first rounds make what is there for good: interned names, room in tables.
        for round in 0..rounds + 3 {
            for side in 0..2 {
                let events = change.events[side].clone();
                self.pause(condition);
                let start = Instant::now();
                events.into_iter().for_each(|event| event.tell(&mut self.engine));
                let transaction = self.engine.take_changes();
                self.kernel.apply(&transaction)?;
                let time = start.elapsed();
                assert!(!transaction.is_empty(), "{} changes nothing", change.names[side]);
                transactions[side] = transaction;
                times[side].extend((round >= 3).then_some(time));
            }
            for side in 0..2 {
                let encoded = encode(&transactions[side], 1)?;
                self.pause(condition);
                let start = Instant::now();
                self.raw.commit(encoded.bytes());
                floors[side].extend((round >= 3).then_some(start.elapsed()));
            }
        }
        let mut nft: [Vec<Duration>; 2] = Default::default();
        for _ in 0..if with_nft { ROUNDS_NFT } else { 0 } {
            for side in 0..2 {
                nft[side].push(script::run(&script::script(&transactions[side]))?);
            }
        }
        if let Some((_, gone)) = &change.before {
            self.apply(gone)?;
        }
        let figure = |side: usize| {
            let name = change.names[side];
            let spread = Spread::of_times(&times[side]);
            let mut figure = Figure::new(suite, name, condition, self.cluster.size, spread);
            figure.floor = Some(Spread::of_times(&floors[side]));
            figure.nft = (!nft[side].is_empty()).then(|| Spread::of_times(&nft[side]).median);
            self.with_budget(figure)
        };
        Ok((0..2).map(figure).collect())
    }

    fn apply(&mut self, event: &Event) -> Result<()> {
        event.clone().tell(&mut self.engine);
        Ok(self.kernel.apply(&self.engine.take_changes())?)
    }

    /// What others do between two events, when there are few.
    fn pause(&mut self, condition: &str) {
        if condition == "cold" {
            self.cold.touch();
            std::thread::sleep(IDLE);
        }
    }

    fn with_budget(&self, figure: Figure) -> Figure {
        if self.cluster.size != REFERENCE || figure.suite != "update" {
            return figure;
        }
        match &*figure.name {
            name if name.starts_with("pod ") => {
                figure.within(Measure::TimesFloor, 2.0).within(Measure::P99, 1e6)
            }
            name if name.starts_with("policy") => figure.within(Measure::Median, 2e6),
            _ => figure,
        }
    }
}
