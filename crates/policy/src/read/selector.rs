//! Label selectors as written.

use super::fault::Reading;
use super::field::Field;
use crate::selector::{LabelSelector, Operator, Requirement};

/// Reads a label selector; `matchLabels` and `matchExpressions` may be absent, null or empty (S29, S40). Keys and
/// values are taken as they are: what the API server let in once is still in force (S161).
pub(super) fn read_selector(field: &Field) -> Reading<LabelSelector> {
    field.known(&["matchLabels", "matchExpressions"])?;
    let mut requirements = Vec::new();
    if let Some(labels) = field.get("matchLabels") {
        let pairs = labels.string_map()?;
        requirements.extend(
            pairs.into_iter().map(|(key, value)| Requirement { key, operator: Operator::In([value].into()) }),
        );
    }
    if let Some(expressions) = field.get("matchExpressions") {
        for expression in expressions.list()? {
            requirements.push(read_expression(&expression)?);
        }
    }
    Ok(LabelSelector::new(requirements))
}

fn read_expression(field: &Field) -> Reading<Requirement> {
    field.known(&["key", "operator", "values"])?;
    let key_field = field.require("key")?;
    let key = key_field.string()?.clone();
    if key.is_empty() {
        return Err(key_field.fault("the key must not be empty"));
    }
    let mut values = std::collections::BTreeSet::new();
    if let Some(list) = field.get("values") {
        for value in list.list()? {
            values.insert(value.string()?.clone());
        }
    }
    let operator_field = field.require("operator")?;
    let name = operator_field.string()?;
    let operator = match (&**name, values.is_empty()) {
        ("In", false) => Operator::In(values),
        ("NotIn", false) => Operator::NotIn(values),
        ("Exists", true) => Operator::Exists,
        ("DoesNotExist", true) => Operator::DoesNotExist,
        ("In" | "NotIn", true) => {
            return Err(operator_field.fault(format!("{name} needs at least one of values")));
        }
        ("Exists" | "DoesNotExist", false) => {
            return Err(operator_field.fault(format!("{name} takes no values")));
        }
        _ => {
            let name = super::fault::printable(name);
            let message = format!("unknown operator {name}; it may be In, NotIn, Exists or DoesNotExist");
            return Err(operator_field.fault(message));
        }
    };
    Ok(Requirement { key, operator })
}
