//! What each fact makes of a healthy node.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use podwall_compiler::table_id;
use podwall_netlink::{ForeignHook, ForeignTable, ReadBack};
use podwall_reconciler::interfaces::{CniConfiguration, PodNetwork};
use podwall_reconciler::status::{PodStatus, Status};
use podwall_ruleset::{
    BaseChain, Chain, ChainType, Element, Hook, InterfaceName, Key, Name, Rule, Ruleset, Set, Table, Value,
    ValueType, Verdict,
};

use super::facts::{ApiServer, Connections, Facts, RIGHTS, RuleTrial};
use super::finding::{Finding, State, is_doubtful, to_text};
use super::{drift, judge};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The hooks, and one isolated pod.
fn ruleset() -> Ruleset {
    let base = |hook| Chain {
        base: Some(BaseChain { chain_type: ChainType::Filter, hook, priority: -5 }),
        comment: None,
        rules: vec![Rule::verdict([], Verdict::Accept)],
    };
    let group = Chain { rules: vec![Rule::verdict([], Verdict::Drop)], ..Chain::default() };
    let mut dispatch = Set::new(&[ValueType::Interface]);
    dispatch.map = true;
    let jump = Element { verdict: Some(Verdict::Jump(name("counted/ingress/shop/abc"))), comment: None };
    dispatch.elements.insert(Key::one(Value::Interface(InterfaceName::new("veth1").unwrap())), jump);
    let table = Table {
        sets: BTreeMap::from([(name("ingress"), dispatch)]),
        chains: BTreeMap::from([
            (name("forward"), base(Hook::Forward)),
            (name("input"), base(Hook::Input)),
            (name("ingress/shop/abc"), group),
        ]),
    };
    Ruleset { tables: BTreeMap::from([(table_id(), table)]) }
}

fn status() -> Status {
    Status {
        node: "worker-1".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        enforcing_since_s: Some(1),
        unknown_pods: "closed (interfaces veth*)".into(),
        held: Some(drift::count(&ruleset())),
        local_pods: vec![PodStatus {
            pod: "shop/web".into(),
            addresses: vec!["10.0.0.1".into()],
            interface: Some("veth1".into()),
            ingress_chain: Some("ingress/shop/abc".into()),
            ..PodStatus::default()
        }],
        ..Status::default()
    }
}

fn foreign(name: &str, chains: &[(&str, &str, i32)]) -> ForeignTable {
    let hook = |(chain, hook, priority): &(&str, &str, i32)| ForeignHook {
        chain: (*chain).into(),
        hook: (*hook).into(),
        priority: *priority,
    };
    ForeignTable {
        family: "ip".into(),
        name: name.into(),
        chains: chains.iter().map(|(chain, ..)| (*chain).into()).collect(),
        hooks: chains.iter().map(hook).collect(),
    }
}

fn answered() -> ApiServer {
    ApiServer::Answered {
        took: Duration::from_millis(3),
        version: "Kubernetes v1.34.4".into(),
        missing: Ok(Vec::new()),
    }
}

fn healthy() -> Facts {
    Facts {
        release: "6.18.0".into(),
        nftables: Ok(()),
        rules: RuleTrial::Taken,
        connections: Ok(Connections { count: 10, max: Some(1000) }),
        others: vec![foreign("kube-proxy", &[("nat-prerouting", "prerouting", -100)])],
        ipvs: None,
        proxy_says: None,
        hiding_bridges: None,
        cni: Some(CniConfiguration {
            file: "/etc/cni/net.d/10-ptp.conflist".into(),
            network: Some(PodNetwork::Routed { prefix: "veth".into() }),
        }),
        agent: Ok(status()),
        held: Ok(ReadBack::Exactly(ruleset())),
        api: answered(),
    }
}

/// What is found when one thing is otherwise.
fn found(name: &str, change: impl FnOnce(&mut Facts)) -> Finding {
    let mut facts = healthy();
    change(&mut facts);
    judge::judge(&facts).into_iter().find(|finding| finding.name == name).unwrap()
}

/// One thing is otherwise: that is seen, says what it means and what to do, and casts doubt or not.
fn sees(name: &str, state: State, part: &str, change: impl FnOnce(&mut Facts)) {
    let finding = found(name, change);
    assert!(finding.state == state && finding.seen.contains(part), "{finding:?}");
    assert_eq!(finding.means.is_empty() || finding.todo.is_empty(), state == State::Ok, "{finding:?}");
}

fn agent(facts: &mut Facts) -> &mut Status {
    facts.agent.as_mut().unwrap()
}

fn table(facts: &mut Facts) -> &mut Table {
    let Ok(ReadBack::Exactly(ruleset)) = &mut facts.held else { panic!("no ruleset") };
    ruleset.tables.get_mut(&table_id()).unwrap()
}

#[test]
fn nothing_is_said_against_a_healthy_node() {
    let findings = judge::judge(&healthy());
    assert!(findings.iter().all(|finding| finding.state == State::Ok), "{findings:#?}");
    assert!(!is_doubtful(&findings));
    let names: std::collections::BTreeSet<&str> = findings.iter().map(|finding| finding.name).collect();
    assert_eq!(names.len(), findings.len(), "a name is one finding");
    assert!(to_text(&findings).ends_with("0 in doubt, 0 to note: nothing casts doubt on enforcement\n"));
}

#[test]
fn the_kernel() {
    sees("kernel", State::Doubt, "no nftables", |it| it.nftables = Err("not supported".into()));
    sees("rules", State::Doubt, "refuses", |it| it.rules = RuleTrial::Refused("no such file".into()));
    sees("rules", State::Note, "those that log", |it| it.rules = RuleTrial::WithoutLog("ENOENT".into()));
    sees("rules", State::Note, "not tried", |it| it.rules = RuleTrial::NotTried("EPERM".into()));
    sees("conntrack", State::Doubt, "cannot be listed", |it| it.connections = Err("EPERM".into()));
    let full = |count| move |it: &mut Facts| it.connections = Ok(Connections { count, max: Some(1000) });
    sees("conntrack", State::Note, "900", full(900));
    sees("conntrack", State::Ok, "899", full(899));
    sees("conntrack", State::Ok, "10 connections", |it| {
        it.connections = Ok(Connections { count: 10, max: None });
    });
}

#[test]
fn the_agent() {
    sees("agent", State::Doubt, "nobody", |it| it.agent = Err("nobody".into()));
    sees("agent", State::Doubt, "pods have not", |it| {
        agent(it).not_ready = vec!["pods have not been listed yet".into()];
    });
    sees("agent", State::Doubt, "not enforced", |it| agent(it).enforcing_since_s = None);
    sees("agent", State::Note, "0.0.1", |it| agent(it).version = "0.0.1".into());
    sees("pods", State::Note, "shop/web", |it| agent(it).local_pods[0].interface = None);
    sees("pods", State::Note, "open", |it| agent(it).unknown_pods = "open".into());
    sees("problems", State::Note, "refused", |it| agent(it).problems = vec!["a policy is refused".into()]);
}

#[test]
fn drift() {
    sees("drift", State::Doubt, "is not there", |it| {
        it.held = Ok(ReadBack::Exactly(Ruleset::default()));
    });
    sees("drift", State::Doubt, "nothing leads ingress of shop/web", |it| {
        table(it).sets.get_mut(&name("ingress")).unwrap().elements.clear();
    });
    sees("drift", State::Doubt, "no packet is sent to the chain forward", |it| {
        table(it).chains.get_mut(&name("forward")).unwrap().base = None;
    });
    sees("drift", State::Doubt, "the agent wrote 1 tables, 3 chains", |it| {
        table(it).chains.get_mut(&name("ingress/shop/abc")).unwrap().rules.clear();
    });
    sees("drift", State::Doubt, "is not as we make it", |it| {
        it.held = Ok(ReadBack::Foreign { table: table_id(), what: "a set with timeouts".into() });
    });
    sees("drift", State::Doubt, "cannot be read", |it| it.held = Err("EPERM".into()));
    sees("drift", State::Note, "no agent", |it| it.agent = Err("nobody".into()));
    sees("drift", State::Doubt, "no table of ours", |it| {
        it.agent = Err("nobody".into());
        it.held = Ok(ReadBack::Exactly(Ruleset::default()));
    });
    // A pod without an interface of its own is led to its chain by each address.
    sees("drift", State::Doubt, "nothing leads ingress", |it| agent(it).local_pods[0].bridged = true);
    // An agent that has not been given everything has not said how much there is.
    sees("drift", State::Ok, "holds what", |it| agent(it).held = None);
}

#[test]
fn others() {
    sees("other-tables", State::Ok, "ip kube-proxy nat-prerouting: prerouting -100", |_| ());
    sees("other-tables", State::Ok, "no base chain", |it| it.others.clear());
    sees("other-tables", State::Note, "ip early x: forward -5", |it| {
        it.others.push(foreign("early", &[("x", "forward", -5)]));
    });
    sees("other-tables", State::Ok, "ip late y: forward 0", |it| {
        it.others.push(foreign("late", &[("y", "forward", 0)]));
    });
    sees("other-enforcers", State::Note, "Calico", |it| {
        it.others.push(foreign("filter", &[("cali-FORWARD", "forward", 0)]));
    });
}

#[test]
fn the_network_of_the_node() {
    let bridged = |it: &mut Facts| {
        it.cni.as_mut().unwrap().network =
            Some(PodNetwork::Bridged { bridge: "cni0".into(), ranges: Vec::new() });
    };
    sees("br_netfilter", State::Ok, "not needed", |_| ());
    sees("br_netfilter", State::Doubt, "not loaded", bridged);
    sees("br_netfilter", State::Doubt, "bridge-nf-call-ip6tables", |it| {
        bridged(it);
        it.hiding_bridges = Some(vec!["bridge-nf-call-ip6tables"]);
    });
    sees("br_netfilter", State::Doubt, "not loaded", |it| agent(it).local_pods[0].bridged = true);
    sees("br_netfilter", State::Ok, "shown", |it| {
        bridged(it);
        it.hiding_bridges = Some(Vec::new());
    });
    sees("cni", State::Ok, "veth", |_| ());
    sees("cni", State::Ok, "cni0", bridged);
    sees("cni", State::Note, "no configuration", |it| it.cni = None);
    sees("cni", State::Note, "no plugin", |it| it.cni.as_mut().unwrap().network = None);
    sees("kube-proxy", State::Doubt, "ipvs", |it| it.ipvs = Some("the interface kube-ipvs0".into()));
    sees("kube-proxy", State::Ok, "nftables", |_| ());
    sees("kube-proxy", State::Ok, "iptables", |it| {
        it.others = vec![foreign("nat", &[("KUBE-SERVICES", "prerouting", -100)])];
    });
    sees("kube-proxy", State::Note, "says mode iptables", |it| it.proxy_says = Some("iptables".into()));
    sees("kube-proxy", State::Note, "neither", |it| it.others.clear());
}

#[test]
fn the_api_server() {
    let api = |change: fn(&mut Duration, &mut Result<Vec<_>, String>)| {
        move |it: &mut Facts| {
            let ApiServer::Answered { took, missing, .. } = &mut it.api else { panic!("it answered") };
            change(took, missing);
        }
    };
    sees("api-server", State::Ok, "0.003 s", |_| ());
    sees("api-server", State::Note, "1.500 s", api(|took, _| *took = Duration::from_millis(1500)));
    sees("api-server", State::Doubt, "refused", |it| it.api = ApiServer::Silent("refused".into()));
    sees("api-server", State::Note, "not asked", |it| it.api = ApiServer::NotAsked("no kubeconfig".into()));
    sees("rbac", State::Doubt, "watch pods", api(|_, missing| *missing = Ok(vec![RIGHTS[2]])));
    sees("rbac", State::Note, "create events", api(|_, missing| *missing = Ok(vec![RIGHTS[9]])));
    sees("rbac", State::Note, "does not say", api(|_, missing| *missing = Err("503".into())));
}

/// What others named is shown without their control characters.
#[test]
fn text_is_for_people() {
    let findings = [Finding::doubt("drift", "a\u{1b}[31mb", "c", "d"), Finding::note("cni", "e", "f", "g")];
    assert_eq!(
        to_text(&findings),
        "\
DOUBT  drift  a\\u{1b}[31mb
         means  c
         do     d
note   cni    e
         means  f
         do     g
2 looked at, 1 in doubt, 1 to note: enforcement is in doubt
"
    );
}

/// The rights are those of the role that we ship.
#[test]
fn rights_are_those_of_the_role() {
    let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/base/rbac.yaml");
    let text = std::fs::read_to_string(role).unwrap();
    let rules = text.split("\nrules:\n").nth(1).unwrap().split("\n---").next().unwrap();
    let list = |line: &str| -> Vec<String> {
        let inside = line.split_once('[').unwrap().1.trim_end_matches(']');
        inside.split(',').map(|it| it.trim().trim_matches('"').to_owned()).collect()
    };
    let mut granted = Vec::new();
    for rule in rules.split("- apiGroups:").skip(1) {
        let lines: Vec<&str> = rule.lines().collect();
        for resource in list(lines[1]) {
            granted.extend(
                list(lines[2]).into_iter().map(|verb| (list(lines[0])[0].clone(), resource.clone(), verb)),
            );
        }
    }
    let asked = RIGHTS.map(|it| (it.group.to_owned(), it.resource.to_owned(), it.verb.to_owned()));
    assert_eq!(granted, asked);
}
