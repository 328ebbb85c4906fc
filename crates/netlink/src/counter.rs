//! What rules have counted.

use std::collections::BTreeMap;

use podwall_ruleset::{Name, TableId};

use crate::attribute::*;
use crate::consts::{GET_RULE, RULE_OWNING_CHAIN};
use crate::dump::{Dumper, Failure};
use crate::message::rules_of;
use crate::parse::{self, Parsed};
use crate::value;

/// What one rule has counted since it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCounter {
    /// The chain.
    pub chain: Name,
    /// Which of the chain's rules, from 0 on.
    pub rule: usize,
    /// How many packets.
    pub packets: u64,
    /// How many bytes they had.
    pub bytes: u64,
}

/// The counters of a table's rules, in the order of the rules.
pub(crate) fn counters(dumper: &mut Dumper, id: &TableId) -> Result<Vec<RuleCounter>, Failure> {
    let mut counters = Vec::new();
    let mut rules_seen: BTreeMap<String, usize> = BTreeMap::new();
    dumper.list(GET_RULE, value::family(id.family), &rules_of(id), "rules", |message| {
        let Some(chain) = message.text_attribute(RULE_OWNING_CHAIN) else { return };
        let rule = rules_seen.get(&chain).copied().unwrap_or(0);
        let counted =
            parse::rule(message.bytes).and_then(|rule| rule.expressions.iter().flatten().find_map(count));
        if let (Some((packets, bytes)), Ok(chain)) = (counted, Name::new(&chain)) {
            counters.push(RuleCounter { chain, rule, packets, bytes });
        }
        rules_seen.insert(chain, rule + 1);
    })?;
    Ok(counters)
}

fn count(expression: &Parsed) -> Option<(u64, u64)> {
    if expression.kind() != c"counter" {
        return None;
    }
    Some((expression.long_number(COUNTER_PACKETS)?, expression.long_number(COUNTER_BYTES)?))
}
