//! `metadata`: names, labels, and what makes an object one of its kind.

use std::sync::Arc;

use super::fault::{Fault, Reading, printable};
use super::field::Field;
use crate::model::{Mode, ObjectKey};
use crate::selector::Labels;
use crate::tree::{Scalar, ScalarKind, Tree, Value};

/// The fields of `metadata`, of which an unknown one is refused for every kind.
const FIELDS: [&str; 16] = [
    "name",
    "generateName",
    "namespace",
    "labels",
    "annotations",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
    "clusterName",
];

/// `metadata` of an object.
#[derive(Debug, Clone)]
pub(super) struct Metadata {
    pub name: Arc<str>,
    /// As given, or the default (S163); means nothing for objects without a namespace.
    pub namespace: Arc<str>,
    pub labels: Labels,
    /// `creationTimestamp`, or "".
    pub created: Arc<str>,
    /// `deletionTimestamp` is set.
    pub terminating: bool,
}

impl Metadata {
    pub fn key(&self) -> ObjectKey {
        ObjectKey { namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

/// What a name may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameRule {
    /// DNS-1123 label: 63 characters, no dots. Namespaces and Services.
    Label,
    /// DNS-1123 subdomain: 253 characters, dots between. Everything else (S160, S165).
    Subdomain,
}

/// Reads `metadata` of an object.
pub(super) fn read_metadata(root: &Field, rule: NameRule, default_namespace: &Arc<str>) -> Reading<Metadata> {
    let metadata = root.require("metadata")?;
    let labels = read_labels(&metadata)?;
    if metadata.get("name").is_none() && metadata.get("generateName").is_some() {
        return Err(
            metadata.fault("generateName is a name that only the API server can give: write metadata.name")
        );
    }
    let name_field = metadata.require("name")?;
    let name = name_field.string()?.clone();
    check_name(&name, rule).map_err(|message| name_field.fault(message))?;
    let namespace = match metadata.get("namespace") {
        None => default_namespace.clone(),
        Some(field) => {
            let namespace = field.string()?.clone();
            // An empty namespace is an absent one.
            if namespace.is_empty() {
                default_namespace.clone()
            } else {
                check_name(&namespace, NameRule::Label).map_err(|message| field.fault(message))?;
                namespace
            }
        }
    };
    Ok(Metadata {
        name,
        namespace,
        labels,
        created: metadata.text("creationTimestamp")?.cloned().unwrap_or_default(),
        terminating: metadata.text("deletionTimestamp")?.is_some(),
    })
}

/// Reads what is common to the `metadata` of objects and of the templates of workloads: the labels, with the names
/// of all fields checked.
pub(super) fn read_labels(metadata: &Field) -> Reading<Labels> {
    metadata.known(&FIELDS)?;
    if let Some(annotations) = metadata.get("annotations") {
        annotations.string_map()?;
    }
    metadata.get("labels").map_or(Ok(Labels::new()), |labels| labels.string_map())
}

const MODE_ANNOTATION: &str = "podwall.io/mode";

/// What the annotation of a NetworkPolicy or Namespace says about enforcing.
pub(super) fn read_mode(root: &Field) -> Reading<Option<Mode>> {
    let Some(annotations) = root.get("metadata").and_then(|it| it.get("annotations")) else {
        return Ok(None);
    };
    annotations.mapping()?;
    let Some(field) = annotations.get(MODE_ANNOTATION) else { return Ok(None) };
    match &**field.string()? {
        "enforce" => Ok(Some(Mode::Enforce)),
        "audit" => Ok(Some(Mode::Audit)),
        other => Err(field.fault(format!("{} is neither enforce nor audit", printable(other)))),
    }
}

fn check_name(name: &str, rule: NameRule) -> Result<(), String> {
    let (limit, parts): (_, Vec<_>) = match rule {
        NameRule::Label => (63, vec![name]),
        NameRule::Subdomain => (253, name.split('.').collect()),
    };
    if name.len() > limit {
        return Err(format!("the name has {} characters, and {limit} is the most", name.len()));
    }
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let valid = |part: &&str| {
        let bytes = part.as_bytes();
        bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
            && bytes.first().is_some_and(alphanumeric)
            && bytes.last().is_some_and(alphanumeric)
    };
    if parts.iter().all(valid) {
        return Ok(());
    }
    let dots = if rule == NameRule::Subdomain { ", `.`" } else { "" };
    let name = printable(name);
    Err(format!(
        "\"{name}\" is not a name: only a-z, 0-9, `-`{dots} may be used, with a letter or digit at both ends"
    ))
}

/// Checks the names of an object's own fields. `deeper` are the fields of its `metadata` and `spec`, and of what is
/// in them: where these stand at the top, the indentation was lost, and what remains says something else.
pub(super) fn check_top_level(root: &Field, deeper: &[&str]) -> Reading<()> {
    const FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
    check_indentation(root, &FIELDS, &["name", "namespace", "labels", "annotations"], "the object")?;
    check_indentation(root, &FIELDS, deeper, "the object")?;
    root.known(&FIELDS)?;
    if let Some(metadata) = root.get("metadata")
        && let Err(fault) = metadata.mapping()
    {
        return Err(fault.unreadable());
    }
    Ok(())
}

/// A fault when a field that belongs further in stands here.
pub(super) fn check_indentation(here: &Field, known: &[&str], deeper: &[&str], place: &str) -> Reading<()> {
    let lost = here
        .tree
        .entries()
        .iter()
        .find(|entry| deeper.contains(&&*entry.key.text) && !known.contains(&&*entry.key.text));
    match lost {
        None => Ok(()),
        Some(entry) => {
            let message =
                format!("{} does not belong directly in {place}: the indentation looks lost", entry.key.text);
            Err(here.fault_at(entry, message).unreadable())
        }
    }
}

/// The first field given twice, if any, as a fault: which of the two is meant cannot be known.
pub(super) fn check_defects(root: &Field) -> Reading<()> {
    match root.tree.first_defect() {
        None => Ok(()),
        Some(defect) => Err(Fault { line: defect.line, ..root.fault(&defect.message) }),
    }
}

/// The namespace and name as far as they can be made out: for messages, and to close what a refused policy may
/// select.
pub(super) fn rough_key(tree: &Tree) -> (Option<Arc<str>>, Option<Arc<str>>) {
    let text = |name: &str| match &tree.get("metadata")?.value.get(name)?.value.value {
        Value::Scalar(Scalar { text, kind }) if *kind != ScalarKind::Null && !text.is_empty() => {
            Some(text.clone())
        }
        _ => None,
    };
    (text("namespace"), text("name"))
}
