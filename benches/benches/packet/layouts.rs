//! Rules: ours by the engine, and others' as text, cut down to what a packet pays for.

use std::fmt::Write;
use std::net::Ipv4Addr;

use anyhow::Result;
use podwall_benches::cluster::selector;
use podwall_compiler::{Attachment, Engine, FlowLog, NodeOptions, UnknownPods};
use podwall_netlink::Kernel;
use podwall_policy::{
    Labels, Namespaces, NetworkPolicy, ObjectKey, Peer, Peers, Pod, PortMatch, Ports, Protocol, Rule,
};
use podwall_ruleset::InterfaceName;

use crate::contender::Contender;
use crate::link::{Ends, NAMESPACE, Nodes, PORT};

/// Pods of the node, where rules are not for each of them.
pub const LOCAL_PODS: u32 = 110;
/// What the agent switches on unless it is told otherwise.
const REVOKED_MARK: u32 = 0x1000_0000;

/// Makes the kernel track connections, and asks nothing of what is forwarded.
pub const CONNTRACK_ONLY: &str = "table inet tracked {
    chain output { type filter hook output priority 0; policy accept; ct state new accept; }
}";

/// Drops what leaves for the second pod, after every hook that is measured.
pub fn drop_after(interface: &str) -> String {
    format!(
        "table inet bench {{\nchain last {{\ntype filter hook postrouting priority 0; policy accept;\n\
         oifname \"{interface}\" meta l4proto udp counter drop\n}}\n}}\n"
    )
}

/// The role that a policy allows; the client has the last one's.
fn role(policy: u32, policies: u32) -> String {
    if policy + 1 == policies { "last".to_owned() } else { format!("role-{policy}") }
}

/// Ten ports, of which the last policy's is the one that is dialled.
fn port(policy: u32, policies: u32) -> u16 {
    PORT + ((policies - 1 - policy) % 10) as u16
}

/// An address of a pod that does not exist.
fn other_address(index: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0b00_0000 + index)
}

fn other_interface(index: u32) -> String {
    format!("vethx{index:07x}")
}

/// Ours: the engine's, of the client, the server, and pods that are not there.
pub fn podwall(nodes: &mut Nodes, index: usize, contender: &Contender, shipped: bool) -> Result<()> {
    let unknown_pods = match shipped {
        true => UnknownPods::Drop {
            interface_prefixes: vec![InterfaceName::new("veth").expect("short")],
            bridge_ranges: Vec::new(),
        },
        false => UnknownPods::Accept,
    };
    let revoked_mark = shipped.then_some(REVOKED_MARK);
    let flow_log = shipped.then_some(FlowLog { group: 9427, allowed: false });
    let options =
        NodeOptions { anti_spoofing: shipped, unknown_pods, revoked_mark, counters: false, flow_log };
    let node = format!("node-{}", index + 1);
    let mut engine = Engine::new(node.as_str().into(), options);
    let name = Labels::from([("kubernetes.io/metadata.name".into(), NAMESPACE.into())]);
    engine.set_namespace(NAMESPACE.into(), name);
    for side in 0..2 {
        let (key, pod) = nodes.pod(index, side);
        engine.set_pod(key, pod);
    }
    for (key, attachment) in nodes.attachments(index) {
        engine.set_attachment(key, Some(attachment));
    }
    let (_, like) = nodes.pod(index, 1);
    for other in 0..contender.pods - 2 {
        let is_local = other < contender.size().local_pods.saturating_sub(2);
        let role = role(other % contender.policies, contender.policies);
        let key = ObjectKey::new(NAMESPACE, format!("other-{other}"));
        let pod = Pod {
            labels: Labels::from([("role".into(), role.into())]),
            node: Some(if is_local { node.as_str().into() } else { "elsewhere".into() }),
            addresses: vec![other_address(other).into()],
            ..like.clone()
        };
        engine.set_pod(key.clone(), pod);
        let interface = InterfaceName::new(&other_interface(other)).expect("short");
        engine.set_attachment(key, is_local.then_some(Attachment::Routed(interface)));
    }
    for policy in 0..contender.policies {
        let peer = selector("role", &role(policy, contender.policies));
        let peers = Peers::Only(vec![Peer::Pods { namespaces: Namespaces::Own, pods: peer }]);
        let port = port(policy, contender.policies);
        let ports = Ports::Only(vec![PortMatch::Range { protocol: Protocol::Udp, first: port, last: port }]);
        let key = ObjectKey::new(NAMESPACE, format!("policy-{policy}"));
        let rule = Rule { peers, ports };
        let pod_selector = selector("app", "server");
        let policy = NetworkPolicy {
            pod_selector,
            ingress: Some(vec![rule]),
            egress: None,
            mode: None,
            location: None,
        };
        engine.set_policy(key, policy);
    }
    let mut kernel = nodes.namespace(index)?.enter(Kernel::open)??;
    Ok(kernel.apply(&engine.take_changes())?)
}

/// A rule for each pod of the node, the server's last; its chain asks one policy after the other.
pub fn linear_per_pod(ends: &Ends, contender: &Contender) -> String {
    let mut text = "table inet other {\n".to_owned();
    policy_chains(&mut text, ends, contender);
    text.push_str("chain forward { type filter hook forward priority 0; policy accept;\n");
    text.push_str("ct state established,related accept\n");
    for other in 1..contender.pods {
        writeln!(text, "oifname \"{}\" drop", other_interface(other)).ok();
    }
    writeln!(text, "oifname \"{}\" jump pod\n}}\n}}", ends.interfaces[1]).ok();
    text
}

/// A map leads to the server's chain, which asks one policy after the other.
pub fn chain_per_policy(ends: &Ends, contender: &Contender) -> String {
    let mut text = "table inet other {\n".to_owned();
    policy_chains(&mut text, ends, contender);
    text.push_str("map pods { type ifname : verdict; elements = {\n");
    for other in 1..contender.size().local_pods {
        writeln!(text, "\"{}\" : drop,", other_interface(other)).ok();
    }
    writeln!(text, "\"{}\" : jump pod }} }}", ends.interfaces[1]).ok();
    text.push_str("chain forward { type filter hook forward priority 0; policy accept;\n");
    text.push_str("ct state established,related accept\noifname vmap @pods\n}\n}");
    text
}

/// A set and a chain for each policy, and the chain `pod`, which ends in a drop.
fn policy_chains(text: &mut String, ends: &Ends, contender: &Contender) {
    let policies = contender.policies;
    for policy in 0..policies {
        writeln!(
            text,
            "set peers{policy} {{ type ipv4_addr; elements = {{ {} }} }}",
            members(policy, ends, contender)
        )
        .ok();
        let port = port(policy, policies);
        writeln!(text, "chain policy{policy} {{ ip saddr @peers{policy} udp dport {port} accept; }}").ok();
    }
    text.push_str("chain pod {\n");
    for policy in 0..policies {
        writeln!(text, "jump policy{policy}").ok();
    }
    text.push_str("drop\n}\n");
}

fn members(policy: u32, ends: &Ends, contender: &Contender) -> String {
    let (pods, policies) = (contender.pods, contender.policies);
    let others =
        (0..pods).filter(|other| other % policies == policy).map(|other| other_address(other).to_string());
    let client = (policy + 1 == policies).then(|| ends.addresses[0].to_string());
    let all: Vec<String> = others.chain(client).collect();
    if all.is_empty() { other_address(policy).to_string() } else { all.join(", ") }
}

/// True when both programs are installed.
pub fn has_iptables() -> bool {
    ["iptables-legacy-restore", "ipset"].iter().all(|program| {
        let mut command = std::process::Command::new(program);
        command.arg("--version").stdout(std::process::Stdio::null()).status().is_ok_and(|it| it.success())
    })
}

/// A rule for each pod of the node by address, the server's last; its chain asks one policy after the other, each by its
/// ipset.
pub fn iptables(nodes: &Nodes, index: usize, contender: &Contender) -> Result<()> {
    let ends = nodes.ends(index);
    let (mut sets, mut chains, mut rules) = (String::new(), String::new(), String::new());
    for policy in 0..contender.policies {
        writeln!(sets, "create peers{policy} hash:ip").ok();
        for member in members(policy, &ends, contender).split(", ") {
            writeln!(sets, "add peers{policy} {member}").ok();
        }
        let port = port(policy, contender.policies);
        writeln!(chains, ":policy{policy} - [0:0]").ok();
        writeln!(rules, "-A pod -j policy{policy}").ok();
        writeln!(
            rules,
            "-A policy{policy} -m set --match-set peers{policy} src -p udp -m udp --dport {port} -j ACCEPT"
        )
        .ok();
    }
    let mut forward = "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n".to_owned();
    for other in 1..contender.pods {
        writeln!(forward, "-A FORWARD -d {}/32 -j DROP", other_address(other)).ok();
    }
    writeln!(forward, "-A FORWARD -d {}/32 -j pod", ends.addresses[1]).ok();
    let table = format!(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:pod - [0:0]\n{chains}{forward}\
         {rules}-A pod -j DROP\nCOMMIT\n"
    );
    nodes.run(index, &["ipset", "restore"], &sets)?;
    nodes.run(index, &["iptables-legacy-restore"], &table).map(drop)
}
