//! The document as a tree that can be deserialised again and again, with faulty parts taken out in between.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::key_path::{KeyPath, Segment};

/// A value and the bytes of the file it stands at.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) span: Range<usize>,
}

/// What a node holds. The last two only arise while mistakes are being collected.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    String(String),
    Integer(i64),
    Unsigned(u64),
    /// Valid TOML that fits no integer type of ours.
    HugeInteger,
    Float(f64),
    Boolean(bool),
    Datetime,
    Array(Vec<Node>),
    Table(Vec<Entry>),
    /// A mistake was reported here; reads as whatever its reader wants, so that the rest of the file is still looked at.
    Hole,
    /// Taken out altogether; reads as absent, but keeps the indices of its neighbours.
    Gone,
}

/// One key of a table, in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) fn from_table(table: &DeTable<'_>, span: Range<usize>) -> Self {
        let mut entries: Vec<Entry> = table
            .iter()
            .map(|(key, value)| Entry {
                key: key.get_ref().to_string(),
                key_span: key.span(),
                value: Self::from_value(value),
            })
            .collect();
        entries.sort_by_key(|entry| entry.key_span.start);
        Self { kind: Kind::Table(entries), span }
    }

    fn from_value(value: &Spanned<DeValue<'_>>) -> Self {
        let span = value.span();
        let kind = match value.get_ref() {
            DeValue::String(text) => Kind::String(text.to_string()),
            DeValue::Integer(integer) => from_integer(integer),
            DeValue::Float(float) => Kind::Float(float.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(boolean) => Kind::Boolean(*boolean),
            DeValue::Datetime(_) => Kind::Datetime,
            DeValue::Array(elements) => Kind::Array(elements.iter().map(Self::from_value).collect()),
            DeValue::Table(table) => return Self::from_table(table, span),
        };
        Self { kind, span }
    }

    /// A stand-in for a required key that the file leaves out.
    pub(crate) fn hole() -> Self {
        Self { kind: Kind::Hole, span: 0..0 }
    }

    pub(crate) fn is_hole(&self) -> bool {
        matches!(self.kind, Kind::Hole)
    }

    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.kind, Kind::Gone)
    }

    /// Whether a mistake was already taken out of this value, so that complaints about the whole may be of our making.
    pub(crate) fn is_touched(&self) -> bool {
        match &self.kind {
            Kind::Hole | Kind::Gone => true,
            Kind::Array(elements) => elements.iter().any(Self::is_touched),
            Kind::Table(entries) => entries.iter().any(|entry| entry.value.is_touched()),
            _ => false,
        }
    }

    pub(crate) fn child(&mut self, key: &str) -> Option<&mut Node> {
        match &mut self.kind {
            Kind::Table(entries) => entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value),
            _ => None,
        }
    }

    fn step(&mut self, segment: &Segment) -> Option<&mut Node> {
        match segment {
            Segment::Key(key) => self.child(key),
            Segment::Index(index) => match &mut self.kind {
                Kind::Array(elements) => elements.get_mut(*index),
                _ => None,
            },
        }
    }

    /// The node at `path`, or the hole that the path runs into; None if there is no such node.
    pub(crate) fn find(&mut self, path: &KeyPath) -> Option<&mut Node> {
        let mut node = self;
        for segment in &path.0 {
            if node.is_hole() {
                return Some(node);
            }
            node = node.step(segment)?;
        }
        Some(node)
    }
}

fn from_integer(integer: &DeInteger<'_>) -> Kind {
    let (digits, radix) = (integer.as_str(), integer.radix());
    if let Ok(value) = i64::from_str_radix(digits, radix) {
        Kind::Integer(value)
    } else if let Ok(value) = u64::from_str_radix(digits, radix) {
        Kind::Unsigned(value)
    } else {
        Kind::HugeInteger
    }
}
