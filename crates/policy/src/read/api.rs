//! Objects as the API server gives them: validated, defaulted, and perhaps newer than we know. Fields that policy does
//! not need are skipped while parsing, so that unknown ones beside them do no harm; what is in a policy's `spec` is
//! kept whole and read as strictly as a manifest. One bad field never loses a pod.

use super::fault::{Fault, printable};
use super::field::Field;
use super::network_policy::{PolicyReading, read_stored_policy};
use super::pod::read_pod_leniently;
use super::service;
use crate::model::{Mode, ObjectKey, Pod};
use crate::problem::{Consequence, Problem};
use crate::selector::Labels;
use crate::tree::Keep::{self, All, Fields};
use crate::tree::Tree;

/// What of a Pod is kept.
pub const POD: Keep = Fields(&[
    ("metadata", METADATA),
    (
        "spec",
        Fields(&[
            ("nodeName", All),
            ("hostNetwork", All),
            ("containers", CONTAINER),
            ("initContainers", CONTAINER),
        ]),
    ),
    (
        "status",
        Fields(&[("phase", All), ("podIP", All), ("podIPs", Fields(&[("ip", All)])), ("startTime", All)]),
    ),
]);

/// What of a Namespace is kept.
pub const NAMESPACE: Keep = Fields(&[("metadata", METADATA)]);

/// What of a NetworkPolicy is kept.
pub const NETWORK_POLICY: Keep = Fields(&[("metadata", METADATA), ("spec", All)]);

const METADATA: Keep = Fields(&[
    ("name", All),
    ("namespace", All),
    ("labels", All),
    ("annotations", Fields(&[("podwall.io/anti-spoofing", All), ("podwall.io/mode", All)])),
    ("uid", All),
    ("resourceVersion", All),
    ("creationTimestamp", All),
    ("deletionTimestamp", All),
]);

const CONTAINER: Keep = Fields(&[
    ("ports", Fields(&[("name", All), ("containerPort", All), ("protocol", All)])),
    ("restartPolicy", All),
]);

const LEFT_OUT: &str = "it is left out, and the rest of the pod counts";
const UNREAD: &str = "what the object said before stays in force";

/// The name of an object, if it has one. The namespace of what has none is empty.
pub fn key(tree: &Tree) -> Option<ObjectKey> {
    let name = tree.text(&["metadata", "name"]).filter(|name| !name.is_empty())?;
    let namespace = tree.text(&["metadata", "namespace"]).cloned().unwrap_or_default();
    Some(ObjectKey { namespace, name: name.clone() })
}

/// Reads a Pod, with a problem for each part of it that had to be left out.
///
/// # Errors
///
/// A problem when nothing of it can be used.
pub fn read_pod(tree: &Tree) -> Result<(ObjectKey, Pod, Vec<Problem>), Box<Problem>> {
    let mut left_out = Vec::new();
    let read = read_pod_leniently(&Field::root(tree), &"".into(), &mut left_out);
    let problem = |fault: Fault| fault.problem(None, name("Pod", tree), LEFT_OUT, Consequence::Closed);
    match read {
        Ok((key, pod)) => Ok((key, pod, left_out.into_iter().map(problem).collect())),
        Err(fault) => Err(unread(fault, name("Pod", tree))),
    }
}

/// Reads a Namespace: its labels with the one that all have (S48), and whether its policies are enforced, with a problem
/// where that could not be read.
///
/// # Errors
///
/// A problem when it cannot be used.
pub fn read_namespace(tree: &Tree) -> Result<(Labels, Mode, Vec<Problem>), Box<Problem>> {
    let object = || name("Namespace", tree);
    let namespace = service::read_namespace(&Field::root(tree)).map_err(|fault| unread(fault, object()))?;
    let problem = |fault: Fault| fault.problem(None, object(), service::ENFORCED, Consequence::Closed);
    Ok(match namespace.mode {
        Ok(mode) => (namespace.labels, mode, Vec::new()),
        Err(fault) => (namespace.labels, Mode::Enforce, vec![problem(fault)]),
    })
}

/// Reads a NetworkPolicy: never [`PolicyReading::Unreadable`], for what the API server holds as one is one.
pub fn read_policy(tree: &Tree) -> PolicyReading {
    read_stored_policy(tree)
}

fn unread(fault: Fault, object: Option<String>) -> Box<Problem> {
    Box::new(fault.problem(None, object, UNREAD, Consequence::Refused))
}

/// The object as problems name it.
fn name(kind: &str, tree: &Tree) -> Option<String> {
    Some(match key(tree) {
        Some(key) if key.namespace.is_empty() => format!("{kind} {}", printable(&key.name)),
        Some(key) => format!("{kind} {}/{}", printable(&key.namespace), printable(&key.name)),
        None => kind.to_owned(),
    })
}
