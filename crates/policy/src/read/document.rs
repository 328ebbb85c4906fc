//! Documents: which kind of object each is, and where it goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Manifests;
use super::fault::{Fault, Reading, printable, printable_name, suggestion};
use super::field::Field;
use super::kind::{Kind, is_kubernetes_api, is_without_bearing};
use super::metadata::{check_defects, rough_key};
use super::network_policy::{PolicyReading, read_policy, refuse_policy};
use super::owner::{OwnedReplicaSet, read_owner};
use super::pod::read_pod;
use super::service::{DeclaredNamespace, ENFORCED, read_namespace, read_node, read_service};
use super::workload::{read_workload, workload_kind};
use crate::model::{Location, Mode, ObjectKey};
use crate::problem::{Consequence, Problem};
use crate::tree::{Tree, parse};
use crate::workload::WorkloadKind;

/// What is to be remembered until all files are read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Where each object stands that was read so far.
    places: BTreeMap<(Kind, ObjectKey), Location>,
    /// The ReplicaSets that are a Deployment's.
    pub replica_sets: Vec<OwnedReplicaSet>,
}

const LEFT_OUT: &str = "refused: the object is left out until it is mended";
const NOT_AN_OBJECT: &str = "nothing of it is used";
const PASSED_OVER: &str = "it is passed over";

/// Reads one file into the manifests.
pub(super) struct Reader<'a> {
    file: Arc<str>,
    default_namespace: Arc<str>,
    manifests: &'a mut Manifests,
    seen: &'a mut Seen,
    problems: &'a mut Vec<Problem>,
}

/// What an item of a typed list is, though it does not say so itself.
#[derive(Debug, Clone)]
struct Header {
    api_version: Arc<str>,
    kind: Arc<str>,
}

impl<'a> Reader<'a> {
    pub fn new(
        file: &str,
        default_namespace: &str,
        manifests: &'a mut Manifests,
        seen: &'a mut Seen,
        problems: &'a mut Vec<Problem>,
    ) -> Self {
        Self { file: file.into(), default_namespace: default_namespace.into(), manifests, seen, problems }
    }

    pub fn read_text(&mut self, bytes: &[u8]) {
        match parse(bytes) {
            Ok(documents) => {
                for document in documents.iter().filter(|document| !document.is_null()) {
                    self.read_document(document, None);
                }
            }
            Err(error) => {
                let fault =
                    Fault { line: Some(error.line), field: None, message: error.message, unreadable: true };
                self.report(fault, None, "nothing of the file is used", Consequence::Unreadable);
            }
        }
    }

    fn read_document(&mut self, tree: &Tree, default: Option<&Header>) {
        let root = Field::root(tree);
        let header = match read_header(&root, default) {
            Ok(header) => header,
            Err(fault) => return self.report(fault, None, NOT_AN_OBJECT, Consequence::Unreadable),
        };
        if let Some(kind) = Kind::of(&header.kind) {
            return self.read_kind(&root, kind, &header.api_version);
        }
        match header.kind.strip_suffix("List") {
            Some("") => self.read_items(&root, None),
            Some(item) if Kind::of(item).is_some() => {
                let item = Header { api_version: header.api_version.clone(), kind: item.into() };
                self.read_items(&root, Some(&item));
            }
            _ if is_without_bearing(&header.kind) => {}
            _ => self.read_unknown(&root, &header),
        }
    }

    fn read_items(&mut self, root: &Field, default: Option<&Header>) {
        let Some(items) = root.get("items") else { return };
        match items.list() {
            Ok(items) => items.for_each(|item| self.read_document(item.tree, default)),
            Err(fault) => self.report(fault, Some("List".to_owned()), NOT_AN_OBJECT, Consequence::Unreadable),
        }
    }

    /// A kind that is not read. One that is a letter or two from one that is read was probably meant to be that, and
    /// what it was meant to close must not stay open in silence.
    fn read_unknown(&mut self, root: &Field, header: &Header) {
        let field = root.get("kind").unwrap_or_else(|| root.clone());
        let names = Kind::ALL.map(Kind::name);
        let near = suggestion(&header.kind, &names).filter(|_| is_kubernetes_api(&header.api_version));
        let kind = printable(&header.kind);
        match near {
            Some(name) => {
                let fault =
                    field.fault(format!("kind {kind} is not one that Podwall reads; did you mean {name}?"));
                if Kind::of(name) == Some(Kind::NetworkPolicy) {
                    let reading = refuse_policy(root.tree, fault, Some(&self.file), &self.default_namespace);
                    self.take_policy(root, reading);
                } else {
                    self.report(fault, object(&header.kind, root.tree), LEFT_OUT, Consequence::Refused);
                }
            }
            None => {
                let fault = field.fault(format!("kind {kind} is not one that Podwall reads"));
                self.report(fault, object(&header.kind, root.tree), PASSED_OVER, Consequence::Ignored);
            }
        }
    }

    fn read_kind(&mut self, root: &Field, kind: Kind, api_version: &str) {
        if kind == Kind::NetworkPolicy {
            let reading = read_policy(root.tree, Some(&self.file), &self.default_namespace);
            return self.take_policy(root, reading);
        }
        let object = object(kind.name(), root.tree);
        if api_version != kind.api_version() {
            let field = root.get("apiVersion").unwrap_or_else(|| root.clone());
            let (version, expected) = (printable(api_version), kind.api_version());
            if is_kubernetes_api(api_version) {
                let fault =
                    field.fault(format!("{version} is not read for a {}: write {expected}", kind.name()));
                self.report(fault, object, LEFT_OUT, Consequence::Refused);
            } else {
                let fault =
                    field.fault(format!("the {} of {version} is not one that Podwall reads", kind.name()));
                self.report(fault, object, PASSED_OVER, Consequence::Ignored);
            }
            return;
        }
        match self.take_object(root, kind) {
            Ok(()) => {}
            Err(fault) if fault.unreadable => {
                self.report(fault, object, NOT_AN_OBJECT, Consequence::Unreadable);
            }
            Err(fault) => self.report(fault, object, LEFT_OUT, Consequence::Refused),
        }
    }

    fn take_object(&mut self, root: &Field, kind: Kind) -> Reading<()> {
        check_defects(root)?;
        let default_namespace = self.default_namespace.clone();
        let location = self.location(root);
        let cluster_wide = |name: &Arc<str>| ObjectKey { namespace: "".into(), name: name.clone() };
        let key = match (kind, workload_kind(kind)) {
            (_, Some(workload_kind)) => {
                let (key, mut workload) = read_workload(root, workload_kind, &default_namespace)?;
                (workload.location, workload.template.location) = (location.clone(), location);
                match read_owner(root, &key)? {
                    Some((WorkloadKind::Deployment, deployment)) if kind == Kind::ReplicaSet => {
                        self.seen.replica_sets.push((deployment, workload));
                    }
                    _ => drop(self.manifests.workloads.insert((workload_kind, key.clone()), workload)),
                }
                key
            }
            (Kind::Namespace, _) => {
                let DeclaredNamespace { name, labels, mode } = read_namespace(root)?;
                self.manifests.namespaces.insert(name.clone(), labels);
                self.manifests.audited_namespaces.remove(&name);
                match mode {
                    Ok(Mode::Enforce) => {}
                    Ok(Mode::Audit) => drop(self.manifests.audited_namespaces.insert(name.clone())),
                    Err(fault) => {
                        let object = Some(format!("Namespace {}", printable_name(&name)));
                        self.report(fault, object, ENFORCED, Consequence::Closed);
                    }
                }
                cluster_wide(&name)
            }
            (Kind::Node, _) => {
                let (name, node) = read_node(root)?;
                self.manifests.nodes.insert(name.clone(), node);
                cluster_wide(&name)
            }
            (Kind::Service, _) => {
                let (key, mut service) = read_service(root, &default_namespace)?;
                service.location = location;
                self.manifests.services.insert(key.clone(), service);
                key
            }
            _ => {
                let (key, mut pod) = read_pod(root, &default_namespace)?;
                pod.location = location;
                match read_owner(root, &key)? {
                    Some(owner) => drop(self.manifests.owners.insert(key.clone(), owner)),
                    None => drop(self.manifests.owners.remove(&key)),
                }
                self.manifests.pods.insert(key.clone(), pod);
                key
            }
        };
        self.note(root, kind, key);
        Ok(())
    }

    fn take_policy(&mut self, root: &Field, reading: PolicyReading) {
        let (key, policy) = match reading {
            PolicyReading::Read { key, policy, problems } => {
                self.problems.extend(problems);
                (key, policy)
            }
            PolicyReading::Refused { mut key, closing, problem } => {
                self.problems.push(problem);
                // Two objects on one line of JSON, neither with a name: none may stand in for the other.
                let nameless = rough_key(root.tree).1.is_none();
                while nameless && self.manifests.policies.contains_key(&key) {
                    key.name = format!("{}-too", key.name).into();
                }
                (key, closing)
            }
            PolicyReading::Unreadable(problem) => return self.problems.push(problem),
        };
        self.manifests.policies.insert(key.clone(), policy);
        self.note(root, Kind::NetworkPolicy, key);
    }

    /// Notes where an object stands, and reports that an earlier one of its name is replaced, as `kubectl apply`
    /// would do.
    fn note(&mut self, root: &Field, kind: Kind, key: ObjectKey) {
        let here = Location { file: self.file.clone(), line: root.tree.line.unwrap_or_default() };
        let name =
            if kind.has_namespace() { key.to_string() } else { printable_name(&key.name).into_owned() };
        if let Some(first) = self.seen.places.insert((kind, key), here) {
            let message = format!("the same object stands at {}:{}", first.file, first.line);
            let outcome = "this later one is used: remove one of the two";
            let object = format!("{} {name}", kind.name());
            self.report(root.fault(message), Some(object), outcome, Consequence::Ignored);
        }
    }

    fn location(&self, root: &Field) -> Option<Location> {
        Some(Location { file: self.file.clone(), line: root.tree.line? })
    }

    fn report(&mut self, fault: Fault, object: Option<String>, outcome: &str, consequence: Consequence) {
        self.problems.push(fault.problem(Some(&self.file), object, outcome, consequence));
    }
}

/// Reads `apiVersion` and `kind`, without which a document is no object.
fn read_header(root: &Field, default: Option<&Header>) -> Reading<Header> {
    root.mapping().map_err(|mut fault| {
        fault.message = format!("the document {}", fault.message);
        fault
    })?;
    let text = |name: &str, default: Option<&Arc<str>>| match (root.text(name)?, default) {
        (Some(text), _) => Ok(text.clone()),
        (None, Some(default)) => Ok(default.clone()),
        (None, None) => {
            match root.tree.entries().iter().find(|entry| suggestion(&entry.key.text, &[name]).is_some()) {
                Some(entry) if *entry.key.text != *name => {
                    Err(root.fault_at(entry, format!("{name} is missing; did you mean it here?")))
                }
                _ => root.require(name).map(|_| default.cloned().unwrap_or_default()),
            }
        }
    };
    Ok(Header {
        kind: text("kind", default.map(|header| &header.kind))?,
        api_version: text("apiVersion", default.map(|header| &header.api_version))?,
    })
}

/// The object as problems name it.
fn object(kind: &str, tree: &Tree) -> Option<String> {
    let kind = printable(kind);
    Some(match rough_key(tree) {
        (Some(namespace), Some(name)) => {
            format!("{kind} {}/{}", printable_name(&namespace), printable_name(&name))
        }
        (None, Some(name)) => format!("{kind} {}", printable_name(&name)),
        _ => kind,
    })
}
