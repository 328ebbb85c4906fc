//! Whether the kernel holds what the agent says.

use std::net::IpAddr;

use podwall_compiler::table_id;
use podwall_netlink::ReadBack;
use podwall_reconciler::status::{Held, PodStatus, Status};
use podwall_ruleset::{InterfaceName, Key, Name, Ruleset, Table, Value, Verdict};

/// Where the two differ, in words.
pub fn differences(status: &Status, held: &ReadBack) -> Vec<String> {
    let ruleset = match held {
        ReadBack::Exactly(ruleset) => ruleset,
        ReadBack::Foreign { .. } => return vec![held.to_string()],
    };
    let Some(table) = ruleset.tables.get(&table_id()) else {
        return vec![format!("the table {} is not there", table_id())];
    };
    let mut found = Vec::new();
    if let Some(told) = &status.held {
        let counted = count(ruleset);
        if counted != *told {
            found.push(format!("the kernel holds {}, the agent wrote {}", words(&counted), words(told)));
        }
    }
    found.extend(
        ["forward", "input"]
            .into_iter()
            .filter(|name| !is_hooked(table, name))
            .map(|name| format!("no packet is sent to the chain {name}")),
    );
    for pod in &status.local_pods {
        for (direction, chain) in [("ingress", &pod.ingress_chain), ("egress", &pod.egress_chain)] {
            let Some(chain) = chain else { continue };
            if !leads_to(table, direction, pod, chain) {
                found.push(format!("nothing leads {} of {} to its chain {chain}", direction, pod.pod));
            }
        }
    }
    found
}

/// How much there is.
pub fn count(ruleset: &Ruleset) -> Held {
    let mut held = Held { tables: ruleset.tables.len(), ..Held::default() };
    for table in ruleset.tables.values() {
        held.chains += table.chains.len();
        held.rules += table.chains.values().map(|chain| chain.rules.len()).sum::<usize>();
        held.sets += table.sets.len();
        held.elements += table.sets.values().map(|set| set.elements.len()).sum::<usize>();
    }
    held
}

fn words(held: &Held) -> String {
    let Held { tables, chains, rules, sets, elements } = held;
    format!("{tables} tables, {chains} chains, {rules} rules, {sets} sets, {elements} elements")
}

fn is_hooked(table: &Table, chain: &str) -> bool {
    let chain = Name::new(chain).ok().and_then(|name| table.chains.get(&name));
    chain.is_some_and(|chain| chain.base.is_some() && !chain.rules.is_empty())
}

/// By its interface, or by each of its addresses where it has none of its own.
fn leads_to(table: &Table, direction: &str, pod: &PodStatus, chain: &str) -> bool {
    let is_there = |map: &str, value: Value| {
        let set = Name::new(map).ok().and_then(|name| table.sets.get(&name));
        let verdict = set.and_then(|set| set.elements.get(&Key::one(value))?.verdict.as_ref());
        match verdict {
            // Behind the chain that counts, or at once.
            Some(Verdict::Jump(name)) => {
                name.as_str() == chain || name.as_str().strip_prefix("counted/") == Some(chain)
            }
            _ => false,
        }
    };
    match &pod.interface {
        Some(interface) if !pod.bridged => {
            InterfaceName::new(interface).is_ok_and(|it| is_there(direction, Value::Interface(it)))
        }
        _ => pod.addresses.iter().filter_map(|address| address.parse().ok()).all(|address| match address {
            IpAddr::V4(address) => is_there(&format!("{direction}.v4"), Value::Ipv4(address)),
            IpAddr::V6(address) => is_there(&format!("{direction}.v6"), Value::Ipv6(address)),
        }),
    }
}
