//! The flow log: copies of first packets for the agent, of what is denied, of what a policy in audit mode would deny,
//! and, if asked for, of what is allowed.
//!
//! ```text
//! denied/egress     update @denied/egress.v4 { ip saddr limit rate ... } limit rate ... counter log prefix ... group ...
//!                   the same for IPv6
//!                   counter drop
//! audited/egress    the same, and then counter return
//! allowed           the same, by the source
//! ```
//!
//! What policy denies goes to these chains in the place of being dropped where it happens. Packets of connections that
//! are let pass never come here again (they are established), so that what is logged are first packets and a denied
//! client's repetitions. The limits are each pod's own, kept by its address, and then one for all of them: a flood costs
//! two lookups and is not logged. What was not is the difference of the chain's counters.

use std::collections::BTreeMap;

use podwall_policy::{FlowDirection, FlowVerdict, Mode};
use podwall_ruleset::{
    Chain, Comment, Dynamic, Family, Known, Limit, Log, Match, Name, Operation, Rule, Ruleset, Set,
    Statement, Table, TableId, Transaction, Verdict, diff,
};

use crate::NodeOptions;
use crate::frame::{Frame, Shape};
use crate::local::TableKind;
use crate::name;
use crate::program::Direction;
use crate::value::{FAMILIES, address_type, peer_field};

/// What is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowLog {
    /// NFLOG's group.
    pub group: u16,
    /// Log what is allowed, too.
    pub allowed: bool,
}

/// Of one pod; and of all together. What is denied is repeated by who is denied; what is audited or allowed is not, and
/// somebody wants to know it whole.
const DENIED: [Limit; 2] = [Limit { rate_per_s: 10, burst: 20 }, Limit { rate_per_s: 200, burst: 400 }];
const PASSED: [Limit; 2] = [Limit { rate_per_s: 100, burst: 200 }, Limit { rate_per_s: 1000, burst: 2000 }];
/// Addresses whose limits are kept, and for how long.
const RECENT: Dynamic = Dynamic { size: 4096, timeout_s: 30 };

const DIRECTIONS: [Direction; 2] = [Direction::Egress, Direction::Ingress];

/// Which log a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Denied(Direction),
    Audited(Direction),
    Allowed,
}

/// What becomes of what no policy allows.
pub(crate) fn denial(options: &NodeOptions, mode: Mode, direction: Direction) -> Verdict {
    match (options.flow_log.is_some(), mode) {
        (true, Mode::Enforce) => Verdict::Goto(Page::Denied(direction).chain()),
        (true, Mode::Audit) => Verdict::Goto(Page::Audited(direction).chain()),
        (false, Mode::Enforce) => Verdict::Drop,
        (false, Mode::Audit) => Verdict::Return,
    }
}

/// Adds the chains and sets of the log. Returns what base chains do with what they are about to let pass.
pub(crate) fn add_frame(options: &NodeOptions, shape: Shape, frame: &mut Frame) -> Option<Rule> {
    let log = options.flow_log?;
    let mut pages = DIRECTIONS.map(Page::Denied).to_vec();
    if shape.audits {
        pages.extend(DIRECTIONS.map(Page::Audited));
    }
    pages.extend(log.allowed.then_some(Page::Allowed));
    for page in pages {
        let (chain, sets) = page.make(log.group);
        frame.add_chain(TableKind::Packets, page.chain(), chain);
        frame.constants.extend(sets.into_iter().map(|(name, set)| ((TableKind::Packets, name), set)));
    }
    log.allowed.then(|| Rule::verdict([], Verdict::Jump(Page::Allowed.chain())))
}

/// The verdict and direction that a prefix stands for; `None` if it is not one of ours.
pub fn logged(prefix: &str) -> Option<(FlowVerdict, Option<FlowDirection>)> {
    Some(Page::ALL.into_iter().find(|page| page.prefix() == prefix)?.meaning())
}

/// What a chain of the log counts, by the chain and the number of the rule: with `true` all packets that came there, with
/// `false` those that were logged; `None` if it is no counter of the log.
pub fn counted(chain: &Name, rule: usize) -> Option<(FlowVerdict, Option<FlowDirection>, bool)> {
    let page = Page::ALL.into_iter().find(|page| page.chain() == *chain)?;
    let (verdict, direction) = page.meaning();
    Some((verdict, direction, rule == FAMILIES.len()))
}

/// A transaction that makes the log's chains in a table of its own and removes it again: to try whether the kernel takes
/// them.
pub fn trial(log: FlowLog) -> Transaction {
    let id = TableId { family: Family::Inet, name: name::trial_table() };
    let (chain, sets) = Page::Allowed.make(log.group);
    let table = Table { sets: sets.into_iter().collect(), chains: [(Page::Allowed.chain(), chain)].into() };
    let mut trial = diff(&Known::Unknown, &Ruleset { tables: BTreeMap::from([(id.clone(), table)]) });
    trial.operations.push(Operation::DeleteTable(id));
    trial
}

impl Page {
    const ALL: [Page; 5] = [
        Page::Denied(Direction::Egress),
        Page::Denied(Direction::Ingress),
        Page::Audited(Direction::Egress),
        Page::Audited(Direction::Ingress),
        Page::Allowed,
    ];

    fn chain(self) -> Name {
        match self {
            Page::Denied(direction) => name::denied(direction),
            Page::Audited(direction) => name::audited(direction),
            Page::Allowed => name::allowed(),
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Page::Denied(Direction::Egress) => "podwall denied egress",
            Page::Denied(Direction::Ingress) => "podwall denied ingress",
            Page::Audited(Direction::Egress) => "podwall audit egress",
            Page::Audited(Direction::Ingress) => "podwall audit ingress",
            Page::Allowed => "podwall allowed",
        }
    }

    fn meaning(self) -> (FlowVerdict, Option<FlowDirection>) {
        let of = |direction| match direction {
            Direction::Egress => FlowDirection::Egress,
            Direction::Ingress => FlowDirection::Ingress,
        };
        match self {
            Page::Denied(direction) => (FlowVerdict::Denied, Some(of(direction))),
            Page::Audited(direction) => (FlowVerdict::Audit, Some(of(direction))),
            Page::Allowed => (FlowVerdict::Allowed, None),
        }
    }

    fn make(self, group: u16) -> (Chain, Vec<(Name, Set)>) {
        let ([each, all], last, whose) = match self {
            Page::Denied(direction) => (DENIED, Verdict::Drop, direction),
            Page::Audited(direction) => (PASSED, Verdict::Return, direction),
            Page::Allowed => (PASSED, Verdict::Return, Direction::Egress),
        };
        // The pod's own address: the source of what it sends, which is the peer's field of the other direction.
        let peer = if whose == Direction::Egress { Direction::Ingress } else { Direction::Egress };
        let log = Statement::Log(Log { group, prefix: Comment::new(self.prefix()) });
        let (mut rules, mut sets) = (Vec::new(), Vec::new());
        for (family, set) in FAMILIES.into_iter().zip(name::recent_sets(&self.chain())) {
            let limited = Match::LimitEach(peer_field(peer, family), set.clone(), each);
            rules.push(Rule::new([limited, Match::Limit(all)], log.clone()).counted());
            sets.push((set, Set::new(&[address_type(family)]).of_recent(RECENT)));
        }
        rules.push(Rule::verdict([], last).counted());
        (Chain { base: None, comment: None, rules }, sets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_has_its_meaning() {
        for page in Page::ALL {
            assert_eq!(logged(page.prefix()), Some(page.meaning()));
            let (verdict, direction) = page.meaning();
            assert_eq!(counted(&page.chain(), 0), Some((verdict, direction, false)));
            assert_eq!(counted(&page.chain(), 2), Some((verdict, direction, true)));
            assert_eq!(page.make(1).0.rules.len(), 3);
        }
        assert_eq!(logged("podwall"), None);
    }

    #[test]
    fn a_trial_leaves_nothing() {
        let trial = trial(FlowLog { group: 1, allowed: false });
        assert!(matches!(trial.operations.last(), Some(Operation::DeleteTable(_))));
        assert!(trial.operations.iter().any(|it| matches!(it, Operation::AddRule { .. })));
    }
}
