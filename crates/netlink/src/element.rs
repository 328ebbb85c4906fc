//! Elements of sets as the kernel keeps them.
//!
//! A range is two elements there, its first key and, marked as an end, the key after its last. A range up to the
//! last key of all has no end. In an anonymous set there is no end where the next range follows at once. nft starts
//! most sets with an end at zero, which matches nothing; we do not write it, and read it.

use std::collections::BTreeMap;

use podwall_ruleset::{Element, Key, ValueType};

use crate::consts::ELEMENT_INTERVAL_END;
use crate::userdata;
use crate::value;

/// An element of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawElement {
    pub(crate) key: Vec<u8>,
    pub(crate) end: bool,
    pub(crate) verdict: Option<(u32, Option<String>)>,
    pub(crate) userdata: Option<Vec<u8>>,
}

impl RawElement {
    /// Not fewer bytes than it takes in a message.
    pub(crate) fn bytes_at_most(&self) -> usize {
        let verdict = self
            .verdict
            .as_ref()
            .map_or(0, |(_, chain)| 20 + chain.as_ref().map_or(0, |name| name.len() + 8));
        let userdata = self.userdata.as_ref().map_or(0, |bytes| bytes.len() + 8);
        24 + self.key.len() + verdict + userdata
    }

    /// The flags, where they are not all unset.
    pub(crate) fn flags(&self) -> Option<u32> {
        self.end.then_some(ELEMENT_INTERVAL_END)
    }
}

/// What an element is in the kernel: one element, or two.
pub(crate) fn encode(key: &Key, element: &Element) -> Vec<RawElement> {
    let start = |key, open| RawElement {
        key,
        end: false,
        verdict: element.verdict.as_ref().map(|verdict| {
            let (code, chain) = value::verdict_code(verdict);
            (code, chain.map(|chain| chain.as_str().to_owned()))
        }),
        userdata: userdata::of_element(element.comment.as_ref(), open),
    };
    match key {
        Key::Exact(values) => vec![start(value::key_bytes(values), false)],
        Key::Range(first, last) => {
            let end = value::after(&value::bytes(last));
            let mut raw = vec![start(value::bytes(first), end.is_none())];
            raw.extend(end.map(|key| RawElement { key, end: true, verdict: None, userdata: None }));
            raw
        }
    }
}

/// What the elements of an anonymous set are. Where a range follows another at once, the end of the one is left out, as
/// nft does: of the two elements of that key, kernels such as 5.10 may meet the end first, and for an anonymous set that is
/// their answer. The first key of the second range was then in none.
pub(crate) fn encode_constant(elements: &BTreeMap<Key, Element>) -> Vec<Vec<RawElement>> {
    let mut all: Vec<Vec<RawElement>> = Vec::with_capacity(elements.len());
    for (key, element) in elements {
        let raw = encode(key, element);
        if let Some(before) = all.last_mut() {
            before.retain(|it| !(it.end && it.key == raw[0].key));
        }
        all.push(raw);
    }
    all
}

/// What a key is in a message that removes it.
pub(crate) fn encode_key(key: &Key) -> Vec<RawElement> {
    let mut raw = encode(key, &Element::default());
    for element in &mut raw {
        element.userdata = None;
    }
    raw
}

/// The elements of a set. `Err` says what is not ours.
pub(crate) fn decode(
    key_type: &[ValueType],
    interval: bool,
    map: bool,
    raw: Vec<RawElement>,
) -> Result<BTreeMap<Key, Element>, String> {
    let element = |raw: &RawElement| {
        let verdict = match &raw.verdict {
            Some((code, chain)) => Some(value::verdict(*code, chain.as_deref()).ok_or("an unknown verdict")?),
            None => None,
        };
        if verdict.is_some() != map {
            return Err("an element with too much or too little".to_owned());
        }
        let comment = userdata::comment(raw.userdata.as_deref(), userdata::COMMENT)
            .map_err(|()| "a comment that we would not write")?;
        Ok(Element { verdict, comment })
    };
    if interval {
        return decode_ranges(key_type, raw, element);
    }
    let mut elements = BTreeMap::new();
    for raw in &raw {
        let values =
            value::key_from_bytes(key_type, &raw.key).filter(|_| !raw.end).ok_or("a key of another type")?;
        elements.insert(Key::Exact(values.into_iter().collect()), element(raw)?);
    }
    Ok(elements)
}

fn decode_ranges(
    key_type: &[ValueType],
    mut raw: Vec<RawElement>,
    element: impl Fn(&RawElement) -> Result<Element, String>,
) -> Result<BTreeMap<Key, Element>, String> {
    let [part] = key_type else { return Err("ranges in a concatenation".to_owned()) };
    let read = |key: &[u8]| value::from_bytes(*part, key).ok_or("a key of another type");
    // Where a range ends and the next begins, the end comes first.
    raw.sort_by(|a, b| a.key.cmp(&b.key).then(b.end.cmp(&a.end)));
    let mut elements = BTreeMap::new();
    for (index, start) in raw.iter().enumerate().filter(|(_, raw)| !raw.end) {
        let last = match raw.get(index + 1) {
            Some(next) => {
                value::before(&next.key).filter(|last| *last >= start.key).ok_or("an empty range")?
            }
            None => vec![255; start.key.len()],
        };
        elements.insert(Key::Range(read(&start.key)?, read(&last)?), element(start)?);
    }
    Ok(elements)
}

#[cfg(test)]
mod tests {
    use podwall_ruleset::{Comment, Value, Verdict};

    use super::*;

    #[test]
    fn ranges_come_back() {
        let elements: BTreeMap<Key, Element> = [(0, 0), (1, 7), (9, 9), (10, 65534), (65535, 65535)]
            .into_iter()
            .map(|(first, last)| {
                let element = Element { verdict: Some(Verdict::Drop), comment: Some(Comment::new("x")) };
                (Key::Range(Value::Port(first), Value::Port(last)), element)
            })
            .collect();
        let mut raw: Vec<_> = elements.iter().flat_map(|(key, element)| encode(key, element)).collect();
        raw.reverse();
        assert_eq!(decode(&[ValueType::Port], true, true, raw.clone()), Ok(elements.clone()));
        // As anonymous sets are written: an end where nothing follows, and none elsewhere.
        let mut raw = encode_constant(&elements).concat();
        let ends: Vec<_> = raw.iter().filter(|raw| raw.end).map(|raw| raw.key.clone()).collect();
        assert_eq!(ends, [[0, 8]]);
        // nft's.
        raw.push(RawElement { key: vec![0, 0], end: true, verdict: None, userdata: None });
        assert_eq!(decode(&[ValueType::Port], true, true, raw), Ok(elements));
    }
}
