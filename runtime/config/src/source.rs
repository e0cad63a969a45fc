//! Where each key of a file stands, kept after the text itself is gone (the text may hold secrets).

use std::collections::HashMap;
use std::ops::Range;

use crate::key_path::{KeyPath, Segment};
use crate::tree::{Kind, Node};

/// A place in a file; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// The name of a file and the place of every key and array element in it.
#[derive(Clone, Debug, Default)]
pub struct Source {
    file: String,
    positions: HashMap<String, Position>,
}

impl Source {
    pub(crate) fn new(file: &str, lines: &Lines<'_>, root: &Node) -> Self {
        let mut source = Self { file: file.to_owned(), positions: HashMap::new() };
        source.record(lines, &mut KeyPath::default(), root);
        source
    }

    /// The file's name as it was given to [`crate::parse`] or [`crate::load`].
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Where the key or element at `path` stands, or None if the file does not name it.
    #[must_use]
    pub fn position(&self, path: &str) -> Option<Position> {
        self.positions.get(path).copied()
    }

    /// Where the key at `path` stands or, if the file leaves it out, the nearest table around it.
    #[must_use]
    pub fn nearest(&self, path: &str) -> Option<Position> {
        let mut rest = path;
        loop {
            if let Some(position) = self.position(rest) {
                return Some(position);
            }
            // A dot inside a quoted key only costs a look-up that finds nothing.
            let cut = rest.rfind(['.', '['])?;
            rest = rest.get(..cut)?;
        }
    }

    fn record(&mut self, lines: &Lines<'_>, path: &mut KeyPath, node: &Node) {
        match &node.kind {
            Kind::Table(entries) => {
                for entry in entries {
                    path.0.push(Segment::Key(entry.key.clone()));
                    self.positions.insert(path.to_string(), lines.position(&entry.key_span));
                    self.record(lines, path, &entry.value);
                    path.0.pop();
                }
            }
            Kind::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    path.0.push(Segment::Index(index));
                    self.positions.insert(path.to_string(), lines.position(&element.span));
                    self.record(lines, path, element);
                    path.0.pop();
                }
            }
            _ => {}
        }
    }
}

/// Turns byte offsets of a text into lines and columns.
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(offset, _)| offset + 1);
        Self { text, starts: std::iter::once(0).chain(breaks).collect() }
    }

    pub(crate) fn position(&self, span: &Range<usize>) -> Position {
        let line = self.starts.partition_point(|start| *start <= span.start).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..span.start).unwrap_or("");
        Position { line, column: before.chars().count() + 1 }
    }
}
