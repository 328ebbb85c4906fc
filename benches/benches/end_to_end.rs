//! From the API server's answer to a write until the packets obey it.
//!
//! A real etcd and kube-apiserver, and an agent on one node with 110 pods, each a network namespace. One pod sends another
//! a datagram every 2 ms, each from a fresh source port, so that each is judged as a new connection. Every change turns
//! what may pass. Its time ends with the first datagram that obeys it and is not followed by one that does not before the
//! next change is asked for; it begins when the API server has answered. (A watch may be told before the writer is: then
//! the time is 0. For the same reason a datagram counts for a change only until the next one is asked for, not answered.)

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use podwall_benches::figure::{Figure, Measure, Size, Spread, Unit, folder, save};
use podwall_integration::{ApiServer, Kind, Order, Shot, World, WorldOptions, arena, finish_all};
use podwall_lab::{Families, Layout};
use podwall_policy::{Labels, ObjectKey, Pod};
use serde_json::{Value as Json, json};

const SIZES: [Size; 2] = [
    Size { pods: 1_000, policies: 100, local_pods: 110 },
    Size { pods: 10_000, policies: 1_100, local_pods: 110 },
];
/// Changes of one size: six turns of each kind below, so many times.
const CYCLES: usize = 34;
const INTERVAL: Duration = Duration::from_millis(2);
/// From one change to the next, and somewhat more, so that they fall anywhere between two datagrams.
const PAUSE: Duration = Duration::from_millis(120);
const STARTS: usize = 5;
const NAMESPACES: u32 = 50;
const READY_LIMIT: Duration = Duration::from_secs(60);

/// A change, as it is called in the table, and whether datagrams pass afterwards.
const CHANGES: [(&str, bool); 6] = [
    ("policy add", false),
    ("policy edit", true),
    ("pod label off", false),
    ("pod label on", true),
    ("policy edit", false),
    ("policy delete", true),
];

fn main() -> Result<()> {
    podwall_lab::isolate_process()?;
    let api = ApiServer::start(&folder().join("api-server"))?;
    let mut figures = Vec::new();
    for size in SIZES {
        figures.extend(measure(&api, size)?);
    }
    save("end_to_end", &figures)
}

fn measure(api: &ApiServer, size: Size) -> Result<Vec<Figure>> {
    let started = Instant::now();
    let mut world = world(api, size)?;
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("{} pods, {} policies in the API server after {seconds:.0} s", size.pods, size.policies);
    let (starts, resident) = start(&mut world)?;
    let mut figures = Vec::new();
    let times = changes(&world)?;
    let all: Vec<f64> = times.iter().map(|(_, time)| *time).collect();
    figures.push(
        Figure::new("end_to_end", "API to packet, all changes", "", size, Spread::of(all))
            .within(Measure::Median, 3e6)
            .within(Measure::P99, 15e6),
    );
    for name in ["policy add", "policy edit", "policy delete", "pod label off", "pod label on"] {
        let times = times.iter().filter(|(it, _)| *it == name).map(|(_, time)| *time).collect();
        figures.push(Figure::new(
            "end_to_end",
            &format!("API to packet, {name}"),
            "",
            size,
            Spread::of(times),
        ));
    }
    let resident = Spread::of([resident, memory(&world)?].concat());
    let mut start = Figure::new("end_to_end", "start to enforced", "", size, Spread::of_times(&starts));
    let mut resident =
        Figure::new("end_to_end", "resident memory of the agent", "", size, resident).in_unit(Unit::Bytes);
    if size.pods == 10_000 {
        start = start.within(Measure::Median, 0.5e9);
        resident = resident.within(Measure::P99, 30e6);
    }
    figures.extend([start, resident]);
    println!("{}", podwall_benches::table::markdown(&figures));
    Ok(figures)
}

/// The cluster in the API server, and 110 pods of it with links.
fn world(api: &ApiServer, size: Size) -> Result<World> {
    let mut options = WorldOptions::new(Layout::Routed, 1);
    options.families = Families { ipv4: true, ipv6: false };
    options.outside.clear();
    let mut world = World::new(api, options)?;
    for index in 0..NAMESPACES {
        let labels = Labels::from([("team".into(), format!("team-{}", index % 10).into())]);
        world.put_namespace(&namespace(index), &labels)?;
    }
    world.put_namespace(arena::NAMESPACE, &Labels::default())?;
    for index in 0..size.local_pods {
        let (key, labels) = match index {
            0 => (arena::key("server"), vec![("app", "server".to_owned())]),
            1 => (arena::key("client"), vec![("role", "friend".to_owned())]),
            _ => (pod_key(index), vec![("app", app(index))]),
        };
        world.add_pod(&key, &local_pod(index, &labels), Order::Link)?;
    }
    let distant: Vec<(ObjectKey, Pod)> =
        (size.local_pods..size.pods).map(|index| (pod_key(index), distant_pod(index))).collect();
    world.add_distant_pods(&distant)?;
    let calls = (0..size.policies).map(|index| {
        let policy = policy(index);
        (http::Method::POST, Kind::NetworkPolicy.path(&namespace(index)), policy)
    });
    world.objects.call_all(calls.collect())?;
    Ok(world)
}

fn namespace(index: u32) -> String {
    format!("namespace-{}", index % NAMESPACES)
}

fn app(index: u32) -> String {
    format!("app-{}", index / NAMESPACES % 10)
}

fn pod_key(index: u32) -> ObjectKey {
    ObjectKey::new(namespace(index), format!("pod-{index}"))
}

fn local_pod(index: u32, labels: &[(&str, String)]) -> Pod {
    let address = format!("10.244.0.{}", index + 2).parse().expect("an address");
    pod("node-1", address, labels)
}

fn distant_pod(index: u32) -> Pod {
    let address = std::net::Ipv4Addr::from(0x0af5_0000 + index).into();
    pod(&format!("node-{}", 2 + index / 110), address, &[("app", app(index))])
}

fn pod(node: &str, address: std::net::IpAddr, labels: &[(&str, String)]) -> Pod {
    let labels = labels.iter().map(|(name, value)| ((*name).into(), value.as_str().into())).collect();
    Pod { labels, node: Some(node.into()), addresses: vec![address], ..arena::pod("server", 1, 0) }
}

/// A policy: an application's pods may be reached by the next of the namespace, and by one of a team's.
fn policy(index: u32) -> Json {
    let row = index / NAMESPACES;
    let labels = |number: u32| json!({"matchLabels": {"app": format!("app-{}", number % 10)}});
    let team = json!({"matchLabels": {"team": format!("team-{}", (index + 1) % 10)}});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": format!("policy-{index}"), "namespace": namespace(index)},
        "spec": {
            "podSelector": labels(row), "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [{"podSelector": labels(row + 1)}, {"namespaceSelector": team, "podSelector": labels(row + 2)}],
                "ports": [{"protocol": "TCP", "port": 1000 + row}],
            }],
        },
    })
}

/// Starts the agent several times from nothing. Returns how long each took until it enforced, and what it then had in
/// memory at most.
fn start(world: &mut World) -> Result<(Vec<Duration>, Vec<f64>)> {
    let (mut times, mut resident) = (Vec::new(), Vec::new());
    for round in 0..STARTS {
        let agent = world.agents.values_mut().next().context("an agent")?;
        agent.kill();
        if round > 0 {
            agent.namespace().enter(|| Command::new("nft").args(["flush", "ruleset"]).status())??;
        }
        let started = Instant::now();
        agent.start()?;
        agent.wait_until_ready(READY_LIMIT)?;
        times.push(started.elapsed());
        resident.extend(memory(world)?);
    }
    Ok((times, resident))
}

/// The most that the agent has had in memory.
fn memory(world: &World) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for agent in world.agents.values() {
        let id = agent.id().context("the agent runs")?;
        let status = fs::read_to_string(Path::new("/proc").join(id.to_string()).join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
        all.push(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0);
    }
    Ok(all)
}

/// A change that was made: when it was asked for, when that was answered, and what should pass from then on.
struct Made {
    name: &'static str,
    asked: Instant,
    answered: Instant,
    passes: bool,
}

/// Makes all changes while datagrams are under way. Returns the nanoseconds that each took.
fn changes(world: &World) -> Result<Vec<(&'static str, f64)>> {
    let (client, server) = (arena::party("client"), arena::party("server"));
    let stream = world.stream(&client, &server, arena::UDP, INTERVAL, true)?;
    sleep(PAUSE);
    let mut made: Vec<Made> = Vec::new();
    for cycle in 0..CYCLES {
        for (step, (name, passes)) in CHANGES.into_iter().enumerate() {
            let asked = Instant::now();
            make(world, step)?;
            made.push(Made { name, asked, answered: Instant::now(), passes });
            sleep(PAUSE + Duration::from_micros(((cycle * 6 + step) as u64 * 617) % 4_000));
        }
    }
    let shots = finish_all([stream])?.remove(0);
    let end = Instant::now();
    let next = made.iter().skip(1).map(|it| it.asked).chain([end]);
    made.iter().zip(next).map(|(change, next)| Ok((change.name, time_of(change, next, &shots)?))).collect()
}

fn make(world: &World, step: usize) -> Result<()> {
    let objects = &world.objects;
    let from = |role: &str| {
        let mut policy = arena::from_friend_only("server");
        policy["spec"]["ingress"][0]["from"] = json!([{"podSelector": {"matchLabels": {"role": role}}}]);
        policy
    };
    let label = |role: Json| {
        objects.patch(Kind::Pod, &arena::key("client"), json!({"metadata": {"labels": {"role": role}}}))
    };
    let edit = |role: &str| {
        let spec = from(role)["spec"].clone();
        objects.patch(Kind::NetworkPolicy, &arena::key("server"), json!({ "spec": spec }))
    };
    match step {
        0 => objects.create(Kind::NetworkPolicy, &from("nobody")).map(drop),
        1 => edit("friend").map(drop),
        2 => label(Json::Null).map(drop),
        3 => label("friend".into()).map(drop),
        4 => edit("nobody").map(drop),
        _ => objects.delete(Kind::NetworkPolicy, &arena::key("server")),
    }
}

/// Nanoseconds from the answer to the first datagram that obeys and is not followed by one that does not.
fn time_of(change: &Made, next: Instant, shots: &[Shot]) -> Result<f64> {
    let mut obeyed_at = None;
    for shot in shots.iter().filter(|shot| change.asked <= shot.at && shot.at < next) {
        match shot.passed() == change.passes {
            true => {
                obeyed_at.get_or_insert(shot.at);
            }
            false => obeyed_at = None,
        }
    }
    let late = || format!("{}: not obeyed within {:?}", change.name, next - change.answered);
    let obeyed_at = obeyed_at.with_context(late)?;
    Ok(obeyed_at.saturating_duration_since(change.answered).as_nanos() as f64)
}
