//! The user data of objects: what nft keeps with them in the kernel, as type, length and value, a byte for each
//! of the first two.

use podwall_ruleset::{Comment, Set};

use crate::value::key_byte_order;

/// The comment of a chain, a rule or an element.
pub(crate) const COMMENT: u8 = 0;
/// The comment of a set.
pub(crate) const SET_COMMENT: u8 = 7;

const SET_KEY_BYTE_ORDER: u8 = 0;
const SET_DATA_BYTE_ORDER: u8 = 1;
const SET_DATA_INTERVAL: u8 = 6;
const ELEMENT_FLAGS: u8 = 1;
const ELEMENT_INTERVAL_OPEN: u32 = 1;

/// The user data of a chain or rule; `None` if there is nothing to keep.
pub(crate) fn of_comment(comment: Option<&Comment>) -> Option<Vec<u8>> {
    comment.map(|comment| {
        let mut bytes = Vec::new();
        put_text(&mut bytes, COMMENT, comment);
        bytes
    })
}

/// The user data of a set. Without the byte order nft shows interface names as empty.
pub(crate) fn of_set(set: &Set) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_number(&mut bytes, SET_KEY_BYTE_ORDER, key_byte_order(&set.key_type));
    if set.map {
        put_number(&mut bytes, SET_DATA_BYTE_ORDER, 0);
        put_number(&mut bytes, SET_DATA_INTERVAL, 0);
    }
    if let Some(comment) = &set.comment {
        put_text(&mut bytes, SET_COMMENT, comment);
    }
    bytes
}

/// The user data of an element. `open` is for the start of a range without an end, which only a range up to the
/// last value of its type is.
pub(crate) fn of_element(comment: Option<&Comment>, open: bool) -> Option<Vec<u8>> {
    let mut bytes = of_comment(comment).unwrap_or_default();
    if open {
        put_number(&mut bytes, ELEMENT_FLAGS, ELEMENT_INTERVAL_OPEN);
    }
    (!bytes.is_empty()).then_some(bytes)
}

/// The comment in user data: `Err` if there is one that we would not have written.
pub(crate) fn comment(bytes: Option<&[u8]>, kind: u8) -> Result<Option<Comment>, ()> {
    let mut rest = bytes.unwrap_or_default();
    while let [found, length, after @ ..] = rest {
        let (value, after) = after.split_at_checked(usize::from(*length)).ok_or(())?;
        if *found == kind {
            let text = value.strip_suffix(b"\0").and_then(|text| std::str::from_utf8(text).ok()).ok_or(())?;
            let comment = Comment::new(text);
            return if comment.as_str() == text { Ok(Some(comment)) } else { Err(()) };
        }
        rest = after;
    }
    Ok(None)
}

fn put_number(bytes: &mut Vec<u8>, kind: u8, number: u32) {
    bytes.extend([kind, 4]);
    bytes.extend(number.to_ne_bytes());
}

fn put_text(bytes: &mut Vec<u8>, kind: u8, text: &Comment) {
    // A comment has at most 120 bytes.
    bytes.extend([kind, text.as_str().len() as u8 + 1]);
    bytes.extend(text.as_str().as_bytes());
    bytes.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_come_back() {
        let set =
            Set::new(&[podwall_ruleset::ValueType::Ipv4]).to_verdicts().with_comment(Comment::new("x y"));
        let bytes = of_set(&set);
        assert_eq!(comment(Some(&bytes), SET_COMMENT), Ok(set.comment));
        assert_eq!(
            comment(of_element(Some(&Comment::new("é")), true).as_deref(), COMMENT),
            Ok(Some(Comment::new("?")))
        );
        assert_eq!(comment(None, COMMENT), Ok(None));
    }

    #[test]
    fn what_others_wrote_is_told_apart() {
        assert_eq!(comment(Some(b"\0\x02\"\0"), COMMENT), Err(()));
        assert_eq!(comment(Some(b"\0\x02ab"), COMMENT), Err(()));
        assert_eq!(comment(Some(b"\0\x09a\0"), COMMENT), Err(()));
    }
}
