//! Text of objects, as it may stand in messages, logs and tables for people.

use std::borrow::Cow;

/// How much of a text a message has, in characters.
const TEXT_CHARACTERS_MAX: usize = 100;
/// The longest name that Kubernetes gives, in characters.
const NAME_CHARACTERS_MAX: usize = 253;

/// Text of an object as it may stand in a message: bounded, and without what is not seen as itself, as control
/// characters, ends of lines and changes of direction.
pub fn printable(text: &str) -> String {
    bounded(text, TEXT_CHARACTERS_MAX).into_owned()
}

/// The same of a name, which is never cut when it is one that Kubernetes takes.
pub fn printable_name(text: &str) -> Cow<'_, str> {
    bounded(text, NAME_CHARACTERS_MAX)
}

fn bounded(text: &str, characters_max: usize) -> Cow<'_, str> {
    if text.len() <= characters_max && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Cow::Borrowed(text);
    }
    let mut printable = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == characters_max {
            printable.push('…');
            break;
        }
        match character {
            '"' | '\'' | '\\' => printable.push(character),
            _ => printable.extend(character.escape_debug()),
        }
    }
    Cow::Owned(printable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printable_is_seen_as_itself() {
        assert_eq!(printable("é \"a\\b' 日本 🧱"), "é \"a\\b' 日本 🧱");
        assert_eq!(
            printable("\u{1b}[2J\n\u{202e}\u{2028}\u{200b}"),
            "\\u{1b}[2J\\n\\u{202e}\\u{2028}\\u{200b}"
        );
        assert_eq!(printable(&"x".repeat(100_000)).chars().count(), 101);
    }

    #[test]
    fn names_are_whole() {
        let longest = "x".repeat(253);
        assert_eq!(printable_name(&longest), longest);
        assert_eq!(printable_name("a\nb"), "a\\nb");
        assert_eq!(printable_name(&"\u{7}".repeat(100_000)).matches("\\u{7}").count(), 253);
    }
}
