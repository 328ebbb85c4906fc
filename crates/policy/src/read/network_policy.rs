//! NetworkPolicy: read strictly, since what is dropped from a policy changes what is open.

use std::sync::Arc;

use super::fault::{Fault, Reading, printable, printable_name};
use super::field::Field;
use super::kind::Kind;
use super::metadata::{
    NameRule, check_defects, check_indentation, check_top_level, read_metadata, read_mode, rough_key,
};
use super::rule::{Direction, read_rules};
use super::selector::read_selector;
use crate::model::{Location, Mode, NetworkPolicy, ObjectKey};
use crate::problem::{Consequence, Problem};
use crate::selector::LabelSelector;
use crate::tree::{Tree, Value};

/// What became of an object that is meant to be a NetworkPolicy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyReading {
    /// It was understood, but for entries that match nothing and are among the problems.
    Read {
        /// Its name.
        key: ObjectKey,
        /// The policy.
        policy: NetworkPolicy,
        /// Its entries that were not understood.
        problems: Vec<Problem>,
    },
    /// It was refused.
    Refused {
        /// Its name; made up from its place if it has none that can be read.
        key: ObjectKey,
        /// What stands in for it where no earlier version is known: it closes the pods that the policy may select,
        /// all of its namespace if that cannot be told.
        closing: NetworkPolicy,
        /// Why.
        problem: Problem,
    },
    /// It is not an object that says anything: its indentation was lost.
    Unreadable(Problem),
}

/// Fields that belong into `spec` or deeper.
const SPEC: [&str; 4] = ["podSelector", "policyTypes", "ingress", "egress"];
const BELOW_SPEC: [&str; 10] = [
    "from",
    "to",
    "ports",
    "matchLabels",
    "matchExpressions",
    "namespaceSelector",
    "ipBlock",
    "cidr",
    "except",
    "endPort",
];

const REFUSED: &str = "refused: the pods it may select are closed until it is mended";
const KEPT: &str = "refused: its last good version stays in force until it is mended";
const CLOSED: &str = "this entry matches nothing until it is mended, and the policy isolates all the same";
const ENFORCED: &str = "the policy is enforced until the annotation is mended";
const UNREADABLE: &str = "it is neither read as closing nor as opening anything: restore the indentation";

/// Reads one NetworkPolicy and applies the defaults of the API server (S15). An object of the API's own lists has
/// neither `apiVersion` nor `kind`, and needs none.
pub fn read_policy(tree: &Tree, file: Option<&Arc<str>>, default_namespace: &str) -> PolicyReading {
    let default_namespace: Arc<str> = default_namespace.into();
    let mut closed = Vec::new();
    let place = Place { tree, file };
    match read_object(tree, &default_namespace, &mut closed) {
        Ok((key, mut policy)) => {
            policy.location = place.location();
            let problems = place.take_mode(&key, &mut policy, closed);
            PolicyReading::Read { key, policy, problems }
        }
        Err(fault) if fault.unreadable => {
            let object = place.object();
            PolicyReading::Unreadable(fault.problem(file, object, UNREADABLE, Consequence::Unreadable))
        }
        Err(fault) => place.refuse(fault, &default_namespace),
    }
}

/// The problem of a policy that was refused, as it is where the last good version stays in force.
pub fn with_last_version_kept(problem: &Problem) -> Problem {
    Problem { message: problem.message.replace(REFUSED, KEPT), ..problem.clone() }
}

/// Reads a NetworkPolicy that the API server holds, and so is one: what cannot be read at all is refused.
pub(super) fn read_stored_policy(tree: &Tree) -> PolicyReading {
    let mut closed = Vec::new();
    match read_object(tree, &"".into(), &mut closed) {
        Ok((key, mut policy)) => {
            let problems = Place { tree, file: None }.take_mode(&key, &mut policy, closed);
            PolicyReading::Read { key, policy, problems }
        }
        Err(fault) => Place { tree, file: None }.refuse(fault, &"".into()),
    }
}

/// Refuses an object that was probably meant to be a NetworkPolicy, and closes what it may select.
pub(super) fn refuse_policy(
    tree: &Tree,
    fault: Fault,
    file: Option<&Arc<str>>,
    default_namespace: &Arc<str>,
) -> PolicyReading {
    Place { tree, file }.refuse(fault, default_namespace)
}

fn read_object(
    tree: &Tree,
    default_namespace: &Arc<str>,
    closed: &mut Vec<Fault>,
) -> Reading<(ObjectKey, NetworkPolicy)> {
    let root = Field::root(tree);
    check_top_level(&root, &[SPEC.as_slice(), BELOW_SPEC.as_slice()].concat())?;
    let spec = root.require("spec").map_err(Fault::unreadable)?;
    spec.mapping().map_err(Fault::unreadable)?;
    check_indentation(&spec, &SPEC, &BELOW_SPEC, "spec")?;
    check_version(&root)?;
    check_defects(&root)?;
    let metadata = read_metadata(&root, NameRule::Subdomain, default_namespace)?;
    Ok((metadata.key(), read_spec(&spec, closed)?))
}

fn check_version(root: &Field) -> Reading<()> {
    let expected = Kind::NetworkPolicy.api_version();
    if let Some(field) = root.get("apiVersion")
        && **field.string()? != *expected
    {
        let version = printable(field.string()?);
        return Err(field.fault(format!("{version} is not read for a NetworkPolicy: write {expected}")));
    }
    Ok(())
}

fn read_spec(spec: &Field, closed: &mut Vec<Fault>) -> Reading<NetworkPolicy> {
    spec.known(&SPEC)?;
    // Absent, null and empty all mean every pod of the namespace (S20, S29d).
    let pod_selector =
        spec.get("podSelector").map_or(Ok(LabelSelector::default()), |field| read_selector(&field))?;
    let ingress = read_rules(spec.get("ingress"), Direction::Ingress, closed)?;
    let egress = read_rules(spec.get("egress"), Direction::Egress, closed)?;
    let types = match spec.get("policyTypes") {
        Some(field) => read_types(&field)?,
        None => Types::default(),
    };
    let types = match types {
        // Nothing named: ingress, and egress if it has rules (S10 to S12).
        Types { ingress: false, egress: false } => Types { ingress: true, egress: !egress.is_empty() },
        named => named,
    };
    // Rules of a direction that is not among the types count for nothing (S13).
    Ok(NetworkPolicy {
        pod_selector,
        ingress: types.ingress.then_some(ingress),
        egress: types.egress.then_some(egress),
        mode: None,
        location: None,
    })
}

#[derive(Debug, Clone, Copy, Default)]
struct Types {
    ingress: bool,
    egress: bool,
}

fn read_types(field: &Field) -> Reading<Types> {
    let mut types = Types::default();
    // Order and repetition do not matter, but the API server takes two at most (S14).
    for (index, item) in field.list()?.enumerate() {
        if index == 2 {
            return Err(field.fault("policyTypes has more than two entries"));
        }
        match &**item.string()? {
            "Ingress" => types.ingress = true,
            "Egress" => types.egress = true,
            other => {
                let message =
                    format!("unknown policy type {}; it may be Ingress or Egress", printable(other));
                return Err(item.fault(message));
            }
        }
    }
    Ok(types)
}

/// The object as a place, for messages and for what must be closed though it could not be read.
struct Place<'a> {
    tree: &'a Tree,
    file: Option<&'a Arc<str>>,
}

impl Place<'_> {
    /// Reads the mode of a policy that was understood, but for the entries that match nothing. Returns the problems.
    fn take_mode(&self, key: &ObjectKey, policy: &mut NetworkPolicy, closed: Vec<Fault>) -> Vec<Problem> {
        let problem = |fault: Fault, outcome| {
            fault.problem(self.file, Some(format!("NetworkPolicy {key}")), outcome, Consequence::Closed)
        };
        let mut problems: Vec<Problem> = closed.into_iter().map(|fault| problem(fault, CLOSED)).collect();
        match read_mode(&Field::root(self.tree)) {
            Ok(mode) => policy.mode = mode,
            Err(fault) => {
                policy.mode = Some(Mode::Enforce);
                problems.push(problem(fault, ENFORCED));
            }
        }
        problems
    }

    fn location(&self) -> Option<Location> {
        Some(Location { file: self.file?.clone(), line: self.tree.line? })
    }

    fn object(&self) -> Option<String> {
        Some(match rough_key(self.tree) {
            (Some(namespace), Some(name)) => {
                format!("NetworkPolicy {}/{}", printable_name(&namespace), printable_name(&name))
            }
            (None, Some(name)) => format!("NetworkPolicy {}", printable_name(&name)),
            _ => "NetworkPolicy".to_owned(),
        })
    }

    fn refuse(&self, fault: Fault, default_namespace: &Arc<str>) -> PolicyReading {
        let (namespace, name) = rough_key(self.tree);
        let namespace = namespace.unwrap_or_else(|| default_namespace.clone());
        let object = match &name {
            Some(name) => format!("NetworkPolicy {}/{}", printable_name(&namespace), printable_name(name)),
            None => "NetworkPolicy".to_owned(),
        };
        let key = ObjectKey { namespace, name: name.unwrap_or_else(|| self.made_up_name()) };
        let closing = NetworkPolicy {
            pod_selector: self.rough_selector(),
            ingress: Some(Vec::new()),
            egress: Some(Vec::new()),
            mode: None,
            location: self.location(),
        };
        let problem = fault.problem(self.file, Some(object), REFUSED, Consequence::Refused);
        PolicyReading::Refused { key, closing, problem }
    }

    /// A name that no other object has: no two objects of a file begin on one line, but for those of JSON.
    fn made_up_name(&self) -> Arc<str> {
        let file = self.file.map_or("-", |file| &**file);
        let file: String =
            file.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
        format!("line-{}-of-{}", self.tree.line.unwrap_or_default(), file.to_lowercase()).into()
    }

    /// The pods it certainly selects if its podSelector can be read, else all.
    fn rough_selector(&self) -> LabelSelector {
        let Some(spec) = self.tree.get("spec") else { return LabelSelector::default() };
        let unambiguous = matches!(&spec.value.value, Value::Mapping(spec) if spec.defects.is_empty());
        let selector = spec.value.get("podSelector").map(|entry| &entry.value);
        selector
            .filter(|selector| unambiguous && selector.first_defect().is_none())
            .and_then(|selector| read_selector(&Field::root(selector)).ok())
            .unwrap_or_default()
    }
}
