//! Changes as people think of them: who may, or may no longer, reach whom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use podwall_policy::ObjectKey;
use serde_json::{Value, json};

use super::ports::PortSet;
use super::{Difference, End, space};
use crate::page::{Page, counted, listed};

/// How many names of one end are written out.
const SHOWN: usize = 6;

/// Changes with the same ends and ports.
struct Group {
    from: Vec<String>,
    to: Vec<String>,
    ports: String,
}

impl Difference {
    /// As text, with the first names of many.
    pub fn to_text(&self) -> String {
        self.text(SHOWN)
    }

    /// All of it as text.
    pub fn to_wide(&self) -> String {
        self.text(usize::MAX)
    }

    fn text(&self, most: usize) -> String {
        let mut page = Page::default();
        for (opens, title) in [(true, "becomes allowed"), (false, "becomes denied")] {
            let groups = self.groups(opens, most);
            if groups.is_empty() {
                continue;
            }
            page.blank();
            page.line(0, title);
            for group in groups {
                let (from, to) = (listed(&group.from, most), listed(&group.to, most));
                page.line(2, format!("{from} -> {to}: {}", group.ports));
            }
        }
        if self.changes.is_empty() {
            page.line(0, "nothing becomes allowed or denied");
        }
        for (pods, which) in [(&self.only_before, "before"), (&self.only_after, "after")] {
            if !pods.is_empty() {
                page.blank();
                let names: Vec<String> = pods.iter().map(ObjectKey::to_string).collect();
                let count = counted(pods.len(), "pod");
                page.line(0, format!("only {which}, and not compared: {count}: {}", listed(&names, most)));
            }
        }
        page.into_text()
    }

    /// All of it as one line of JSON.
    pub fn to_json(&self) -> String {
        let groups = |opens| -> Vec<Value> {
            let groups = self.groups(opens, usize::MAX).into_iter();
            groups.map(|it| json!({"from": it.from, "to": it.to, "ports": it.ports})).collect()
        };
        let names =
            |pods: &BTreeSet<ObjectKey>| -> Vec<String> { pods.iter().map(ObjectKey::to_string).collect() };
        let value = json!({
            "version": 1,
            "allowed": groups(true),
            "denied": groups(false),
            "only_before": names(&self.only_before),
            "only_after": names(&self.only_after),
        });
        format!("{value}\n")
    }

    /// Changes of one kind: first those to one end on the same ports are one, then those from the same ends. In a name,
    /// at most so many blocks are left out one by one.
    fn groups(&self, opens: bool, most: usize) -> Vec<Group> {
        type Ports<'a> = (&'a PortSet, Option<bool>);
        let mut sources: BTreeMap<(End, Ports), BTreeSet<End>> = BTreeMap::new();
        for change in self.changes.iter().filter(|change| change.opens == opens) {
            sources.entry((change.to, (&change.ports, change.ipv4))).or_default().insert(change.from);
        }
        let mut groups: BTreeMap<(BTreeSet<End>, Ports), BTreeSet<End>> = BTreeMap::new();
        for ((to, ports), from) in sources {
            groups.entry((from, ports)).or_default().insert(to);
        }
        let group = |((from, (ports, ipv4)), to): (_, _)| {
            let family = match ipv4 {
                None => "",
                Some(true) => " over IPv4",
                Some(false) => " over IPv6",
            };
            Group {
                from: self.names(&from, most),
                to: self.names(&to, most),
                ports: format!("{ports}{family}"),
            }
        };
        groups.into_iter().map(group).collect()
    }

    fn names(&self, ends: &BTreeSet<End>, most: usize) -> Vec<String> {
        let (mut pods, mut outside): (BTreeMap<&Arc<str>, Vec<usize>>, Vec<_>) = Default::default();
        for end in ends {
            match end {
                End::Pods(index) => pods.entry(&self.classes[*index].namespace).or_default().push(*index),
                End::Outside(index) => outside.push(&self.outside[*index]),
            }
        }
        let mut names = Vec::new();
        for (namespace, classes) in pods {
            let all = self.classes.iter().filter(|class| class.namespace == *namespace).count();
            let own: BTreeSet<&String> =
                classes.iter().flat_map(|index| &self.classes[*index].names).collect();
            match classes.len() == all && own.len() > 1 {
                true => names.push(format!("all of {namespace}")),
                false => names.extend(own.into_iter().cloned()),
            }
        }
        names.extend(space::names(&outside, most));
        names
    }
}
