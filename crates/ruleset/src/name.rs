//! Names and comments that carry the kernel's limits, so that a refusal by the kernel is our bug and never the
//! user's.

use std::fmt;
use std::sync::Arc;

/// Longest name of a table, chain, set or map in bytes (`NFT_NAME_MAXLEN` less its terminator).
pub const NAME_BYTES_MAX: usize = 255;
/// Longest comment in bytes. The kernel keeps 256 bytes of user data; every nft refuses text over 128 bytes with
/// its terminator or its header, depending on the version, so we stay well below (S165).
pub const COMMENT_BYTES_MAX: usize = 120;
/// Longest interface name in bytes (`IFNAMSIZ` less its terminator).
pub const INTERFACE_BYTES_MAX: usize = 15;

/// Why a text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameError {
    /// The text that was refused.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.text, self.reason)
    }
}

impl std::error::Error for NameError {}

/// The name of a table, chain, set or map: an nft identifier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Checks that `text` is an nft identifier: a letter, then letters, digits, `/`, `-`, `_` and `.`.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let refuse = |reason| Err(NameError { text: text.to_owned(), reason });
        if text.len() > NAME_BYTES_MAX {
            return refuse("longer than 255 bytes");
        }
        if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return refuse("does not start with a letter");
        }
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.')) {
            return refuse("has a character other than letters, digits, / - _ and .");
        }
        Ok(Self(text.into()))
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a network interface, as the kernel takes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(Arc<str>);

impl InterfaceName {
    /// Checks what the kernel checks (1 to 15 bytes, no `/`, no space, not `.` or `..`), and refuses what would
    /// not survive being printed as nft syntax (`"`, `*`, `\`, `$`, control and non-ASCII characters).
    pub fn new(text: &str) -> Result<Self, NameError> {
        let refuse = |reason| Err(NameError { text: text.to_owned(), reason });
        if text.is_empty() || text.len() > INTERFACE_BYTES_MAX {
            return refuse("an interface name has 1 to 15 bytes");
        }
        if matches!(text, "." | "..") {
            return refuse("not an interface name");
        }
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | '"' | '*' | '\\' | '$' | ':');
        if !text.chars().all(plain) {
            return refuse("has a character that interface names may not have");
        }
        Ok(Self(text.into()))
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A comment for people. Made to fit: over-long text is cut at a character and ends in `…` as three dots, and
/// characters that nft's syntax or a terminal could take for something else become `?`. Nothing reads it back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Comment(Arc<str>);

impl Comment {
    /// Never fails: a comment must not be able to stop a transaction.
    pub fn new(text: &str) -> Self {
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '$') || c == ' ';
        let mut clean: String = text.chars().map(|c| if plain(c) { c } else { '?' }).collect();
        if clean.len() > COMMENT_BYTES_MAX {
            clean.truncate(COMMENT_BYTES_MAX - 3);
            clean.push_str("...");
        }
        Self(clean.into())
    }

    /// The text of the comment.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Comment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_what_nft_takes() {
        for good in ["podwall", "ingress/app/web-0a1b", "from/1.v4", "a", &"a".repeat(255)] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "1a", "a b", "a;drop", "a\"", "ä", &"a".repeat(256)] {
            assert!(Name::new(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn interface_names_cannot_become_syntax() {
        for good in ["veth1", "cali0123456789a", "eth0.100", "br-lan", "a@b"] {
            assert_eq!(InterfaceName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "veth*", "a\"b", "a b", "0123456789abcdef", "a\nb"] {
            assert!(InterfaceName::new(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn comments_always_fit() {
        assert_eq!(Comment::new("default/web").as_str(), "default/web");
        assert_eq!(Comment::new("a\"b\\c\nd$é").as_str(), "a?b?c?d??");
        let long = Comment::new(&"x".repeat(500));
        assert_eq!(long.as_str().len(), COMMENT_BYTES_MAX);
        assert!(long.as_str().ends_with("..."));
    }
}
