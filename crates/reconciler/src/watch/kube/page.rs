//! A page of a list, cut into its objects as its bytes arrive.

use serde::Deserialize;

use super::answer::OBJECT_LIMIT;
use super::failure::Failure;

/// The longest of what surrounds the objects of a page.
const ENVELOPE_LIMIT: usize = 64 << 10;

/// Cuts the items out of `{"kind":"PodList","metadata":{...},"items":[{...},{...}]}`. It knows strings and brackets
/// and nothing else of JSON, so that what is wrong within one item stays within it.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    /// All but the items.
    envelope: Vec<u8>,
    /// The item that is being read.
    item: Vec<u8>,
    /// The item was handed out.
    taken: bool,
    depth: usize,
    in_items: bool,
    in_string: bool,
    /// The last byte was the backslash that escapes this one.
    escaped: bool,
}

/// What surrounds the objects of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The version of the list.
    pub version: String,
    /// The token of the next page, unless this is the last.
    pub next: Option<String>,
}

/// The depth of the list of items, which is a field of the whole.
const ITEMS: usize = 2;

impl Cutter {
    /// The next whole item, as text; takes from `bytes` what it has read.
    pub fn cut<'a>(&'a mut self, bytes: &mut &[u8]) -> Result<Option<&'a [u8]>, Failure> {
        if std::mem::take(&mut self.taken) {
            self.item.clear();
        }
        let text = *bytes;
        let mut at = 0;
        while at < text.len() {
            let run = self.run(&text[at..]);
            let target = if self.in_items { &mut self.item } else { &mut self.envelope };
            target.extend_from_slice(&text[at..at + run]);
            at += run;
            let Some(byte) = text.get(at) else { break };
            at += 1;
            if self.turn(*byte) {
                *bytes = &text[at..];
                self.taken = true;
                return Ok(Some(&self.item));
            }
        }
        *bytes = &[];
        if self.item.len() > OBJECT_LIMIT || self.envelope.len() > ENVELOPE_LIMIT {
            return Err(Failure::Unreadable("the list is not one".to_owned()));
        }
        Ok(None)
    }

    /// How many bytes mean nothing to us.
    fn run(&self, text: &[u8]) -> usize {
        let meaning = |byte: &u8| match byte {
            b'"' | b'\\' => true,
            b'{' | b'}' | b'[' | b']' | b',' => !self.in_string,
            _ => false,
        };
        if self.escaped { 0 } else { text.iter().position(meaning).unwrap_or(text.len()) }
    }

    /// Takes a byte that may mean something. True when an item has ended before it.
    fn turn(&mut self, byte: u8) -> bool {
        let between_items = self.in_items && self.depth == ITEMS && !self.in_string;
        if between_items && matches!(byte, b',' | b']') {
            if byte == b']' {
                (self.in_items, self.depth) = (false, ITEMS - 1);
                self.envelope.push(byte);
            }
            return !self.item.trim_ascii().is_empty();
        }
        if self.in_items { &mut self.item } else { &mut self.envelope }.push(byte);
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = self.in_string,
            b'"' => self.in_string = !self.in_string,
            b'{' | b'[' if !self.in_string => {
                self.depth += 1;
                self.in_items |= byte == b'[' && self.depth == ITEMS && self.is_items();
            }
            b'}' | b']' if !self.in_string => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        false
    }

    /// True when the list that begins is the value of `items`.
    fn is_items(&self) -> bool {
        let name = self.envelope.strip_suffix(b"[").map(<[u8]>::trim_ascii_end);
        let name = name.and_then(|text| text.strip_suffix(b":")).map(<[u8]>::trim_ascii_end);
        name.is_some_and(|text| text.ends_with(b"\"items\""))
    }

    /// What the page says beside its items, when all of it was read.
    pub fn finish(self) -> Result<Page, Failure> {
        #[derive(Deserialize)]
        struct Envelope {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            resource_version: String,
            #[serde(default)]
            r#continue: String,
        }
        if self.depth > 0 || self.in_string {
            return Err(Failure::Disconnected("the list ended before its end".to_owned()));
        }
        let envelope: Envelope = serde_json::from_slice(&self.envelope)
            .map_err(|error| Failure::Unreadable(format!("the list is not one: {error}")))?;
        let Metadata { resource_version: version, r#continue: next } = envelope.metadata;
        Ok(Page { version, next: Some(next).filter(|token| !token.is_empty()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The items and the rest, when the text arrives in pieces of this size.
    fn cut(text: &str, size: usize) -> (Vec<String>, Result<Page, Failure>) {
        let (mut cutter, mut items) = (Cutter::default(), Vec::new());
        for mut piece in text.as_bytes().chunks(size) {
            while let Some(item) = cutter.cut(&mut piece).unwrap() {
                items.push(String::from_utf8(item.to_vec()).unwrap().trim().to_owned());
            }
        }
        (items, cutter.finish())
    }

    #[test]
    fn items_are_cut_out_wherever_the_pieces_end() {
        let text = r#"{"kind":"PodList","metadata":{"resourceVersion":"7","continue":"to]ken"}, "items" : [
            {"a":"}],[{\"\\","items":[1,[2]]},{} , null,[1,2], 5,"x,\\\"]"], "more":[1]}"#;
        let expected = [r#"{"a":"}],[{\"\\","items":[1,[2]]}"#, "{}", "null", "[1,2]", "5", r#""x,\\\"]""#];
        for size in 1..=text.len() {
            let (items, page) = cut(text, size);
            assert_eq!(items, expected, "in pieces of {size}");
            assert_eq!(page, Ok(Page { version: "7".into(), next: Some("to]ken".into()) }));
        }
    }

    #[test]
    fn lists_without_items_and_texts_that_are_no_lists() {
        let empty = r#"{"metadata":{"resourceVersion":"7"},"items":null}"#;
        assert_eq!(cut(empty, 9), (vec![], Ok(Page { version: "7".into(), next: None })));
        let empty = r#"{"items":[],"metadata":{"resourceVersion":"7"}}"#;
        assert_eq!(cut(empty, 9), (vec![], Ok(Page { version: "7".into(), next: None })));
        for text in ["", "<html>", "[]", r#"{"items":[]}"#, "{} {}"] {
            assert!(matches!(cut(text, 9).1, Err(Failure::Unreadable(_))), "{text}");
        }
        for text in ["{", r#"{"items":[{"#, r#"{"items":[{}],"metadata":{"resourceVersion":"7"}"#, "{\"a"] {
            assert!(matches!(cut(text, 9).1, Err(Failure::Disconnected(_))), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_within_an_item_stays_there() {
        let text = r#"{"items":[{"a":nonsense},{"b":1}],"metadata":{"resourceVersion":"7"}}"#;
        assert_eq!(cut(text, 3).0, [r#"{"a":nonsense}"#, r#"{"b":1}"#]);
    }
}
