//! Text for people: lines, none of which carries a control character that came from an object.

/// Lines of text.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// Appends a line, indented by `indent` blanks.
    pub fn line(&mut self, indent: usize, text: impl AsRef<str>) {
        self.0.extend(std::iter::repeat_n(' ', indent));
        self.0.push_str(&escaped(text.as_ref()));
        self.0.push('\n');
    }

    /// Appends an empty line, unless nothing stands above it.
    pub fn blank(&mut self) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
    }

    /// All of it.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// The text with its control characters written out.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => escaped.extend(character.escape_debug()),
            false => escaped.push(character),
        }
    }
    escaped
}

/// `a, b and 3 more`: the first `most` of them.
pub fn listed<T: AsRef<str>>(items: &[T], most: usize) -> String {
    let shown: Vec<&str> = items.iter().take(most).map(AsRef::as_ref).collect();
    match items.len().saturating_sub(most) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `1 pod`, `2 pods`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_gets_through() {
        let mut page = Page::default();
        page.line(2, "a\u{1b}[31mred\nb");
        assert_eq!(page.into_text(), "  a\\u{1b}[31mred\\nb\n");
    }

    #[test]
    fn lists_are_bounded() {
        assert_eq!(listed(&["a", "b"], 2), "a, b");
        assert_eq!(listed(&["a", "b", "c"], 1), "a and 2 more");
    }
}
