//! Where everything is on the picture: a box for each namespace, its workloads as rows, boxes in columns.

use super::Map;

/// One row, in pixels.
pub(super) const ROW: usize = 20;
/// The width of a box.
pub(super) const WIDTH: usize = 230;
/// From a column to the next: edges run between.
const COLUMN: usize = WIDTH + 110;
const MARGIN: usize = 20;
/// The title of a box.
pub(super) const TITLE: usize = 26;
const GAP: usize = 24;

/// A box of one namespace, or of what is outside.
pub(super) struct Box<'m> {
    pub title: &'m str,
    pub x: usize,
    pub y: usize,
    pub ends: Vec<usize>,
}

impl Box<'_> {
    pub fn height(&self) -> usize {
        TITLE + self.ends.len() * ROW + 8
    }
}

/// The whole picture.
pub(super) struct Layout<'m> {
    pub boxes: Vec<Box<'m>>,
    pub width: usize,
    pub height: usize,
    /// The upper left corner of each end.
    pub places: Vec<(usize, usize)>,
}

impl<'m> Layout<'m> {
    /// Boxes in the order of their names, workloads in that of theirs, each box on the shortest column. As many columns as
    /// make it about as wide as high.
    pub fn of(map: &'m Map) -> Self {
        let mut boxes = Vec::new();
        for namespace in map.namespaces().into_iter().map(Some).chain([None]) {
            let is_in = |end: &usize| map.ends[*end].namespace.as_deref() == namespace;
            let mut ends: Vec<usize> = (0..map.ends.len()).filter(is_in).collect();
            if namespace.is_some() {
                ends.sort_by_key(|end| &map.ends[*end].name);
            }
            if !ends.is_empty() {
                boxes.push(Box { title: namespace.unwrap_or("outside"), x: 0, y: 0, ends });
            }
        }
        let rows: usize = boxes.iter().map(|it| it.height() + GAP).sum();
        let wanted = (1..).find(|columns| columns * COLUMN >= rows / columns).unwrap_or(1);
        let mut columns = vec![MARGIN; wanted.clamp(1, boxes.len().max(1))];
        let mut places = vec![(0, 0); map.ends.len()];
        for it in &mut boxes {
            let shortest = (0..columns.len()).min_by_key(|column| columns[*column]).unwrap_or(0);
            (it.x, it.y) = (MARGIN + shortest * COLUMN, columns[shortest]);
            columns[shortest] += it.height() + GAP;
            for (row, end) in it.ends.iter().enumerate() {
                places[*end] = (it.x, it.y + TITLE + row * ROW);
            }
        }
        let height = columns.iter().copied().max().unwrap_or(MARGIN);
        Self { boxes, width: 2 * MARGIN + columns.len() * COLUMN, height, places }
    }
}
