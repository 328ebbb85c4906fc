//! What else is there: tables of others, by name.

use podwall_ruleset::TableId;

use crate::attribute::{CHAIN_HOOK, CHAIN_PRIORITY, Read};
use crate::consts::{ANY_TABLE, CHAIN_OWN_NAME, GET_CHAIN, GET_TABLE};
use crate::dump::{Dumper, Failure};
use crate::nftnl::{Chain, Table};
use crate::wire::Message;
use crate::{parse, value};

const FAMILY_ANY: u8 = 0;

/// A table that is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignTable {
    /// The family as nft writes it (`ip`, `inet`), or its number if we know no word for it.
    pub family: String,
    /// The table's name.
    pub name: String,
    /// The names of its chains.
    pub chains: Vec<String>,
    /// Where its base chains are attached.
    pub hooks: Vec<ForeignHook>,
}

/// A place where packets enter a table that is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignHook {
    /// The base chain.
    pub chain: String,
    /// The hook as nft writes it (`forward`), or its number if we know no word for it.
    pub hook: String,
    /// The place among the base chains of the hook; lower comes first.
    pub priority: i32,
}

/// All tables but `ours`. Only names and hooks are looked at, so that nothing in them can be too new for us.
pub(crate) fn tables(dumper: &mut Dumper, ours: &[TableId]) -> Result<Vec<ForeignTable>, Failure> {
    let mut tables: Vec<(u8, ForeignTable)> = Vec::new();
    dumper.list(GET_TABLE, FAMILY_ANY, &Table::new(), "tables", |message| {
        let Some((family, name)) = table_of(&message) else { return };
        if ours.iter().all(|id| value::family(id.family) != family || id.name.as_str() != name) {
            let (chains, hooks) = Default::default();
            tables.push((family, ForeignTable { family: family_word(family), name, chains, hooks }));
        }
    })?;
    dumper.list(GET_CHAIN, FAMILY_ANY, &Chain::new(), "chains", |message| {
        let Some((family, name)) = table_of(&message) else { return };
        let table = tables.iter_mut().find(|(of, table)| *of == family && table.name == name);
        if let (Some((_, table)), Some(chain)) = (table, message.text_attribute(CHAIN_OWN_NAME)) {
            table.hooks.extend(hook(&message, family, &chain));
            table.chains.push(chain);
        }
    })?;
    Ok(tables.into_iter().map(|(_, table)| table).collect())
}

fn table_of(message: &Message<'_>) -> Option<(u8, String)> {
    Some((message.family()?, message.text_attribute(ANY_TABLE)?))
}

/// `None` for a chain that is no base chain.
fn hook(message: &Message<'_>, family: u8, chain: &str) -> Option<ForeignHook> {
    let parsed = parse::chain(message.bytes)?;
    let number = parsed.number(CHAIN_HOOK)?;
    let priority = parsed.number(CHAIN_PRIORITY).unwrap_or(0) as i32;
    Some(ForeignHook { chain: chain.to_owned(), hook: hook_word(family, number), priority })
}

/// The numbers of hooks are those of their family.
fn hook_word(family: u8, number: u32) -> String {
    const ARP: u8 = 3;
    const NETDEV: u8 = 5;
    let words: &[&str] = match family {
        ARP => &["input", "output", "forward"],
        NETDEV => &["ingress", "egress"],
        _ => &["prerouting", "input", "forward", "output", "postrouting", "ingress"],
    };
    words.get(number as usize).map_or_else(|| number.to_string(), |word| (*word).to_owned())
}

fn family_word(family: u8) -> String {
    let words = [(1, "inet"), (2, "ip"), (3, "arp"), (5, "netdev"), (7, "bridge"), (10, "ip6")];
    let word = words.iter().find(|(number, _)| *number == family);
    word.map_or_else(|| family.to_string(), |(_, word)| (*word).to_owned())
}
