//! What observed facts mean. Pure: a test makes the facts.

use std::time::Duration;

use podwall_netlink::{ForeignTable, ReadBack};
use podwall_reconciler::interfaces::{PodNetwork, other_enforcers};
use podwall_reconciler::status::Status;

use super::drift;
use super::facts::{ApiServer, Connections, Facts, RuleTrial};
use super::finding::Finding;

/// An API server that takes longer delays what policies say.
const SLOW: Duration = Duration::from_secs(1);
/// The share of connection tracking in use, of a hundred, from which it is worth knowing.
const NEARLY_FULL: u64 = 90;
/// How many of a list are shown.
const SHOWN: usize = 8;

/// Everything that was looked at, in the order in which a person would ask.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    vec![
        kernel(facts),
        rules(&facts.rules),
        conntrack(&facts.connections),
        agent(&facts.agent),
        drift(facts),
        pods(&facts.agent),
        problems(&facts.agent),
        others(facts),
        enforcers(&facts.others),
        cni(facts),
        bridges(facts),
        kube_proxy(facts),
        api_server(&facts.api),
        rights(&facts.api),
    ]
}

fn kernel(facts: &Facts) -> Finding {
    let release = &facts.release;
    match &facts.nftables {
        Ok(()) => Finding::ok("kernel", format!("Linux {release} takes nftables transactions")),
        Err(error) => Finding::doubt(
            "kernel",
            format!("Linux {release} takes no nftables transaction: {error}"),
            "nothing can be enforced from here",
            "run as root in the host's network namespace; if you do, the kernel needs nf_tables (modprobe nf_tables)",
        ),
    }
}

fn rules(trial: &RuleTrial) -> Finding {
    match trial {
        RuleTrial::Taken => Finding::ok(
            "rules",
            "every kind of rule that Podwall writes is taken, tried where no packet meets it",
        ),
        RuleTrial::WithoutLog(error) => Finding::note(
            "rules",
            format!("every kind of rule that enforces is taken; those that log are refused: {error}"),
            "policy is enforced without a flow log, and policies in audit mode are neither enforced nor reported",
            "modprobe nfnetlink_log (and nft_log, nft_limit, which may be modules of their own), then restart the agent",
        ),
        RuleTrial::Refused(error) => Finding::doubt(
            "rules",
            format!("the kernel refuses rules that Podwall writes: {error}"),
            "pods that need such a rule are closed",
            "compare the kernel with docs/compatibility.md; modules may be missing (nft_ct, nf_conntrack, nft_meta_bridge)",
        ),
        RuleTrial::NotTried(error) => Finding::note(
            "rules",
            format!("not tried: {error}"),
            "whether this kernel takes every kind of rule that Podwall writes is not known",
            "run as root on the node itself: it takes a network namespace of its own",
        ),
    }
}

fn conntrack(connections: &Result<Connections, String>) -> Finding {
    match connections {
        Ok(Connections { count, max: Some(max) }) if count * 100 >= max * NEARLY_FULL => Finding::note(
            "conntrack",
            format!("{count} connections are tracked of {max} at most"),
            "when the table is full the kernel drops new connections, whatever policy says",
            "raise net.netfilter.nf_conntrack_max, or find who opens so many",
        ),
        Ok(Connections { count, max }) => {
            let of = max.map(|max| format!(" of {max} at most")).unwrap_or_default();
            Finding::ok("conntrack", format!("{count} connections are tracked{of}"))
        }
        Err(error) => Finding::doubt(
            "conntrack",
            format!("connections cannot be listed: {error}"),
            "answers are told from new connections by tracking, and a change cuts only connections that can be listed",
            "modprobe nf_conntrack nf_conntrack_netlink",
        ),
    }
}

fn agent(agent: &Result<Status, String>) -> Finding {
    let status = match agent {
        Ok(status) => status,
        Err(error) => {
            return Finding::doubt(
                "agent",
                error,
                "rules that are in the kernel stay as they are, and no change of pods or policies reaches them",
                "start the agent, or see why it ended: kubectl -n kube-system logs ds/podwall --previous",
            );
        }
    };
    let own = env!("CARGO_PKG_VERSION");
    match (status.not_ready.first(), status.enforcing_since_s) {
        (Some(reason), _) => Finding::doubt(
            "agent",
            format!("not ready: {}", listed(&status.not_ready)),
            "the rules are those of before, if there were any",
            match reason.contains("have not been listed") {
                true => "see api-server and rbac below, and the agent's log",
                false => "see the agent's log",
            },
        ),
        (None, None) => Finding::doubt(
            "agent",
            "it has not enforced anything yet",
            "the rules are those of before, if there were any",
            "wait a few seconds and ask again; then see the agent's log",
        ),
        (None, Some(_)) if status.version != own => Finding::note(
            "agent",
            format!("it is of version {}, this program of {own}", status.version),
            "what is judged here may have changed between the two",
            "ask with the agent's own: kubectl -n kube-system exec ds/podwall -- podwall doctor",
        ),
        (None, Some(_)) => Finding::ok(
            "agent",
            format!("{} enforces {} policies for node {}", status.version, status.policies, status.node),
        ),
    }
}

fn drift(facts: &Facts) -> Finding {
    let (status, held) = match (&facts.agent, &facts.held) {
        (_, Err(error)) => {
            return Finding::doubt(
                "drift",
                format!("our tables cannot be read: {error}"),
                "what the kernel enforces is not known",
                "run as root in the host's network namespace",
            );
        }
        (Err(_), Ok(ReadBack::Exactly(ruleset))) if ruleset.tables.is_empty() => {
            return Finding::doubt(
                "drift",
                "the kernel holds no table of ours",
                "nothing is enforced on this node: every pod is open",
                "start the agent",
            );
        }
        (Err(_), Ok(held)) => {
            return Finding::note(
                "drift",
                format!("no agent to compare with; the kernel holds {held}"),
                "what is in force is what an agent wrote last",
                "start the agent",
            );
        }
        (Ok(status), Ok(held)) => (status, held),
    };
    match drift::differences(status, held).as_slice() {
        [] => {
            let undone = status.drift_repairs;
            Finding::ok(
                "drift",
                format!("the kernel holds what the agent wrote; {undone} changes by others were undone"),
            )
        }
        differences => Finding::doubt(
            "drift",
            listed(differences),
            "somebody changed our tables, and the agent has not put them right: pods may be open",
            "restart the agent, which writes everything anew; find out who changes them: nft monitor",
        ),
    }
}

fn pods(agent: &Result<Status, String>) -> Finding {
    const NAME: &str = "pods";
    let Ok(status) = agent else {
        return unknown_without_agent(NAME);
    };
    let by_address: Vec<&str> =
        status.local_pods.iter().filter(|pod| pod.interface.is_none()).map(|pod| pod.pod.as_str()).collect();
    let count = status.local_pods.len();
    match (by_address.is_empty(), status.unknown_pods.starts_with("open")) {
        (false, _) => Finding::note(
            NAME,
            format!(
                "{} of {count} pods are known by address only: {}",
                by_address.len(),
                listed(&by_address)
            ),
            "their policies are enforced by address, and nobody checks that they send from their own",
            "see the agent's problems for each; pods without a veth pair (ipvlan, macvlan, SR-IOV) stay so",
        ),
        (true, true) => Finding::note(
            NAME,
            format!("{count} pods, and pods that are not known yet are {}", status.unknown_pods),
            "a new pod is open until the agent has heard of it",
            "name the pods' interfaces: podwall agent --unknown-pods drop --pod-interface-prefix PREFIX",
        ),
        (true, false) => Finding::ok(
            NAME,
            format!("{count} pods; those that are not known yet are {}", status.unknown_pods),
        ),
    }
}

fn unknown_without_agent(name: &'static str) -> Finding {
    Finding::note(name, "not known without an agent", "only the agent knows", "start the agent")
}

fn problems(agent: &Result<Status, String>) -> Finding {
    match agent {
        Ok(status) if !status.problems.is_empty() => Finding::note(
            "problems",
            listed(&status.problems),
            "each line says what became of it; what cannot be understood is closed",
            "docs/operating.md, Problems",
        ),
        Ok(_) => Finding::ok("problems", "the agent reports none"),
        Err(_) => unknown_without_agent("problems"),
    }
}

/// Base chains of others on the hooks that ours are on; those at the same place come in no certain order.
fn others(facts: &Facts) -> Finding {
    const NAME: &str = "other-tables";
    let own: Vec<(String, i32)> = match &facts.held {
        Ok(ReadBack::Exactly(ruleset)) => {
            let chains = ruleset.tables.values().flat_map(|table| table.chains.values());
            let bases = chains.filter_map(|chain| chain.base);
            bases.map(|base| (format!("{:?}", base.hook).to_lowercase(), base.priority)).collect()
        }
        _ => Vec::new(),
    };
    let (mut all, mut tied) = (Vec::new(), Vec::new());
    for table in facts.others.iter().filter(|table| ["inet", "ip", "ip6", "bridge"].contains(&&*table.family))
    {
        for hook in &table.hooks {
            let text =
                format!("{} {} {}: {} {}", table.family, table.name, hook.chain, hook.hook, hook.priority);
            if own.contains(&(hook.hook.clone(), hook.priority)) {
                tied.push(text.clone());
            }
            all.push((hook.hook.clone(), hook.priority, text));
        }
    }
    all.sort();
    let texts: Vec<&String> = all.iter().map(|(.., text)| text).collect();
    match (tied.is_empty(), texts.is_empty()) {
        (false, _) => Finding::note(
            NAME,
            format!("at the same place as chains of ours: {}", listed(&tied)),
            "which of the two sees a packet first is left to chance; what either drops is dropped all the same",
            "give the other chain another priority",
        ),
        (true, true) => Finding::ok(NAME, "no base chain but ours"),
        (true, false) => {
            Finding::ok(NAME, format!("base chains of others, first to last: {}", listed(&texts)))
        }
    }
}

fn enforcers(tables: &[ForeignTable]) -> Finding {
    const NAME: &str = "other-enforcers";
    let tables: Vec<_> =
        tables.iter().map(|it| (it.family.clone(), it.name.clone(), it.chains.clone())).collect();
    let found: Vec<&str> = other_enforcers(&tables).into_iter().collect();
    match found.is_empty() {
        true => Finding::ok(NAME, "nobody else's tables are known to enforce NetworkPolicy"),
        false => Finding::note(
            NAME,
            format!("{} has tables on this node too", listed(&found)),
            "what either of the two forbids is dropped, and neither explains the other's",
            "leave policies to one; if the other is gone, remove its tables",
        ),
    }
}

fn cni(facts: &Facts) -> Finding {
    const NAME: &str = "cni";
    let Some(configuration) = &facts.cni else {
        return Finding::note(
            NAME,
            "no configuration of a CNI plugin is found",
            "pods are found by routes and links; those that are not known yet may be open",
            "name the folder with --cni-configuration",
        );
    };
    let file = configuration.file.display();
    match &configuration.network {
        Some(PodNetwork::Routed { prefix }) => {
            Finding::ok(NAME, format!("routed, interfaces {prefix}* ({file})"))
        }
        Some(PodNetwork::Bridged { bridge, .. }) => {
            Finding::ok(NAME, format!("on the bridge {bridge} ({file})"))
        }
        None => Finding::note(
            NAME,
            format!("{file} is of no plugin that Podwall knows"),
            "pods are found by routes and links; those that are not known yet are open unless they are told apart by hand",
            "podwall agent --unknown-pods drop with --pod-interface-prefix or --bridge-range",
        ),
    }
}

fn bridges(facts: &Facts) -> Finding {
    const NAME: &str = "br_netfilter";
    let by_cni =
        matches!(facts.cni.as_ref().and_then(|it| it.network.as_ref()), Some(PodNetwork::Bridged { .. }));
    let by_agent = facts.agent.as_ref().is_ok_and(|status| status.local_pods.iter().any(|pod| pod.bridged));
    let needed = by_cni || by_agent;
    let means = "packets between pods of one bridge are not shown to nftables: no policy holds between them";
    match &facts.hiding_bridges {
        Some(off) if off.is_empty() => Finding::ok(NAME, "bridged packets are shown to nftables"),
        _ if !needed => Finding::ok(NAME, "not needed: no pod is on a bridge"),
        None => Finding::doubt(NAME, "the module is not loaded", means, "modprobe br_netfilter"),
        Some(off) => {
            let set: Vec<String> = off.iter().map(|it| format!("net.bridge.{it}=1")).collect();
            let names: Vec<String> = off.iter().map(|it| format!("net.bridge.{it}")).collect();
            Finding::doubt(
                NAME,
                format!("not 1: {}", names.join(", ")),
                means,
                &format!("sysctl -w {}", set.join(" ")),
            )
        }
    }
}

fn kube_proxy(facts: &Facts) -> Finding {
    const NAME: &str = "kube-proxy";
    if let Some(found) = &facts.ipvs {
        return Finding::doubt(
            NAME,
            format!("mode ipvs ({found})"),
            "packets to Services pass by the forward hook: policy does not hold for them, and the agent does not start",
            "run kube-proxy in mode nftables or iptables, and clean up: kube-proxy --cleanup",
        );
    }
    let table = |name: &str, chain: Option<&str>| {
        facts.others.iter().any(|table| {
            table.name == name && chain.is_none_or(|chain| table.chains.iter().any(|it| it == chain))
        })
    };
    let seen = if table("kube-proxy", None) {
        Some("nftables")
    } else if table("nat", Some("KUBE-SERVICES")) {
        Some("iptables")
    } else {
        None
    };
    match (facts.proxy_says.as_deref(), seen) {
        (Some(says), Some(seen)) if says != seen => Finding::note(
            NAME,
            format!("it says mode {says}, and tables of mode {seen} are there"),
            "tables of an earlier mode translate as well",
            "clean up after the earlier mode: kube-proxy --cleanup",
        ),
        (Some(mode), _) | (None, Some(mode)) => Finding::ok(NAME, format!("mode {mode}")),
        (None, None) => Finding::note(
            NAME,
            "neither it nor its tables are seen",
            "if something else translates Services, it must do so before the forward hook",
            "docs/compatibility.md",
        ),
    }
}

fn api_server(api: &ApiServer) -> Finding {
    const NAME: &str = "api-server";
    match api {
        ApiServer::NotAsked(why) => Finding::note(
            NAME,
            format!("not asked: {why}"),
            "whether changes of pods and policies can arrive is seen by the agent's status only",
            "name a kubeconfig with --kubeconfig",
        ),
        ApiServer::Silent(error) => Finding::doubt(
            NAME,
            error,
            "what was said stays in force; changes of pods and policies do not arrive, if the agent has no other way",
            "see the server's name, the network to it, and the certificates",
        ),
        ApiServer::Answered { took, version, .. } => {
            let seen = format!("{version} answered in {:.3} s", took.as_secs_f64());
            match *took >= SLOW {
                true => Finding::note(
                    NAME,
                    seen,
                    "changes of pods and policies may arrive late",
                    "see the server's load and the network to it",
                ),
                false => Finding::ok(NAME, seen),
            }
        }
    }
}

fn rights(api: &ApiServer) -> Finding {
    const NAME: &str = "rbac";
    let missing = match api {
        ApiServer::Answered { missing: Ok(missing), .. } => missing,
        ApiServer::Answered { missing: Err(error), .. } => {
            return Finding::note(
                NAME,
                format!("the API server does not say: {error}"),
                "whether this account may do what the agent does is not known",
                "kubectl auth can-i --list",
            );
        }
        ApiServer::NotAsked(_) | ApiServer::Silent(_) => {
            return Finding::note(
                NAME,
                "not known without the API server",
                "whether the agent may do what it has to is not known",
                "name a kubeconfig with --kubeconfig",
            );
        }
    };
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let todo = "apply deploy/base/rbac.yaml; with --as this is asked about another account";
    match (missing.is_empty(), missing.iter().all(|right| right.optional)) {
        (true, _) => Finding::ok(NAME, "this account may do all that the agent does"),
        (false, true) => Finding::note(
            NAME,
            format!("this account may not {}", names.join(", ")),
            "problems with policies are in the log only, and not Events of the policies",
            todo,
        ),
        (false, false) => Finding::doubt(
            NAME,
            format!("this account may not {}", names.join(", ")),
            "an agent with these rights never learns of them, and changes nothing",
            todo,
        ),
    }
}

fn listed<T: AsRef<str>>(items: &[T]) -> String {
    let shown: Vec<&str> = items.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match items.len().saturating_sub(SHOWN) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}
