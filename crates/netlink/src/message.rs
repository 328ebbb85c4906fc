//! Operations as messages, made by libnftnl but for those of elements. Every message is below 64 KiB, the limit of what is nested in it.

use podwall_ruleset::{
    BaseChain, ChainType, Comment, Dynamic, Hook, Name, Operation, Rule, Set, SetRef, TableId,
};

use crate::attribute::*;
use crate::batch::Batch;
use crate::consts::*;
use crate::element::{self, RawElement};
use crate::expression::{LookupSet, of_rule};
use crate::expression_message;
use crate::nftnl;
use crate::userdata;
use crate::value;
use crate::wire;

/// How full a message of elements gets, safely below the 64 KiB that the length of a nest can say.
const ELEMENT_BYTES_MAX: usize = 60_000;
/// The parts of a key have their places in registers of this many bytes in all.
const KEY_BYTES_MAX: usize = VALUE_BYTES_MAX;

/// Appends the messages of an operation. `Err` says why it cannot be said to the kernel.
pub(crate) fn put(batch: &mut Batch, operation: &Operation) -> Result<(), &'static str> {
    match operation {
        Operation::AddTable(id) => {
            let mut message = table(id);
            message.set_number(TABLE_FLAGS, 0);
            batch.push(id.family, NEW_TABLE, 0, &message);
        }
        Operation::DeleteTable(id) => batch.push(id.family, DELETE_TABLE, 0, &table(id)),
        Operation::AddSet { table, name, set } => {
            let message = definition(batch.new_set_id(), table, name.as_str(), set, 0)?;
            batch.push(table.family, NEW_SET, CREATE | EXCLUSIVE, &message);
        }
        Operation::DeleteSet { table, name } => {
            batch.push(table.family, DELETE_SET, 0, &set(table, name.as_str()))
        }
        Operation::AddElements { table, set: name, elements } => {
            let raw = elements.iter().map(|(key, element)| element::encode(key, element));
            let set = SetOfElements { table, name: name.as_str(), id: None };
            put_elements(batch, NEW_ELEMENT, CREATE | EXCLUSIVE, &set, raw)?;
        }
        Operation::DeleteElements { table, set: name, keys } => {
            let raw = keys.iter().map(element::encode_key);
            let set = SetOfElements { table, name: name.as_str(), id: None };
            put_elements(batch, DELETE_ELEMENT, 0, &set, raw)?;
        }
        Operation::AddChain { table, name, base, comment } => {
            batch.push(
                table.family,
                NEW_CHAIN,
                CREATE | EXCLUSIVE,
                &new_chain(table, name, base.as_ref(), comment.as_ref()),
            );
        }
        Operation::FlushChain { table, name } => batch.push(table.family, DELETE_RULE, 0, &rule(table, name)),
        Operation::DeleteChain { table, name } => {
            batch.push(table.family, DELETE_CHAIN, 0, &chain(table, name))
        }
        Operation::AddRule { table, chain, rule } => put_rule(batch, table, chain, rule)?,
    }
    Ok(())
}

fn table(id: &TableId) -> nftnl::Table {
    let mut message = nftnl::Table::new();
    message.set_text(TABLE_NAME, id.name.as_str());
    message
}

fn chain(table: &TableId, name: &Name) -> nftnl::Chain {
    let mut message = nftnl::Chain::new();
    message.set_text(CHAIN_TABLE, table.name.as_str()).set_text(CHAIN_NAME, name.as_str());
    message
}

fn rule(table: &TableId, chain: &Name) -> nftnl::Rule {
    let mut message = nftnl::Rule::new();
    message.set_text(RULE_TABLE, table.name.as_str()).set_text(RULE_CHAIN, chain.as_str());
    message
}

fn set(table: &TableId, name: &str) -> nftnl::Set {
    let mut message = nftnl::Set::new();
    message.set_text(SET_TABLE, table.name.as_str()).set_text(SET_NAME, name);
    message
}

fn new_chain(
    table: &TableId,
    name: &Name,
    base: Option<&BaseChain>,
    comment: Option<&Comment>,
) -> nftnl::Chain {
    let mut message = chain(table, name);
    if let Some(base) = base {
        message
            .set_text(CHAIN_TYPE, chain_type(base.chain_type))
            .set_number(CHAIN_HOOK, hook(base.hook))
            .set_number(CHAIN_PRIORITY, base.priority as u32)
            .set_number(CHAIN_POLICY, POLICY_ACCEPT);
    }
    if let Some(bytes) = userdata::of_comment(comment) {
        message.set_bytes(CHAIN_USERDATA, &bytes);
    }
    message
}

/// The kernel's name of a chain type.
pub(crate) fn chain_type(chain_type: ChainType) -> &'static str {
    match chain_type {
        ChainType::Filter => "filter",
        ChainType::Nat => "nat",
    }
}

/// The kernel's number of a hook, of all families that have these hooks.
pub(crate) fn hook(hook: Hook) -> u32 {
    match hook {
        Hook::Prerouting => 0,
        Hook::Input => 1,
        Hook::Forward => 2,
        Hook::Output => 3,
        Hook::Postrouting => 4,
    }
}

/// The definition of a set. The kernel wants an id of every set, and keeps it for the transaction.
fn definition(
    id: u32,
    table: &TableId,
    name: &str,
    definition: &Set,
    flags: u32,
) -> Result<nftnl::Set, &'static str> {
    let key_type = value::key_code(&definition.key_type).ok_or("the key of a set has one to five parts")?;
    let key_length = value::key_length(&definition.key_type);
    if key_length > KEY_BYTES_MAX {
        return Err("the key of a set is longer than 64 bytes");
    }
    if definition.interval && definition.key_type.len() > 1 {
        return Err("a set of ranges has a key of one part");
    }
    let interval = if definition.interval { SET_INTERVAL } else { 0 };
    let map = if definition.map { SET_MAP } else { 0 };
    let dynamic = if definition.dynamic.is_some() { SET_DYNAMIC | SET_TIMEOUT_FLAG } else { 0 };
    let mut message = set(table, name);
    message
        .set_number(SET_FLAGS, flags | interval | map | dynamic)
        .set_number(SET_KEY_TYPE, key_type)
        .set_number(SET_KEY_LENGTH, key_length as u32)
        .set_number(SET_ID, id)
        .set_bytes(SET_USERDATA, &userdata::of_set(definition));
    if let Some(Dynamic { size, timeout_s }) = definition.dynamic {
        message.set_number(SET_SIZE, size).set_long_number(SET_TIMEOUT, u64::from(timeout_s) * 1000);
    }
    if definition.map {
        message.set_number(SET_DATA_TYPE, DATA_VERDICT).set_number(SET_DATA_LENGTH, 0);
    }
    Ok(message)
}

fn put_rule(batch: &mut Batch, table: &TableId, chain: &Name, content: &Rule) -> Result<(), &'static str> {
    let mut anonymous: Vec<(u32, &'static str, Set)> = Vec::new();
    let expressions = of_rule(content, table.family, |reference| match reference {
        SetRef::Named(name) => LookupSet { name: name.as_str().to_owned(), id: None },
        SetRef::Anonymous(set) => {
            let id = batch.new_set_id();
            // The kernel puts a number for %d.
            let name = if set.map { "__map%d" } else { "__set%d" };
            anonymous.push((id, name, (**set).clone()));
            LookupSet { name: name.to_owned(), id: Some(id) }
        }
    })?;
    if expressions.len() > EXPRESSIONS_MAX {
        return Err("a rule of more than 128 expressions");
    }
    for (id, name, content) in &anonymous {
        let raw = element::encode_constant(&content.elements);
        let mut message = definition(*id, table, name, content, SET_ANONYMOUS | SET_CONSTANT)?;
        message.set_number(SET_SIZE, raw.iter().map(Vec::len).sum::<usize>() as u32);
        batch.push(table.family, NEW_SET, CREATE, &message);
        let elements_of = SetOfElements { table, name, id: Some(*id) };
        put_elements(batch, NEW_ELEMENT, CREATE, &elements_of, raw.into_iter())?;
    }
    let mut message = rule(table, chain);
    for expression in &expressions {
        message.add(expression_message::write(expression)?);
    }
    if let Some(bytes) = userdata::of_comment(content.comment.as_ref()) {
        message.set_bytes(RULE_USERDATA, &bytes);
    }
    batch.push(table.family, NEW_RULE, CREATE | APPEND, &message);
    Ok(())
}

/// The set that a message of elements is about; by its number, too, if it has its name only after the transaction.
struct SetOfElements<'a> {
    table: &'a TableId,
    name: &'a str,
    id: Option<u32>,
}

/// Appends as many messages as the elements need. What belongs together stays in one message. Without libnftnl: this
/// is what every pod that comes or goes waits for.
fn put_elements(
    batch: &mut Batch,
    kind: u16,
    flags: u16,
    set: &SetOfElements<'_>,
    elements: impl Iterator<Item = Vec<RawElement>>,
) -> Result<(), &'static str> {
    let mut fits_registers = true;
    let mut elements = elements.peekable();
    while let Some(mut parts) = elements.next() {
        let mut used = 0;
        batch.put(set.table.family, kind, flags, |bytes| {
            put_text(bytes, ELEMENTS_TABLE, set.table.name.as_str());
            put_text(bytes, ELEMENTS_SET, set.name);
            if let Some(id) = set.id {
                wire::put(bytes, ELEMENTS_SET_ID, &id.to_be_bytes());
            }
            wire::nest(bytes, ELEMENTS_LIST, |bytes| {
                let mut number = 0;
                loop {
                    used += bytes_at_most(&parts);
                    for raw in &parts {
                        number += 1;
                        fits_registers &= (1..=KEY_BYTES_MAX).contains(&raw.key.len());
                        wire::nest(bytes, number, |bytes| put_element(bytes, raw));
                    }
                    let fits = |next: &Vec<RawElement>| used + bytes_at_most(next) <= ELEMENT_BYTES_MAX;
                    let Some(next) = elements.next_if(fits) else { break };
                    parts = next;
                }
            });
        });
    }
    if fits_registers { Ok(()) } else { Err("a key of no parts, or of more than 64 bytes") }
}

fn bytes_at_most(parts: &[RawElement]) -> usize {
    parts.iter().map(RawElement::bytes_at_most).sum()
}

fn put_element(bytes: &mut Vec<u8>, raw: &RawElement) {
    if let Some(flags) = raw.flags() {
        wire::put(bytes, ELEMENT_OWN_FLAGS, &flags.to_be_bytes());
    }
    wire::nest(bytes, ELEMENT_OWN_KEY, |bytes| wire::put(bytes, DATA_VALUE, &raw.key));
    if let Some((code, chain)) = &raw.verdict {
        wire::nest(bytes, ELEMENT_OWN_DATA, |bytes| {
            wire::nest(bytes, DATA_OF_VERDICT, |bytes| {
                wire::put(bytes, VERDICT_CODE, &code.to_be_bytes());
                chain.iter().for_each(|chain| put_text(bytes, VERDICT_CHAIN, chain));
            });
        });
    }
    if let Some(userdata) = &raw.userdata {
        wire::put(bytes, ELEMENT_OWN_USERDATA, userdata);
    }
}

fn put_text(bytes: &mut Vec<u8>, kind: u16, text: &str) {
    wire::put_parts(bytes, kind, &[text.as_bytes(), &[0]]);
}

/// A request for the sets of a table.
pub(crate) fn sets_of(table: &TableId) -> nftnl::Set {
    let mut message = nftnl::Set::new();
    message.set_text(SET_TABLE, table.name.as_str());
    message
}

/// A request for the elements of a set.
pub(crate) fn elements_of(table: &TableId, name: &str) -> nftnl::Elements {
    nftnl::Elements::of(set(table, name))
}

/// A request for the rules of a table.
pub(crate) fn rules_of(table: &TableId) -> nftnl::Rule {
    let mut message = nftnl::Rule::new();
    message.set_text(RULE_TABLE, table.name.as_str());
    message
}
