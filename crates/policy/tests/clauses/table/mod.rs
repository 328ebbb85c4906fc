//! The table: expectations written from the clauses by hand, and the cluster that they are about. Read by the suite of
//! this crate, which asks the reading of the specification, and by the one of `podwall-conformance`, which asks the
//! compiled ruleset.

mod blocks;
mod cluster;
mod defaults;
mod nodes;
mod peers;
mod ports;

pub use cluster::{cluster, flow};

/// `S1, S2: what they say`, the specs of policies (each with its namespace), and lines
/// `FROM -> TO PROTOCOL/PORT yes|no`.
pub type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);
/// The same, and other objects.
pub type WithObjects = (Case, &'static str);

/// All cases, with their other objects.
pub fn cases() -> impl Iterator<Item = WithObjects> {
    let plain = [defaults::CASES, peers::CASES, nodes::CASES, ports::CASES, blocks::CASES];
    let with_objects = [peers::WITH_OBJECTS, nodes::WITH_OBJECTS, ports::WITH_OBJECTS, blocks::WITH_OBJECTS];
    plain.concat().into_iter().map(|case| (case, "")).chain(with_objects.concat())
}

/// The four words of a line, and whether the connection is allowed.
pub fn words(line: &str) -> ([&str; 3], bool) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [from, "->", to, spoken, expected @ ("yes" | "no")] = words[..] else { panic!("{line}") };
    ([from, to, spoken], expected == "yes")
}
