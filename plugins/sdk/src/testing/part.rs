//! The double of a part of a body.

use std::cell::RefCell;
use std::ops::Deref;

use crate::body::{Kind, Side};

/// A part of a body.
#[derive(Clone, Debug)]
pub struct Part {
    kind: Kind,
    side: Side,
    content_type: Option<String>,
    last: bool,
    bytes: RefCell<Vec<u8>>,
}

impl Part {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whose body it is.
    #[must_use]
    pub fn side(&self) -> Side {
        self.side
    }

    /// The media type that the head announced, as sent.
    #[must_use]
    pub fn content_type(&self) -> Option<String> {
        self.content_type.clone()
    }

    /// Whether nothing follows.
    #[must_use]
    pub fn last(&self) -> bool {
        self.last
    }

    /// Its length in bytes, edits included.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bytes.borrow().len() as u64
    }

    /// At most `length` bytes from `offset`.
    #[must_use]
    pub fn read(&self, offset: u64, length: u32) -> Vec<u8> {
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        let take = usize::try_from(length).unwrap_or(usize::MAX);
        self.bytes.borrow().iter().skip(skip).take(take).copied().collect()
    }

    /// Puts these bytes in its place.
    pub fn replace(&self, bytes: &[u8]) {
        self.bytes.replace(bytes.to_vec());
    }
}

/// A part to show a plugin.
#[derive(Clone, Debug)]
pub struct PartBuilder(Part);

impl PartBuilder {
    /// A whole body of this media type.
    #[must_use]
    pub fn whole(side: Side, content_type: &str, bytes: &[u8]) -> Self {
        Self::of(Kind::Whole, side, content_type, bytes).last()
    }

    /// A part that others follow.
    #[must_use]
    pub fn of(kind: Kind, side: Side, content_type: &str, bytes: &[u8]) -> Self {
        let content_type = Some(content_type.to_owned()).filter(|text| !text.is_empty());
        Self(Part { kind, side, content_type, last: false, bytes: RefCell::new(bytes.to_vec()) })
    }

    /// That nothing follows.
    #[must_use]
    pub fn last(mut self) -> Self {
        self.0.last = true;
        self
    }
}

impl Deref for PartBuilder {
    type Target = Part;

    fn deref(&self) -> &Part {
        &self.0
    }
}
