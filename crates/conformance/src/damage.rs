//! Damage: objects and text that somebody, or something, got wrong.

use serde_json::{Value, json};

use crate::random::Random;

/// Replaces, adds or removes one thing somewhere in a value.
pub fn damage(value: &mut Value, random: &mut Random) {
    let target = descend(value, random);
    match (random.below(4), target) {
        (0, Value::Object(fields)) => {
            fields.insert((*random.pick(&KEYS)).to_owned(), garbage(random));
        }
        (0, Value::Array(items)) => {
            items.insert(random.below(items.len() + 1), garbage(random));
        }
        (1, Value::Object(fields)) if !fields.is_empty() => {
            let key = fields.keys().nth(random.below(fields.len())).cloned();
            key.and_then(|key| fields.remove(&key));
        }
        (1, Value::Array(items)) if !items.is_empty() => drop(items.remove(random.below(items.len()))),
        (_, target) => *target = garbage(random),
    }
}

/// Changes a few bytes, or repeats, cuts or inserts a piece; `other` is where pieces may come from.
pub fn damage_text(text: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(text.len() + 1);
    let until = at + random.below((text.len() - at).min(64) + 1);
    match random.below(6) {
        0 if at < text.len() => text[at] ^= 1 << random.below(8),
        1 => drop(text.drain(at..until)),
        2 => {
            let piece = text[at..until].to_vec();
            text.splice(at..at, piece);
        }
        3 if !other.is_empty() => {
            let from = random.below(other.len());
            let to = from + random.below((other.len() - from).min(128) + 1);
            text.splice(at..until, other[from..to].iter().copied());
        }
        4 => text.truncate(at),
        _ => {
            text.splice(at..at, random.pick(&TOKENS).bytes());
        }
    }
}

/// Some value below this one, or itself.
fn descend<'a>(value: &'a mut Value, random: &mut Random) -> &'a mut Value {
    let children = match value {
        Value::Object(fields) => fields.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    };
    if children == 0 || random.below(4) == 0 {
        return value;
    }
    let chosen = random.below(children);
    let child = match value {
        Value::Object(fields) => fields.values_mut().nth(chosen),
        Value::Array(items) => items.get_mut(chosen),
        _ => None,
    };
    descend(child.expect("one of them"), random)
}

/// The field names of the API, some of them where they do not belong, and some that are none.
const KEYS: [&str; 20] = [
    "podSelector",
    "namespaceSelector",
    "ipBlock",
    "matchLabels",
    "matchExpressions",
    "key",
    "operator",
    "values",
    "cidr",
    "except",
    "from",
    "to",
    "ports",
    "port",
    "endPort",
    "protocol",
    "policyTypes",
    "ingress",
    "podSelctor",
    "",
];

/// What YAML and its readers stumble over.
const TOKENS: [&str; 24] = [
    "---\n",
    "...\n",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "|\n",
    ">-\n",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "#",
    "\t",
    "\r\n",
    "\u{feff}",
    "\0",
    "null",
    "~",
    "0x7fffffffffffffff",
];

/// A value that is wrong at most places, though not at all.
fn garbage(random: &mut Random) -> Value {
    let choices = [
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(80),
        json!(65_536),
        json!(1.5),
        json!(u64::MAX),
        json!(""),
        json!("80"),
        json!("garbage!"),
        json!("0.0.0.0/0"),
        json!("10.0.0.0/33"),
        json!("::ffff:10.0.0.0/90"),
        json!("Ingress"),
        json!("TCP"),
        json!("NotIn"),
        json!("\u{0}\u{202e}"),
        json!("x".repeat(300)),
        json!([]),
        json!([null]),
        json!([[]]),
        json!({}),
        json!({"": null}),
        json!([{}]),
        json!({"podSelector": {}}),
        json!({"cidr": "::/0"}),
        json!({"port": "http", "endPort": 1}),
        json!([{"ipBlock": {"cidr": "1.2.3.4/0"}}]),
        deep(150),
    ];
    random.pick(&choices).clone()
}

/// Lists within lists.
fn deep(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |inner, _| json!([inner]))
}
