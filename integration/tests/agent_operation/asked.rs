//! What a node is asked by hand: what it holds of an answer, and whether it is well.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use podwall_integration::arena::{enforced, from_friend_only, key, party};
use podwall_integration::{Agent, ApiServer, Connections, Kind, World};
use podwall_lab::Layout;
use podwall_policy::Protocol;
use serde_json::Value as Json;

const LIMIT: Duration = Duration::from_secs(5);
const PORT: u16 = 7000;
/// Connections of friend and of stranger.
const FRIENDS: usize = 3;
const STRANGERS: usize = 2;

/// `explain --here` names the chain, since when, and what is open; `diff --here` what a change would cut, which is what
/// is cut when it is made.
pub fn here(api: &mut ApiServer) -> Result<String> {
    let mut world = enforced(api, Layout::Routed, true)?;
    world.objects.delete(Kind::NetworkPolicy, &key("server"))?;
    world.until_agreed(LIMIT)?;
    let mut friends = open(&world, "friend", PORT, FRIENDS)?;
    let mut strangers = open(&world, "stranger", PORT + 1, STRANGERS)?;
    let folder = api.folder().join("change");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("policy.json"), from_friend_only("server").to_string())?;
    let (admin, change) = (api.admin().display().to_string(), folder.display().to_string());
    let socket = agent(&world)?.socket().display().to_string();
    let asked = |world: &World, arguments: &[&str]| -> Result<String> {
        let here = ["--here", "--socket", &socket, "--kubeconfig", &admin];
        Ok(agent(world)?.podwall(&[arguments, &here].concat())?.1)
    };
    let explain = ["explain", "arena/friend", "arena/server", "TCP/7000"];
    let text = asked(&world, &explain)?;
    for part in [
        "on this node (node-1, enforcing for ",
        "  arena/friend is no pod of this node\n",
        "ingress open, egress open\n",
        "  open connections: 3\n    arena/friend -> arena/server TCP/7000: 3 connections\n",
    ] {
        ensure!(text.contains(part), "no {part:?} in\n{text}");
    }
    // The probes' own connections have not all been forgotten yet, and are told as well.
    let text = asked(&world, &["diff", "cluster", &change])?;
    let cut = text.split_once("open connections that would be cut: ").with_context(|| text.clone())?.1;
    ensure!(cut.contains("    arena/stranger -> arena/server TCP/7001: 2 connections\n"), "{text}");
    ensure!(!cut.contains("arena/friend ->"), "{text}");

    world.objects.put(Kind::NetworkPolicy, &from_friend_only("server"))?;
    world.until_agreed(LIMIT)?;
    std::thread::sleep(Duration::from_secs(2));
    let live = (friends.live()?, strangers.live()?);
    ensure!(live == (FRIENDS, 0), "{live:?} connections live, and not {:?}", (FRIENDS, 0));
    let json: Json = serde_json::from_str(&asked(&world, &[&explain[..], &["-o", "json"]].concat())?)?;
    let enforced = &json["here"]["pods"][1]["enforced"];
    let chain = enforced["ingressChain"].as_str().with_context(|| format!("no chain in {json:#}"))?;
    ensure!(agent(&world)?.ruleset()?.contains(&format!("chain {chain} {{")), "there is no chain {chain}");
    ensure!(enforced["sinceS"].is_u64() && json["here"]["connections"][0]["count"] == FRIENDS, "{json:#}");
    let text = asked(&world, &["diff", "cluster", &change])?;
    ensure!(text.contains("would be cut: none"), "{text}");
    Ok(format!("{FRIENDS} connections seen, {STRANGERS} said to be cut, and cut"))
}

/// All is well, with the rights of the role that we ship; and what is not is said.
pub fn doctor(api: &mut ApiServer) -> Result<String> {
    let world = enforced(api, Layout::Routed, true)?;
    let agent = agent(&world)?;
    let (socket, cni) = (agent.socket().display().to_string(), agent.cni_folder().display().to_string());
    let ask = |kubeconfig: &str, more: &[&str]| {
        let arguments =
            ["doctor", "--socket", &socket, "--cni-configuration", &cni, "--kubeconfig", kubeconfig];
        agent.podwall(&[&arguments, more].concat())
    };
    let (own, admin) = (api.agent().display().to_string(), api.admin().display().to_string());
    let (code, text) = ask(&own, &[])?;
    for part in
        ["Kubernetes v", " answered in 0.", "this account may do all that the agent does", "0 in doubt"]
    {
        ensure!(code == 0 && text.contains(part), "it ended with {code}; no {part:?} in\n{text}");
    }
    // Somebody without any rights, asked about by somebody who may.
    let (code, text) = ask(&admin, &["--as", "system:serviceaccount:default:nobody"])?;
    ensure!(code == 1 && text.contains("DOUBT  rbac"), "it ended with {code}:\n{text}");
    ensure!(text.contains("may not get pods, list pods, watch pods, get namespaces"), "{text}");
    let (code, text) = ask(&admin, &["--as", "system:serviceaccount:kube-system:podwall"])?;
    ensure!(code == 0 && text.contains("ok     rbac"), "it ended with {code}:\n{text}");

    api.stop();
    let (code, text) = ask(&own, &[])?;
    api.resume()?;
    ensure!(code == 1 && text.contains("DOUBT  api-server"), "it ended with {code}:\n{text}");
    Ok("well, without rights, and without an API server".to_owned())
}

fn agent(world: &World) -> Result<&Agent> {
    world.agents.get("node-1").context("a node")
}

fn open(world: &World, from: &str, port: u16, count: usize) -> Result<Connections> {
    let (from, to) = (party(from), party("server"));
    let (source, server) = (world.namespace(&from)?, world.namespace(&to)?);
    let ends = ((&source, world.address(&from)?), (&server, world.address(&to)?));
    Connections::open(ends.0, ends.1, Protocol::Tcp, port, count)
}
