//! Objects and events of the API, from JSON.

use podwall_policy::read::{PolicyReading, api, printable};
use podwall_policy::tree::Keep::{self, All, Fields};
use podwall_policy::{Consequence, ObjectKey, Problem, Tree};

use super::failure::Failure;
use crate::event::{Kind, Object};

/// What the server says of an object.
#[derive(Debug)]
pub(super) enum Said {
    /// It is there; the problems are of what had to be left out.
    Present(Object, Vec<Problem>),
    /// It is gone, or takes part in nothing.
    Gone(ObjectKey),
    /// It is there, and cannot be read.
    Unread(ObjectKey, Problem),
    /// Something is there that cannot even be named.
    Nameless(Problem),
}

impl Said {
    /// The object's name.
    pub fn key(&self) -> Option<&ObjectKey> {
        match self {
            Said::Present(object, _) => Some(object.key()),
            Said::Gone(key) | Said::Unread(key, _) => Some(key),
            Said::Nameless(_) => None,
        }
    }
}

/// One line of a stream.
#[derive(Debug)]
pub(super) enum Event {
    /// An object was added, changed or deleted.
    Object {
        /// The object.
        tree: Tree,
        /// It was deleted.
        gone: bool,
    },
    /// The stream has come to a version.
    Bookmark {
        /// The version.
        version: String,
        /// All objects have been sent that were there when the stream began.
        ends_list: bool,
    },
    /// The server gives the stream up.
    Failed(Failure),
    /// Something of a newer server.
    Unknown,
}

/// Parses an item of a list.
pub(super) fn parse_item(kind: Kind, text: &[u8]) -> Result<Tree, String> {
    let keep = match kind {
        Kind::Pod => api::POD,
        Kind::Namespace => api::NAMESPACE,
        Kind::NetworkPolicy => api::NETWORK_POLICY,
    };
    parse(keep, text)
}

/// Parses a line of a stream.
pub(super) fn read_event(kind: Kind, line: &[u8]) -> Result<Event, String> {
    const POD: Keep = Fields(&[("type", All), ("object", api::POD)]);
    const NAMESPACE: Keep = Fields(&[("type", All), ("object", api::NAMESPACE)]);
    const NETWORK_POLICY: Keep = Fields(&[("type", All), ("object", api::NETWORK_POLICY)]);
    let keep = match kind {
        Kind::Pod => POD,
        Kind::Namespace => NAMESPACE,
        Kind::NetworkPolicy => NETWORK_POLICY,
    };
    let mut event = parse(keep, line)?;
    let Some(name) = event.text(&["type"]) else { return Err("an event without a type".to_owned()) };
    let gone = match &**name {
        "ADDED" | "MODIFIED" => false,
        "DELETED" => true,
        "BOOKMARK" | "ERROR" => return read_note(line),
        _ => return Ok(Event::Unknown),
    };
    let tree = event.remove("object").ok_or("an event without an object")?;
    Ok(Event::Object { tree, gone })
}

/// Reads what is no object: bookmarks and errors.
fn read_note(line: &[u8]) -> Result<Event, String> {
    const END: &str = "k8s.io/initial-events-end";
    const METADATA: Keep = Fields(&[("resourceVersion", All), ("annotations", Fields(&[(END, All)]))]);
    const NOTE: Keep = Fields(&[
        ("type", All),
        ("object", Fields(&[("code", All), ("message", All), ("metadata", METADATA)])),
    ]);
    let note = parse(NOTE, line)?;
    if note.text(&["type"]).is_some_and(|name| &**name == "BOOKMARK") {
        let version =
            note.text(&["object", "metadata", "resourceVersion"]).ok_or("a bookmark of no version")?;
        let end = note.text(&["object", "metadata", "annotations", END]);
        return Ok(Event::Bookmark {
            version: version.to_string(),
            ends_list: end.is_some_and(|end| &**end == "true"),
        });
    }
    let code = note.text(&["object", "code"]).and_then(|code| code.parse().ok()).unwrap_or(500);
    let message = note.text(&["object", "message"]).map_or(String::new(), |message| message.to_string());
    Ok(Event::Failed(match code {
        410 => Failure::Expired,
        code => Failure::Refused { code, message, retry_after: None },
    }))
}

fn parse(keep: Keep, text: &[u8]) -> Result<Tree, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let tree = keep.read(&mut deserializer).and_then(|tree| deserializer.end().map(|()| tree));
    tree.map_err(|error| error.to_string())
}

/// Reads an object that is there.
pub(super) fn read_object(kind: Kind, tree: &Tree) -> Said {
    let Some(key) = api::key(tree) else {
        return unreadable(kind, "metadata.name is missing");
    };
    let uid = || tree.text(&["metadata", "uid"]).cloned().unwrap_or_default();
    match kind {
        Kind::Pod => match api::read_pod(tree) {
            Ok((key, pod, _)) if !pod.takes_part() => Said::Gone(key),
            Ok((key, pod, problems)) => {
                Said::Present(Object::Pod { key, uid: uid(), pod: Box::new(pod) }, problems)
            }
            Err(problem) => Said::Unread(key, *problem),
        },
        Kind::Namespace => match api::read_namespace(tree) {
            Ok((labels, mode, problems)) => Said::Present(Object::Namespace(key, labels, mode), problems),
            Err(problem) => Said::Unread(key, *problem),
        },
        Kind::NetworkPolicy => match api::read_policy(tree) {
            PolicyReading::Unreadable(problem) => Said::Unread(key, problem),
            reading => {
                let reading = Box::new(reading);
                Said::Present(Object::NetworkPolicy { key, uid: uid(), reading }, Vec::new())
            }
        },
    }
}

/// Something in place of an object that is none, and why.
pub(super) fn unreadable(kind: Kind, error: &str) -> Said {
    Said::Nameless(Problem {
        file: None,
        line: None,
        object: Some(kind.name().to_owned()),
        field: None,
        message: format!(
            "the API server sent something that cannot be read: {}; nothing is taken for deleted until it has sent a \
             list without it",
            printable(error)
        ),
        consequence: Consequence::Unreadable,
    })
}

#[cfg(test)]
#[path = "object_tests.rs"]
mod tests;
