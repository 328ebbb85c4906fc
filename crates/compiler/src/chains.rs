//! Programs as chains, and peers as sets.
//!
//! ```text
//! counted chain  with counters: what is asked    jump ingress/...   then what comes back allowed
//! group chain    egress only: ports by name      ip daddr . meta l4proto . th dport @ports/...  return
//!                the port's verdict              meta l4proto . th dport vmap { tcp . 80 : goto from/... }
//!                everything else                 goto from/...     or drop
//! peer chain     pods by selector                ip saddr @pods/... return
//!                addresses by block              ip saddr @blocks/... return
//!                nobody else                     drop, or the flow log's chain, which drops
//! ```
//!
//! Everything is named by content: groups share what they look up alike. What is allowed returns to the base chain,
//! which goes on with the other direction (S152); it is never accepted here. Both families' lookups are always there:
//! the layout depends on policies and never on which pods exist, so that pods coming and going move elements only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use podwall_policy::{Mode, ObjectKey};
use podwall_ruleset::{
    Chain, Comment, Element, Field, IpFamily, Key, Match, Name, Rule, Set, SetRef, Statement, Value,
    ValueType, Verdict,
};

use crate::NodeOptions;
use crate::flow_log;
use crate::group::{Group, Policies};
use crate::name;
use crate::peers::{PeerUnion, PodPeer};
use crate::program::{Direction, NamedPort, Program, Segment};
use crate::selection::Selection;
use crate::value::{FAMILIES, last_address, peer_field, protocol_of, range_set};

/// More selectors than this in one peer chain are looked up as one union: every lookup costs some 40 ns and the
/// union's elements cost memory.
const POD_SETS_MAX: usize = 4;

/// The chains that judge a group, and the sets that they look up.
#[derive(Debug)]
pub struct GroupChains {
    /// Where the group's packets enter.
    pub chain: Name,
    /// The policies that isolate the group.
    pub policies: Vec<ObjectKey>,
    /// The group chain and its peer chains.
    pub chains: BTreeMap<Name, Arc<Chain>>,
    /// Sets of addresses by block: they hold the same for as long as they are there.
    pub blocks: BTreeMap<Name, Arc<Set>>,
    /// What is looked up of pods, by the names of its sets. What those hold moves with the pods.
    pub selections: BTreeMap<[Name; 2], Arc<Selection>>,
    /// The policies say too much: the group is closed.
    pub excessive: bool,
    mode: Mode,
    /// What becomes of what nobody allows.
    denial: Verdict,
}

impl GroupChains {
    /// What a group makes of the present policies. With counters, packets enter by a chain that counts them, unless the
    /// group is of policies in audit mode.
    pub fn of(group: &Group, policies: &Policies, options: &NodeOptions) -> Self {
        let program = group.program(policies);
        let content = (&group.policies, &program);
        let chain = name::group_chain(group.mode, group.direction, &group.namespace, &content);
        let mut chains = Self {
            chain: chain.clone(),
            policies: group.policies.clone(),
            chains: BTreeMap::new(),
            blocks: BTreeMap::new(),
            selections: BTreeMap::new(),
            excessive: program.excessive,
            mode: group.mode,
            denial: flow_log::denial(options, group.mode, group.direction),
        };
        let comment = Some(name::policies_comment(group.policies.iter()));
        let rules = chains.port_rules(group.direction, &program);
        if options.counters && group.mode == Mode::Enforce {
            chains.chain = name::counted_chain(&chain);
            let counted = Chain { base: None, comment: comment.clone(), rules: counted_rules(&chain) };
            chains.chains.insert(chains.chain.clone(), Arc::new(counted));
        }
        chains.chains.insert(chain, Arc::new(Chain { base: None, comment, rules }));
        chains
    }

    /// The rules of a group chain. Single ports share one hash map; a protocol with ranges has a map of
    /// intervals of its own.
    fn port_rules(&mut self, direction: Direction, program: &Program) -> Vec<Rule> {
        let mut rules = self.named_port_rules(&program.named);
        let mut single_ports = Set::new(&[ValueType::Protocol, ValueType::Port]).to_verdicts();
        let mut range_rules = Vec::new();
        for (protocol, segments) in &program.segments {
            let protocol = protocol_of(*protocol);
            if let [Segment { first: 0, last: u16::MAX, peers }] = &segments[..] {
                let verdict = self.peer_verdict(direction, peers);
                range_rules.push(Rule::verdict([Match::Protocol(protocol)], verdict));
            } else if segments.iter().all(|segment| segment.first == segment.last) {
                for segment in segments {
                    let key = [Value::Protocol(protocol), Value::Port(segment.first)];
                    let verdict = self.peer_verdict(direction, &segment.peers);
                    single_ports
                        .elements
                        .insert(Key::Exact(key.into_iter().collect()), Element::verdict(verdict));
                }
            } else {
                let mut ranges = Set::new(&[ValueType::Port]).to_verdicts().of_ranges();
                for segment in segments {
                    let key = Key::Range(Value::Port(segment.first), Value::Port(segment.last));
                    let verdict = self.peer_verdict(direction, &segment.peers);
                    ranges.elements.insert(key, Element::verdict(verdict));
                }
                range_rules.push(verdict_map([Field::DestinationPortOf(protocol)], ranges));
            }
        }
        if !single_ports.elements.is_empty() {
            rules.push(verdict_map([Field::Protocol, Field::DestinationPort], single_ports));
        }
        rules.extend(range_rules);
        rules.push(Rule::verdict([], self.peer_verdict(direction, &program.rest)));
        rules
    }

    fn peer_verdict(&mut self, direction: Direction, peers: &PeerUnion) -> Verdict {
        if peers.any {
            return Verdict::Return;
        }
        if peers.is_empty() {
            return self.denial.clone();
        }
        let name = name::peer_chain(self.mode, direction, peers);
        if !self.chains.contains_key(&name) {
            let rules = self.peer_rules(direction, peers);
            let chain = Chain { base: None, comment: None, rules };
            self.chains.insert(name.clone(), Arc::new(chain));
        }
        Verdict::Goto(name)
    }

    fn peer_rules(&mut self, direction: Direction, peers: &PeerUnion) -> Vec<Rule> {
        let ranges = peers.block_ranges();
        let pod_sets = self.pod_sets(&peers.pods);
        let mut rules = Vec::new();
        for (index, ranges) in [ranges.ipv4, ranges.ipv6].into_iter().enumerate() {
            let family = FAMILIES[index];
            let field = peer_field(direction, family);
            for sets in &pod_sets {
                rules.push(Rule::verdict([Match::in_set(field, &sets[index])], Verdict::Return));
            }
            if ranges == [(0, last_address(family))] {
                rules.push(Rule::verdict([Match::Family(family)], Verdict::Return));
            } else if !ranges.is_empty() {
                let set = self.block_set(&ranges, family);
                rules.push(Rule::verdict([Match::in_set(field, &set)], Verdict::Return));
            }
        }
        rules.push(Rule::verdict([], self.denial.clone()));
        rules
    }

    /// The sets that hold the addresses of the pods that any of the peers selects, each for both families.
    fn pod_sets(&mut self, peers: &BTreeSet<PodPeer>) -> Vec<[Name; 2]> {
        if peers.len() > POD_SETS_MAX {
            return vec![self.selection(Selection::Pods(peers.clone()))];
        }
        let of_one = |peer: &PodPeer| Selection::Pods(BTreeSet::from([peer.clone()]));
        peers.iter().map(|peer| self.selection(of_one(peer))).collect()
    }

    fn selection(&mut self, selection: Selection) -> [Name; 2] {
        let names = selection.names();
        self.selections.entry(names.clone()).or_insert_with(|| Arc::new(selection));
        names
    }

    fn block_set(&mut self, ranges: &[(u128, u128)], family: IpFamily) -> Name {
        let name = name::block_set(&ranges, family);
        self.blocks.entry(name.clone()).or_insert_with(|| Arc::new(range_set(ranges, family)));
        name
    }

    /// One lookup per family finds the address, protocol and number of everything that any rule calls by name.
    fn named_port_rules(&mut self, named: &BTreeSet<NamedPort>) -> Vec<Rule> {
        if named.is_empty() {
            return Vec::new();
        }
        let sets = self.selection(Selection::NamedPorts(named.clone()));
        let rule = |(family, set)| {
            let fields = [peer_field(Direction::Egress, family), Field::Protocol, Field::DestinationPort];
            let found = Match::In(fields.into_iter().collect(), SetRef::Named(set));
            Rule::verdict([found], Verdict::Return)
        };
        FAMILIES.into_iter().zip(sets).map(rule).collect()
    }
}

/// Counts what a group is asked, and what it allows: what comes back from its chain. What it drops is the rest, and is
/// not counted where it happens: groups share the chains of their peers.
fn counted_rules(chain: &Name) -> Vec<Rule> {
    let rule = |verdict, comment| Rule {
        comment: Some(Comment::new(comment)),
        ..Rule::verdict([], verdict).counted()
    };
    vec![rule(Verdict::Jump(chain.clone()), "asked"), rule(Verdict::Return, "allowed")]
}

fn verdict_map<const N: usize>(fields: [Field; N], map: Set) -> Rule {
    Rule::new([], Statement::VerdictMap(fields.into_iter().collect(), SetRef::Anonymous(Box::new(map))))
}
