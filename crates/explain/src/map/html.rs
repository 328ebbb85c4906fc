//! The map as one page that needs nothing else: style, script, picture and data are in it.

use super::Map;
use super::layout::Layout;

impl Map {
    /// The page.
    pub fn to_html(&self) -> String {
        let layout = Layout::of(self);
        let places = serde_json::to_string(&layout.places).expect("numbers are always JSON");
        // In a script, nothing that could end it.
        let data = self.to_json().replace('<', "\\u003c");
        let parts = [
            ("/*picture-style*/", include_str!("picture.css")),
            ("/*style*/", include_str!("page.css")),
            ("/*script*/", include_str!("page.js")),
            ("<!--picture-->", &self.picture(&layout, "", "")),
            ("/*places*/", &places),
            // The last: what objects are called must not be taken for a part.
            ("/*data*/", data.trim_end()),
        ];
        let page = include_str!("page.html").to_owned();
        parts.iter().fold(page, |page, (mark, part)| page.replacen(mark, part, 1))
    }
}
