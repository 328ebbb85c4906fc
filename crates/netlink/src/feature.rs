//! What a kernel may lack, and how to find out: it is asked for something that takes it, in a table that the same
//! transaction removes again.

use std::collections::BTreeMap;
use std::fmt;

use podwall_ruleset::{
    BaseChain, Chain, ChainType, CtState, Element, Family, Field, Hook, Key, Known, Match, Name, Operation,
    Rule, Ruleset, Set, SetRef, Statement, Table, TableId, Transaction, Value, ValueType, Verdict, diff,
};

use crate::error::ApplyError;

/// A part of the kernel that rules of ours need, beyond nf_tables itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Tables for IPv4 and IPv6 together.
    Inet,
    /// Maps to verdicts, of names and of ranges.
    Maps,
    /// Whether a packet belongs to a connection that stands.
    ConnectionTracking,
    /// Marks of connections.
    ConnectionMarks,
    /// Rules that count.
    Counters,
    /// Tables for bridges.
    Bridge,
}

impl Feature {
    /// All of them.
    pub const ALL: [Feature; 6] = [
        Feature::Inet,
        Feature::Maps,
        Feature::ConnectionTracking,
        Feature::ConnectionMarks,
        Feature::Counters,
        Feature::Bridge,
    ];

    /// What takes it, and leaves nothing.
    pub(crate) fn probe(self) -> Transaction {
        let family = if self == Feature::Bridge { Family::Bridge } else { Family::Inet };
        let id = TableId { family, name: name("podwall-probe") };
        let chain = Chain { base: self.base(), comment: None, rules: self.rules() };
        let table = Table { sets: BTreeMap::new(), chains: BTreeMap::from([(name("probe"), chain)]) };
        let ruleset = Ruleset { tables: BTreeMap::from([(id.clone(), table)]) };
        let mut probe = diff(&Known::Unknown, &ruleset);
        probe.operations.push(Operation::DeleteTable(id));
        probe
    }

    fn base(self) -> Option<BaseChain> {
        let hook = match self {
            Feature::Inet => Hook::Forward,
            Feature::Bridge => Hook::Prerouting,
            _ => return None,
        };
        Some(BaseChain { chain_type: ChainType::Filter, hook, priority: 0 })
    }

    fn rules(self) -> Vec<Rule> {
        let accept = |matches: Option<Match>| Rule::verdict(matches, Verdict::Accept);
        match self {
            Feature::Inet | Feature::Bridge => vec![],
            Feature::Maps => {
                let mut names = Set::new(&[ValueType::Interface]).to_verdicts();
                let lo = Value::Interface(podwall_ruleset::InterfaceName::new("lo").expect("a name"));
                names.elements.insert(Key::one(lo), Element::verdict(Verdict::Accept));
                let mut ranges = Set::new(&[ValueType::Port]).to_verdicts().of_ranges();
                let ports = Key::Range(Value::Port(1), Value::Port(2));
                ranges.elements.insert(ports, Element::verdict(Verdict::Accept));
                let look_up = |field, map| {
                    Rule::new(
                        [],
                        Statement::VerdictMap(
                            [field].into_iter().collect(),
                            SetRef::Anonymous(Box::new(map)),
                        ),
                    )
                };
                let tcp = Field::DestinationPortOf(podwall_ruleset::Protocol::Tcp);
                vec![look_up(Field::InputInterface, names), look_up(tcp, ranges)]
            }
            Feature::ConnectionTracking => {
                vec![accept(Some(Match::CtState([CtState::Established].into_iter().collect())))]
            }
            Feature::ConnectionMarks => vec![accept(Some(Match::CtMark { mask: 1, value: 1 }))],
            Feature::Counters => vec![accept(None).counted()],
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Feature::Inet => "tables of the family inet (CONFIG_NF_TABLES_INET)",
            Feature::Maps => "maps to verdicts (in older kernels CONFIG_NF_TABLES_SET, module nf_tables_set)",
            Feature::ConnectionTracking => "connection tracking in nftables (CONFIG_NFT_CT, module nft_ct)",
            Feature::ConnectionMarks => "marks of connections (CONFIG_NF_CONNTRACK_MARK)",
            Feature::Counters => {
                "counters in nftables (in older kernels CONFIG_NFT_COUNTER, module nft_counter)"
            }
            Feature::Bridge => "tables of the family bridge (CONFIG_NF_TABLES_BRIDGE)",
        })
    }
}

/// Whether a refusal means that what was asked for does not exist.
pub(crate) fn is_lack(error: &ApplyError) -> bool {
    let lacking =
        |errno| [libc::ENOENT, libc::EOPNOTSUPP, libc::EAFNOSUPPORT, libc::EPROTONOSUPPORT].contains(&errno);
    match error {
        ApplyError::Refused { operations } => operations.iter().any(|refusal| lacking(refusal.errno)),
        ApplyError::RefusedWhole { source } => source.raw_os_error().is_some_and(lacking),
        _ => false,
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Refusal;

    #[test]
    fn a_probe_ends_with_the_removal_of_what_it_made() {
        for feature in Feature::ALL {
            let operations = feature.probe().operations;
            let Operation::AddTable(made) = &operations[0] else { panic!("{operations:?}") };
            assert_eq!(operations.last(), Some(&Operation::DeleteTable(made.clone())));
            assert_eq!(made.name.as_str(), "podwall-probe");
        }
    }

    #[test]
    fn only_what_does_not_exist_is_lacking() {
        let refused = |errno| ApplyError::Refused {
            operations: vec![Refusal { index: 0, operation: String::new(), errno, text: None }],
        };
        assert!(is_lack(&refused(libc::ENOENT)));
        assert!(is_lack(&refused(libc::EOPNOTSUPP)));
        assert!(!is_lack(&refused(libc::EPERM)));
        assert!(!is_lack(&refused(libc::ENOMEM)));
    }
}
