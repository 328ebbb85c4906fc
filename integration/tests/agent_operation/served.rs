//! What an agent answers, and to whom.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use podwall_integration::arena::{enforced, key, party, world};
use podwall_integration::{Agent, ApiServer};
use podwall_lab::{Layout, Party};

const LIMIT: Duration = Duration::from_secs(20);

/// While the API server is away an agent that begins is healthy, not ready, says why, and leaves the kernel alone.
pub fn health(api: &mut ApiServer) -> Result<String> {
    let mut world = world(api, Layout::Routed, true)?;
    api.stop();
    let agent = world.agents.get_mut("node-1").context("a node")?;
    agent.start()?;
    let unlisted = unlisted(agent);
    api.resume()?;
    unlisted?;
    let ready = agent.wait_until_ready(LIMIT)?;
    answers(agent, "/healthz", 200)?;
    ensure!(agent.metric("podwall_ready")? == 1.0, "not ready by its metrics");
    ensure!(agent.ruleset()?.contains("table inet podwall"), "it has not written");
    Ok(format!("ready {ready:.1?} after we saw the API server ready"))
}

fn unlisted(agent: &Agent) -> Result<()> {
    let started = Instant::now();
    while agent.get("/healthz").is_err() {
        ensure!(started.elapsed() < LIMIT, "nobody answers: {}", agent.log_end());
        sleep(Duration::from_millis(10));
    }
    // Long enough for whatever it would do without being told.
    sleep(Duration::from_secs(1));
    answers(agent, "/healthz", 200)?;
    let answer = answers(agent, "/readyz", 503)?;
    for kind in ["pods", "namespaces", "networkpolicies"] {
        ensure!(answer.contains(&format!("{kind} have not been listed yet")), "{kind}: {answer}");
    }
    ensure!(agent.metric("podwall_ready")? == 0.0, "ready by its metrics");
    let text = agent.status_text(&[])?;
    ensure!(text.contains("NOT ENFORCING YET") && text.contains("not ready: pods have not"), "{text}");
    ensure!(agent.status()?["enforcingSinceS"].is_null(), "it says since when it enforces");
    ensure!(!agent.ruleset()?.contains("podwall"), "it has written:\n{}", agent.ruleset()?);
    Ok(())
}

/// What it says, which must come with this code.
fn answers(agent: &Agent, path: &str, code: u16) -> Result<String> {
    let answer = agent.get(path)?;
    ensure!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{path}: {answer}");
    Ok(answer)
}

/// `podwall status` is root's alone, and says what is enforced for whom since when, as text and as JSON.
pub fn status(api: &mut ApiServer) -> Result<String> {
    let begun_s = seconds_now();
    let world = enforced(api, Layout::Routed, true)?;
    let agent = world.agents.get("node-1").context("a node")?;
    let socket = agent.socket();
    let us = nix::unistd::geteuid().as_raw();
    for (path, mode) in [(&*socket, 0o600), (socket.parent().context("a folder")?, 0o700)] {
        let found = fs::metadata(path)?;
        let is = found.permissions().mode() & 0o777;
        ensure!(is == mode && found.uid() == us, "{}: {is:o}, of {}", path.display(), found.uid());
    }
    let status = agent.status()?;
    let is_since =
        |json: &serde_json::Value| json.as_u64().is_some_and(|it| (begun_s..=seconds_now()).contains(&it));
    ensure!(status["node"] == "node-1" && status["notReady"] == serde_json::json!([]), "{status:#}");
    ensure!(is_since(&status["enforcingSinceS"]) && is_since(&status["startedS"]), "{status:#}");
    let pods = status["localPods"].as_array().context("pods")?;
    let names: Vec<_> = pods.iter().filter_map(|pod| pod["pod"].as_str()).collect();
    ensure!(names == ["arena/neighbour", "arena/server", "arena/subject"], "{names:?}");
    ensure!(pods.iter().all(|pod| is_since(&pod["sinceS"]) && pod["interface"].is_string()), "{status:#}");
    let server = &pods[1];
    ensure!(server["policies"] == serde_json::json!(["arena/server"]), "{server:#}");
    let chain = server["ingressChain"].as_str().context("the chain that judges the server")?;
    ensure!(agent.ruleset()?.contains(&format!("chain {chain} {{")), "there is no chain {chain}");
    ensure!(server["egressChain"].is_null() && pods[0]["ingressChain"].is_null(), "{status:#}");
    let addresses: Vec<String> = world.addresses(&party("server")).iter().map(ToString::to_string).collect();
    ensure!(server["addresses"] == serde_json::json!(addresses), "{server:#}");
    let text = agent.status_text(&[])?;
    for words in [
        "node node-1 (podwall ",
        "enforcing for ",
        "cluster: 5 pods, 1 policies",
        &format!("{}  {}  ", key("server"), addresses.join(" ")),
        &format!("ingress {chain}  egress open"),
        "policies arena/server",
    ] {
        ensure!(text.contains(words), "no {words:?} in\n{text}");
    }
    Ok(format!("{} lines, {} pods", text.lines().count(), pods.len()))
}

/// Every socket that an agent listens on is on loopback; neither pods nor other nodes reach it.
pub fn loopback(api: &mut ApiServer) -> Result<String> {
    let world = enforced(api, Layout::Routed, true)?;
    let agent = world.agents.get("node-1").context("a node")?;
    let id = agent.id().context("the agent runs")?;
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{id}/fd"))? {
        let to = fs::read_link(entry?.path()).unwrap_or_default();
        let inode = |to: &Path| Some(to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned());
        inodes.extend(inode(&to));
    }
    let mut ports = Vec::new();
    for family in ["tcp", "tcp6", "udp", "udp6", "udplite", "raw", "raw6"] {
        let Ok(table) = fs::read_to_string(format!("/proc/{id}/net/{family}")) else { continue };
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // Of TCP those that listen; elsewhere a socket without a peer takes from anyone.
            let (local, state) = (fields[1], fields[3]);
            if !inodes.contains(fields[9]) || (family.starts_with("tcp") && state != "0A") {
                continue;
            }
            // 127.0.0.1, as the kernel writes it.
            let (address, port) = local.split_once(':').context("an address")?;
            ensure!(address == "0100007F", "{family} listens on {local}");
            ports.push(u16::from_str_radix(port, 16)?);
        }
    }
    let [port] = ports[..] else { anyhow::bail!("it listens on {ports:?}, and not on one port") };
    let node = world.addresses(&Party::Node("node-1".into()));
    let asks = [party("server"), party("friend"), Party::Node("node-2".into())];
    for (from, address) in asks.iter().flat_map(|from| node.iter().map(move |address| (from, *address))) {
        let at = SocketAddr::new(address, port);
        let asked =
            world.namespace(from)?.enter(|| TcpStream::connect_timeout(&at, Duration::from_secs(1)))?;
        ensure!(asked.is_err(), "{from} reaches the agent at {at}");
    }
    Ok(format!("port {port} alone; not from {} places by {} addresses", asks.len(), node.len()))
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs())
}
