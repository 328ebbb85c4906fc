//! The readers of the kernel's messages, for bytes that no kernel sent: none of them may end us. The fuzzer calls them,
//! and the tests here read its corpus.

use podwall_ruleset::{Family, Known, Name, Ruleset, TableId, diff};

use crate::attribute::{Read, SET_NAME};
use crate::batch::encode;
use crate::conntrack_message;
use crate::consts::*;
use crate::decode;
use crate::monitor::Ear;
use crate::packet_log;
use crate::parse;
use crate::read::{RawTable, raw_chain, raw_element, raw_rule, raw_set};
use crate::wire::messages;

/// A list of what a table holds. What is taken for ours can also be printed and written.
pub fn replies(bytes: &[u8]) {
    let mut raw = RawTable::default();
    for message in messages(bytes) {
        message.answer();
        match message.kind & 0xff {
            NEW_TABLE => drop(parse::table(message.bytes)),
            NEW_CHAIN => raw.chains.extend(parse::chain(message.bytes).iter().map(raw_chain)),
            NEW_SET => {
                let set = parse::set(message.bytes);
                raw.sets.extend(set.and_then(|set| Some((set.text(SET_NAME)?, raw_set(&set)))));
            }
            NEW_ELEMENT => {
                let elements = parse::elements(message.bytes).unwrap_or_default();
                if let Some(mut set) = raw.sets.last_entry() {
                    set.get_mut().elements.extend(elements.iter().filter_map(raw_element));
                }
            }
            NEW_RULE => raw.rules.extend(parse::rule(message.bytes).iter().map(raw_rule)),
            _ => {}
        }
    }
    let Ok(table) = decode::table(Family::Inet, raw) else { return };
    let ruleset = Ruleset { tables: [(id(), table)].into() };
    drop(ruleset.to_string());
    // It may be more than a message can say, which is an error and no end.
    let _ = encode(&diff(&Known::Unknown, &ruleset), 1);
}

/// Notifications of changes.
pub fn notifications(bytes: &[u8]) {
    let mut heard = Vec::new();
    Ear::new(&[id()]).hear(bytes, &mut heard);
}

/// A list of connections, each of which is then marked.
pub fn connections(bytes: &[u8]) {
    for message in messages(bytes) {
        let Some(entry) = conntrack_message::parse(&message) else { continue };
        conntrack_message::put_mark(&mut Vec::new(), 1, &entry, 1, 1, true);
    }
}

/// Packets that rules have logged.
pub fn logged(bytes: &[u8]) {
    packet_log::hear(bytes, &mut None, &mut packet_log::Logged::default());
}

fn id() -> TableId {
    TableId { family: Family::Inet, name: Name::new("podwall").expect("a name") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(folder: &str, read: fn(&[u8])) {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(folder);
        let files =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut count = 0;
        for file in files {
            read(&std::fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "the corpus is gone");
    }

    #[test]
    fn the_corpus_ends_nobody() {
        read_all("replies", replies);
        read_all("notifications", notifications);
        read_all("connections", connections);
    }
}
