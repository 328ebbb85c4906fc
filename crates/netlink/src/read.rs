//! Reading back what the kernel holds, as the kernel says it.

use std::collections::BTreeMap;

use podwall_ruleset::{Family, TableId};

use crate::attribute::*;
use crate::consts::*;
use crate::dump::{Dumper, Failure};
use crate::element::RawElement;
use crate::expression::Expression;
use crate::expression_message;
use crate::message::{elements_of, rules_of, sets_of};
use crate::nftnl::{Chain, Table};
use crate::parse::{self, Parsed, ParsedRule};
use crate::value;

/// A table as the kernel holds it.
#[derive(Debug, Default)]
pub(crate) struct RawTable {
    pub(crate) flags: u32,
    pub(crate) sets: BTreeMap<String, RawSet>,
    pub(crate) chains: Vec<RawChain>,
    /// In the order in which the kernel executes those of one chain.
    pub(crate) rules: Vec<RawRule>,
    /// What is in the table that we have no use for.
    pub(crate) foreign: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct RawSet {
    pub(crate) flags: u32,
    pub(crate) key_type: u32,
    pub(crate) key_length: u32,
    pub(crate) data_type: Option<u32>,
    pub(crate) size: Option<u32>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) userdata: Option<Vec<u8>>,
    pub(crate) elements: Vec<RawElement>,
    /// What the set has that we never give one.
    pub(crate) foreign: Option<&'static str>,
}

#[derive(Debug)]
pub(crate) struct RawChain {
    pub(crate) name: String,
    /// Type, hook, priority and policy.
    pub(crate) base: Option<(String, u32, i32, u32)>,
    pub(crate) flags: u32,
    pub(crate) userdata: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(crate) struct RawRule {
    pub(crate) chain: String,
    pub(crate) expressions: Result<Vec<Expression>, String>,
    pub(crate) userdata: Option<Vec<u8>>,
}

/// The tables that there are, of our families.
#[derive(Debug, Default)]
pub(crate) struct Tables(BTreeMap<(Family, String), u32>);

impl Tables {
    /// The table's flags, if it is there.
    pub(crate) fn flags(&self, id: &TableId) -> Option<u32> {
        self.0.get(&(id.family, id.name.to_string())).copied()
    }
}

/// Which tables there are.
pub(crate) fn tables(dumper: &mut Dumper) -> Result<Tables, Failure> {
    let mut tables = Tables::default();
    for family in [Family::Inet, Family::Bridge] {
        dumper.list(GET_TABLE, value::family(family), &Table::new(), "tables", |message| {
            if let Some(table) = parse::table(message.bytes) {
                let flags = table.number(TABLE_FLAGS).unwrap_or(0);
                tables.0.extend(table.text(TABLE_NAME).map(|name| ((family, name), flags)));
            }
        })?;
    }
    Ok(tables)
}

/// Everything in a table.
pub(crate) fn table(dumper: &mut Dumper, id: &TableId, flags: u32) -> Result<RawTable, Failure> {
    let name = id.name.as_str();
    let family = value::family(id.family);
    let mut raw = RawTable { flags, ..RawTable::default() };
    let mut foreign: Option<String> = None;

    dumper.list(GET_SET, family, &sets_of(id), "sets", |message| match parse::set(message.bytes) {
        Some(set) if set.text(SET_TABLE).as_deref() == Some(name) => {
            raw.sets.extend(set.text(SET_NAME).map(|name| (name, raw_set(&set))));
        }
        Some(_) => {}
        None => foreign = Some("a set that this version cannot read".to_owned()),
    })?;
    // What rules have put into a set is not part of the ruleset.
    for (set, raw) in raw.sets.iter_mut().filter(|(_, raw)| raw.flags & SET_DYNAMIC == 0) {
        dumper.list(GET_ELEMENT, family, &elements_of(id, set), "elements", |message| {
            let Some(elements) = parse::elements(message.bytes) else {
                foreign = Some(format!("elements of set {set} that this version cannot read"));
                return;
            };
            elements.iter().for_each(|element| match raw_element(element) {
                Some(element) => raw.elements.push(element),
                None => raw.foreign = Some("an element with a timeout, a counter or other data"),
            });
        })?;
        // A hash that grew lately is moved to more buckets in the background. A list that is made meanwhile has
        // elements twice in the place of others, and the kernel does not say so.
        raw.elements.sort_unstable_by(|a, b| (&a.key, a.end).cmp(&(&b.key, b.end)));
        if raw.elements.windows(2).any(|pair| pair[0].key == pair[1].key && pair[0].end == pair[1].end) {
            return Err(Failure::Changed);
        }
    }

    dumper.list(GET_CHAIN, family, &Chain::new(), "chains", |message| match parse::chain(message.bytes) {
        Some(chain) if chain.text(CHAIN_TABLE).as_deref() == Some(name) => raw.chains.push(raw_chain(&chain)),
        Some(_) => {}
        None => foreign = Some("a chain that this version cannot read".to_owned()),
    })?;
    dumper.list(GET_RULE, family, &rules_of(id), "rules", |message| match parse::rule(message.bytes) {
        Some(rule) if rule.attributes.text(RULE_TABLE).as_deref() == Some(name) => {
            raw.rules.push(raw_rule(&rule));
        }
        Some(_) => {}
        None => foreign = Some("a rule that this version cannot read".to_owned()),
    })?;

    for (kind, what) in [(GET_OBJECT, "an object"), (GET_FLOWTABLE, "a flowtable")] {
        dumper.list(kind, family, &Table::new(), "objects", |message| {
            let owner = message.attribute(ANY_TABLE).and_then(|owner| owner.strip_suffix(b"\0"));
            if owner == Some(name.as_bytes()) {
                foreign = Some(what.to_owned());
            }
        })?;
    }
    raw.foreign = foreign;
    Ok(raw)
}

pub(crate) fn raw_set(set: &Parsed) -> RawSet {
    let unused = [
        (SET_GC_INTERVAL, "a timeout"),
        (SET_OBJECT, "objects"),
        (SET_EXPRESSION, "counters"),
        (SET_EXPRESSIONS, "counters"),
    ];
    RawSet {
        flags: set.number(SET_FLAGS).unwrap_or(0),
        key_type: set.number(SET_KEY_TYPE).unwrap_or(0),
        key_length: set.number(SET_KEY_LENGTH).unwrap_or(0),
        data_type: set.number(SET_DATA_TYPE),
        size: set.number(SET_SIZE),
        timeout_ms: set.long_number(SET_TIMEOUT),
        userdata: set.get(SET_USERDATA).map(<[u8]>::to_vec),
        elements: Vec::new(),
        foreign: unused.into_iter().find(|(attribute, _)| set.has(*attribute)).map(|(_, what)| what),
    }
}

pub(crate) fn raw_element(element: &Parsed) -> Option<RawElement> {
    let unused = [
        ELEMENT_KEY_END,
        ELEMENT_DATA,
        ELEMENT_TIMEOUT,
        ELEMENT_EXPRESSION,
        ELEMENT_EXPRESSIONS,
        ELEMENT_OBJECT,
    ];
    if unused.into_iter().any(|attribute| element.has(attribute)) {
        return None;
    }
    let flags = element.number(ELEMENT_FLAGS).unwrap_or(0);
    if flags & !ELEMENT_INTERVAL_END != 0 {
        return None;
    }
    Some(RawElement {
        key: element.get(ELEMENT_KEY)?.to_vec(),
        end: flags != 0,
        verdict: element.number(ELEMENT_VERDICT).map(|code| (code, element.text(ELEMENT_CHAIN))),
        userdata: element.get(ELEMENT_USERDATA).map(<[u8]>::to_vec),
    })
}

pub(crate) fn raw_chain(chain: &Parsed) -> RawChain {
    let base = chain.text(CHAIN_TYPE).zip(chain.number(CHAIN_HOOK)).map(|(chain_type, hook)| {
        let priority = chain.number(CHAIN_PRIORITY).unwrap_or(0) as i32;
        (chain_type, hook, priority, chain.number(CHAIN_POLICY).unwrap_or(POLICY_ACCEPT))
    });
    RawChain {
        name: chain.text(CHAIN_NAME).unwrap_or_default(),
        base,
        flags: chain.number(CHAIN_FLAGS).unwrap_or(0),
        userdata: chain.get(CHAIN_USERDATA).map(<[u8]>::to_vec),
    }
}

pub(crate) fn raw_rule(rule: &ParsedRule) -> RawRule {
    RawRule {
        chain: rule.attributes.text(RULE_CHAIN).unwrap_or_default(),
        expressions: rule.expressions.iter().map(expression_message::read).collect(),
        userdata: rule.attributes.get(RULE_USERDATA).map(<[u8]>::to_vec),
    }
}
