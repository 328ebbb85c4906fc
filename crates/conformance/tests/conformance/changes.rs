//! Every step of every case, and the cluster without policies before it: what `diff` says becomes allowed and denied
//! is where `evaluate` differs, read back from what it prints for programs.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use podwall_conformance::{Case, State};
use podwall_explain::Snapshot;
use podwall_explain::diff::Difference;
use podwall_policy::{Endpoint, Flow, ObjectKey, Transport, evaluate};
use serde_json::Value;

use crate::explained::snapshot;
use crate::figures::Figures;
use crate::interpreted::{OUTSIDE, in_shares, transports};

pub fn judge(cases: &[Case]) -> Figures {
    in_shares("cases, differences", cases, judge_case)
}

fn judge_case(figures: &mut Figures, case: &Case) {
    let grid = snapshot(&State::grid(), None);
    let mut before = snapshot(&State::grid(), None);
    for (step, state) in case.states().iter().enumerate() {
        let after = snapshot(state, Some(&before));
        let name = format!("{} step {step}", case.name);
        judge_change(figures, &name, &before, &after);
        judge_change(figures, &format!("{name} undone"), &after, &grid);
        before = after;
    }
}

fn judge_change(figures: &mut Figures, name: &str, before: &Snapshot, after: &Snapshot) {
    let printed = Difference::new(before, after).to_json();
    let printed: Value = serde_json::from_str(&printed).expect("it is JSON");
    let told = Told { printed: &printed, ends: ends(before, after) };
    for from in &told.ends {
        for to in told.ends.iter().filter(|to| from.is_compared_with(to)) {
            for transport in transports() {
                let allowed = |state: &Snapshot, [from, to]: [&Endpoint; 2]| {
                    evaluate(&state.cluster, &Flow { from: from.clone(), to: to.clone(), transport })
                        .allowed()
                };
                let was = allowed(before, [&from.before, &to.before]);
                let is = allowed(after, [&from.after, &to.after]);
                figures.count_probe(is);
                let says =
                    [told.says("allowed", from, to, transport), told.says("denied", from, to, transport)];
                if says != [!was && is, was && !is] {
                    let line = format!(
                        "{name}: {} -> {} {transport:?}: says {says:?}, was {was}, is {is}\n    {printed}",
                        from.name, to.name
                    );
                    figures.mismatches.push(line);
                }
            }
        }
    }
}

/// Somebody who is there before and after, by an address of one family.
struct End {
    name: String,
    before: Endpoint,
    after: Endpoint,
}

impl End {
    fn is_pod(&self) -> bool {
        matches!(self.before, Endpoint::Pod { .. })
    }

    fn is_ipv4(&self) -> bool {
        self.before.address().is_ipv4()
    }

    fn is_compared_with(&self, other: &End) -> bool {
        self.name != other.name && self.is_ipv4() == other.is_ipv4() && (self.is_pod() || other.is_pod())
    }
}

/// Pods that are in both states, and hosts outside: of one that blocks name, and of one that they do not.
fn ends(before: &Snapshot, after: &Snapshot) -> Vec<End> {
    let own = |state: &Snapshot| -> BTreeSet<(ObjectKey, bool, IpAddr)> {
        let owners = state.cluster.address_owners();
        owners.into_iter().map(|(address, pod)| (pod.clone(), address.is_ipv4(), address)).collect()
    };
    let later = own(after);
    let both = own(before).into_iter().filter_map(|(pod, ipv4, address)| {
        let (.., now) = later.iter().find(|(other, family, _)| (other, *family) == (&pod, ipv4))?;
        Some(End {
            name: pod.to_string(),
            before: Endpoint::Pod { pod: pod.clone(), address },
            after: Endpoint::Pod { pod, address: *now },
        })
    });
    let outside = OUTSIDE.iter().chain(&["203.0.113.200", "198.51.100.7", "2001:db8:1::1"]).map(|address| {
        let end = Endpoint::Outside(address.parse().expect("an address"));
        End { name: (*address).to_owned(), before: end.clone(), after: end }
    });
    both.chain(outside).collect()
}

/// What was printed.
struct Told<'a> {
    printed: &'a Value,
    ends: Vec<End>,
}

impl Told<'_> {
    fn says(&self, which: &str, from: &End, to: &End, transport: Transport) -> bool {
        let groups = self.printed[which].as_array().map_or(&[][..], Vec::as_slice);
        let among = |names: &Value, end: &End| {
            names.as_array().into_iter().flatten().any(|it| is_meant(it.as_str().unwrap_or_default(), end))
        };
        groups.iter().any(|group| {
            among(&group["from"], from)
                && among(&group["to"], to)
                && ports_hold(group["ports"].as_str().unwrap_or_default(), from.is_ipv4(), transport)
        })
    }
}

/// `x/a`, `all of x`, `203.0.113.0/24`, `all of IPv4 outside`, `all of IPv4 outside except 203.0.113.0/24`
fn is_meant(name: &str, end: &End) -> bool {
    let address = end.before.address();
    let in_block = |block: &str| block.parse::<IpNet>().is_ok_and(|block| block.contains(&address));
    if end.is_pod() {
        let namespace = end.name.split('/').next().unwrap_or_default();
        return name == end.name || name.strip_prefix("all of ") == Some(namespace);
    }
    let family = if end.is_ipv4() { "all of IPv4 outside" } else { "all of IPv6 outside" };
    match name.strip_prefix(family) {
        Some("") => true,
        Some(rest) => {
            let except = rest.strip_prefix(" except ").unwrap_or_else(|| panic!("what is {name:?}?"));
            assert!(!except.contains("more"), "{name:?} does not say all");
            !except.split(", ").any(in_block)
        }
        None => in_block(name),
    }
}

/// `everything`, `TCP/80, UDP`, `TCP/81-90 over IPv4`, `everything except TCP/80`
fn ports_hold(text: &str, ipv4: bool, transport: Transport) -> bool {
    let (text, of_family) = match (text.strip_suffix(" over IPv4"), text.strip_suffix(" over IPv6")) {
        (Some(text), _) => (text, ipv4),
        (_, Some(text)) => (text, !ipv4),
        _ => (text, true),
    };
    let holds = |part: &str| match (transport, part.split_once('/')) {
        (Transport::Other, _) => part == "ICMP and other protocols",
        (Transport::Port(protocol, _), None) => part == protocol.to_string(),
        (Transport::Port(protocol, port), Some((of, range))) => {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let number = |text: &str| text.parse::<u16>().unwrap_or_else(|_| panic!("what is {part:?}?"));
            of == protocol.to_string() && (number(first)..=number(last)).contains(&port)
        }
    };
    of_family
        && match (text, text.strip_prefix("everything except ")) {
            ("everything", _) => true,
            (_, Some(rest)) => !rest.split(", ").any(holds),
            _ => text.split(", ").any(holds),
        }
}
