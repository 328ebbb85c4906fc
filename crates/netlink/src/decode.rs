//! Tables back from what the kernel holds.

use std::collections::BTreeMap;

use podwall_ruleset::{
    BaseChain, Chain, ChainType, Comment, Dynamic, Family, Hook, Name, Set, SetRef, Table,
};

use crate::consts::*;
use crate::decode_rule;
use crate::element;
use crate::message::{chain_type, hook};
use crate::read::{RawChain, RawRule, RawSet, RawTable};
use crate::userdata;
use crate::value;

const CHAIN_TYPES: [ChainType; 2] = [ChainType::Filter, ChainType::Nat];
const HOOKS: [Hook; 5] = [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting];

/// The table. `Err` says what in it is not of our making.
pub(crate) fn table(family: Family, raw: RawTable) -> Result<Table, String> {
    if let Some(foreign) = raw.foreign {
        return Err(foreign);
    }
    if raw.flags != 0 {
        return Err(format!("the table's flags are {:#x}: dormant, or owned by a program", raw.flags));
    }
    let mut sets = BTreeMap::new();
    let mut anonymous = BTreeMap::new();
    for (name, raw) in raw.sets {
        let is_anonymous = raw.flags & SET_ANONYMOUS != 0;
        let set = set(raw).map_err(|what| format!("set {name}: {what}"))?;
        if is_anonymous {
            anonymous.insert(name, set);
        } else {
            sets.insert(our_name(&name)?, set);
        }
    }
    let mut chains = BTreeMap::new();
    for raw in raw.chains {
        let (name, chain) = chain(&raw).map_err(|what| format!("chain {}: {what}", raw.name))?;
        chains.insert(name, chain);
    }
    for raw in raw.rules {
        let name = our_name(&raw.chain)?;
        let chain = chains.get_mut(&name).ok_or_else(|| format!("a rule of no chain: {name}"))?;
        let number = chain.rules.len() + 1;
        let rule = rule(family, raw, &mut anonymous)
            .map_err(|what| format!("rule {number} of chain {name}: {what}"))?;
        chain.rules.push(rule);
    }
    Ok(Table { sets, chains })
}

fn our_name(name: &str) -> Result<Name, String> {
    Name::new(name).map_err(|error| error.to_string())
}

fn comment(bytes: Option<&[u8]>, kind: u8) -> Result<Option<Comment>, String> {
    userdata::comment(bytes, kind).map_err(|()| "a comment that we would not write".to_owned())
}

fn set(raw: RawSet) -> Result<Set, String> {
    if let Some(foreign) = raw.foreign {
        return Err(foreign.to_owned());
    }
    let anonymous = raw.flags & SET_ANONYMOUS != 0;
    let expected = if anonymous { SET_ANONYMOUS | SET_CONSTANT } else { 0 };
    let dynamic = dynamic(&raw)?;
    let expected = expected | dynamic.map_or(0, |_| SET_DYNAMIC | SET_TIMEOUT_FLAG);
    if raw.flags & !(SET_INTERVAL | SET_MAP) != expected {
        return Err(format!("flags {:#x} are not of a set of ours", raw.flags));
    }
    // The kernel takes the size of a constant from us, to choose how it keeps it.
    if raw.size.is_some() && !anonymous && dynamic.is_none() {
        return Err("a fixed size".to_owned());
    }
    let map = raw.flags & SET_MAP != 0;
    if raw.data_type != map.then_some(DATA_VERDICT) {
        return Err("a map to something else than verdicts".to_owned());
    }
    let interval = raw.flags & SET_INTERVAL != 0;
    let parts = value::key_parts(raw.key_type).ok_or("a key type that we do not use")?;
    if value::key_length(&parts) != raw.key_length as usize {
        return Err("a key length that does not fit its type".to_owned());
    }
    let mut set = Set::new(&parts);
    set.elements = element::decode(&parts, interval, map, raw.elements)?;
    set.interval = interval;
    set.map = map;
    set.dynamic = dynamic;
    set.comment = comment(raw.userdata.as_deref(), userdata::SET_COMMENT)?;
    Ok(set)
}

fn dynamic(raw: &RawSet) -> Result<Option<Dynamic>, String> {
    match (raw.flags & SET_DYNAMIC != 0, raw.size, raw.timeout_ms) {
        (false, _, None) => Ok(None),
        (true, Some(size), Some(timeout_ms)) if timeout_ms % 1000 == 0 => {
            match u32::try_from(timeout_ms / 1000) {
                Ok(timeout_s) => Ok(Some(Dynamic { size, timeout_s })),
                Err(_) => Err("a timeout of years".to_owned()),
            }
        }
        _ => Err("a timeout that we would not give it".to_owned()),
    }
}

fn chain(raw: &RawChain) -> Result<(Name, Chain), String> {
    if raw.flags & !CHAIN_BASE != 0 {
        return Err(format!("flags {:#x} are not of a chain of ours", raw.flags));
    }
    let base = match &raw.base {
        None => None,
        Some((_, _, _, policy)) if *policy != POLICY_ACCEPT => {
            return Err("a policy other than accept".to_owned());
        }
        Some((found_type, found_hook, priority, _)) => {
            let chain_type = CHAIN_TYPES.into_iter().find(|known| chain_type(*known) == found_type);
            let hook = HOOKS.into_iter().find(|known| hook(*known) == *found_hook);
            let (Some(chain_type), Some(hook)) = (chain_type, hook) else {
                return Err(format!("type {found_type}, hook {found_hook} are not of a chain of ours"));
            };
            Some(BaseChain { chain_type, hook, priority: *priority })
        }
    };
    let comment = comment(raw.userdata.as_deref(), userdata::COMMENT)?;
    Ok((our_name(&raw.name)?, Chain { base, comment, rules: Vec::new() }))
}

fn rule(
    family: Family,
    raw: RawRule,
    anonymous: &mut BTreeMap<String, Set>,
) -> Result<podwall_ruleset::Rule, String> {
    let expressions = raw.expressions?;
    let mut rule = decode_rule::rule(family, &expressions, |name| match anonymous.remove(name) {
        Some(set) => Ok(SetRef::Anonymous(Box::new(set))),
        None => our_name(name).map(SetRef::Named),
    })?;
    rule.comment = comment(raw.userdata.as_deref(), userdata::COMMENT)?;
    Ok(rule)
}
