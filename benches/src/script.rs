//! A transaction as the script that somebody would give to `nft -f` for the same change.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use podwall_ruleset::{Chain, Element, Key, Operation, Set, Transaction};

/// The script. Base chains are not in what benches measure so.
pub fn script(transaction: &Transaction) -> String {
    let mut text = String::new();
    for operation in &transaction.operations {
        line(&mut text, operation);
    }
    text
}

/// How long `nft -f` takes for a script, from its start to its end.
pub fn run(script: &str) -> Result<Duration> {
    let started = Instant::now();
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
    nft.stdin.take().expect("piped").write_all(script.as_bytes())?;
    let status = nft.wait()?;
    ensure!(status.success(), "nft -f: {status}");
    Ok(started.elapsed())
}

fn line(text: &mut String, operation: &Operation) {
    let written = match operation {
        Operation::AddTable(id) => writeln!(text, "add table {id}"),
        Operation::DeleteTable(id) => writeln!(text, "delete table {id}"),
        Operation::AddSet { table, name, set } => {
            let word = if set.map { "map" } else { "set" };
            let bare = Set { elements: Default::default(), ..(**set).clone() };
            writeln!(text, "add {word} {table} {name} {{\n{bare}}}")
        }
        Operation::DeleteSet { table, name } => writeln!(text, "delete set {table} {name}"),
        Operation::AddElements { table, set, elements } => {
            let elements: Vec<String> = elements.iter().map(|(key, element)| spelt(key, element)).collect();
            writeln!(text, "add element {table} {set} {{ {} }}", elements.join(", "))
        }
        Operation::DeleteElements { table, set, keys } => {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            writeln!(text, "delete element {table} {set} {{ {} }}", keys.join(", "))
        }
        Operation::AddChain { table, name, base, comment } => {
            let chain = Chain { base: *base, comment: comment.clone(), rules: Vec::new() };
            writeln!(text, "add chain {table} {name} {{\n{chain}}}")
        }
        Operation::FlushChain { table, name } => writeln!(text, "flush chain {table} {name}"),
        Operation::DeleteChain { table, name } => writeln!(text, "delete chain {table} {name}"),
        Operation::AddRule { table, chain, rule } => writeln!(text, "add rule {table} {chain} {rule}"),
    };
    written.expect("a String takes everything");
}

fn spelt(key: &Key, element: &Element) -> String {
    let comment = element.comment.as_ref().map(|it| format!(" comment \"{it}\"")).unwrap_or_default();
    let verdict = element.verdict.as_ref().map(|it| format!(" : {it}")).unwrap_or_default();
    format!("{key}{comment}{verdict}")
}
