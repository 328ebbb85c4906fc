//! Blocks of addresses: those that cover pods, and what is left out in vain.

use std::net::IpAddr;

use ipnet::IpNet;
use podwall_policy::{
    Endpoint, Flow, IpBlock, Peer, Peers, PortMatch, Ports, Rule as PolicyRule, Transport, Verdict, evaluate,
};

use super::{Finding, Rule, Subject};
use crate::field::{Direction, FieldPath};
use crate::page::counted;

pub(super) fn check(subject: &Subject, findings: &mut Vec<Finding>) {
    for direction in Direction::BOTH {
        for (index, rule) in direction.rules(subject.policy).unwrap_or_default().iter().enumerate() {
            let Peers::Only(peers) = &rule.peers else { continue };
            for (number, peer) in peers.iter().enumerate() {
                let Peer::Block(block) = peer else { continue };
                let path = FieldPath::peer(direction, index, number).key("ipBlock");
                let covers = covers_pods(subject, block);
                findings.extend(
                    covers.map(|message| Finding::new(subject, Rule::BlockCoversPods, &path, message)),
                );
                for (item, except) in block.except.iter().enumerate() {
                    let path = path.clone().key("except").item(item);
                    let vain = allowed_all_the_same(subject, direction, rule, except);
                    findings.extend(
                        vain.map(|message| Finding::new(subject, Rule::ExceptWithoutEffect, &path, message)),
                    );
                }
            }
        }
    }
}

/// Only addresses that the manifests give count: those that we assign say nothing of the cluster.
fn covers_pods(subject: &Subject, block: &IpBlock) -> Option<String> {
    let holds = |address: &IpAddr| {
        block.cidr.contains(address) && !block.except.iter().any(|except| except.contains(address))
    };
    let pods = subject.snapshot.manifests.pods.iter();
    let covered: Vec<_> = pods
        .filter(|(_, pod)| pod.takes_part() && pod.addresses.iter().any(holds))
        .map(|(key, _)| key)
        .collect();
    let first = covered.first()?;
    Some(format!(
        "{} covers the addresses of {}, {first} first: blocks are for addresses outside the cluster, and pods change \
         theirs; use selectors, or leave the pods' addresses out with except",
        block.cidr,
        counted(covered.len(), "pod")
    ))
}

/// The rule that allows the first and the last address of what another leaves out.
fn allowed_all_the_same(
    subject: &Subject,
    direction: Direction,
    rule: &PolicyRule,
    except: &IpNet,
) -> Option<String> {
    let transport = transport_of(rule)?;
    let (cluster, pod) = subject.example()?;
    let mut by = None;
    for address in [except.network(), except.broadcast()] {
        let outside = Endpoint::Outside(address);
        let (from, to) = match direction {
            Direction::Egress => (pod.clone(), outside),
            Direction::Ingress => (outside, pod.clone()),
        };
        let decision = evaluate(&cluster, &Flow { from, to, transport });
        let verdict = match direction {
            Direction::Egress => decision.egress,
            Direction::Ingress => decision.ingress,
        };
        let Verdict::Allowed { grant, .. } = verdict else { return None };
        by = Some(grant);
    }
    let grant = by?;
    let field = match grant.peer {
        Some(peer) => FieldPath::peer(direction, grant.rule, peer),
        None => FieldPath::rule(direction, grant.rule),
    };
    Some(format!(
        "{except} is left out of this block only, and {} {field} allows it all the same",
        if grant.policy == *subject.key { "this policy's".to_owned() } else { format!("{}'s", grant.policy) }
    ))
}

/// Something that the rule's ports allow; `None` when that is a matter of names.
fn transport_of(rule: &PolicyRule) -> Option<Transport> {
    let Ports::Only(ports) = &rule.ports else { return Some(Transport::Other) };
    ports.iter().find_map(|port| match port {
        PortMatch::Range { protocol, first, .. } => Some(Transport::Port(*protocol, (*first).max(1))),
        PortMatch::Named { .. } | PortMatch::Unreadable => None,
    })
}
