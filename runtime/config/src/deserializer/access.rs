//! The parts of arrays, tables and choices, with places added to the errors that come out of them.

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer as _, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::{HOLE, Reader, Result};
use crate::error::{Reason, TreeError};
use crate::key_path::Segment;
use crate::tree::{Entry, Node};

pub(super) struct Elements<'a> {
    rest: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'a> Elements<'a> {
    pub(super) fn new(elements: &'a [Node]) -> Self {
        Self { rest: elements.iter().enumerate() }
    }
}

impl<'a> SeqAccess<'a> for Elements<'a> {
    type Error = TreeError;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some((index, node)) = self.rest.find(|(_, node)| !node.is_gone()) else {
            return Ok(None);
        };
        seed.deserialize(Reader(node)).map(Some).map_err(|error| error.at(Segment::Index(index), node.is_hole()))
    }
}

pub(super) struct Entries<'a> {
    rest: std::slice::Iter<'a, Entry>,
    current: Option<&'a Entry>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(entries: &'a [Entry]) -> Self {
        Self { rest: entries.iter(), current: None }
    }
}

impl<'a> MapAccess<'a> for Entries<'a> {
    type Error = TreeError;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let Some(entry) = self.rest.find(|entry| !entry.value.is_gone()) else {
            return Ok(None);
        };
        self.current = Some(entry);
        let key = BorrowedStrDeserializer::new(&entry.key);
        seed.deserialize(key).map(Some).map_err(|error: TreeError| match error.reason {
            // Said of the table, not of the key: the reporter adds the key.
            Reason::UnknownKey { .. } => error,
            _ => error.at(Segment::Key(entry.key.clone()), entry.value.is_hole()),
        })
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value> {
        let Some(entry) = self.current.take() else {
            return Err(TreeError::custom("a value was asked for before its key"));
        };
        seed.deserialize(Reader(&entry.value)).map_err(|error| match &error.reason {
            Reason::UnknownKey { key, .. } if key.is_empty() && error.path().0.is_empty() => {
                TreeError::new(Reason::UnknownKey { key: entry.key.clone(), known: &[] })
            }
            _ => error.at(Segment::Key(entry.key.clone()), entry.value.is_hole()),
        })
    }
}

pub(super) struct HoleElements {
    pub(super) left: usize,
}

impl<'a> SeqAccess<'a> for HoleElements {
    type Error = TreeError;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        seed.deserialize(Reader(&HOLE)).map(Some)
    }
}

pub(super) struct HoleEntries {
    pub(super) keys: std::slice::Iter<'static, &'static str>,
}

impl<'a> MapAccess<'a> for HoleEntries {
    type Error = TreeError;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let Some(key) = self.keys.next() else {
            return Ok(None);
        };
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(Reader(&HOLE))
    }
}

pub(super) struct Variant<'a> {
    pub(super) name: &'a str,
    pub(super) content: Option<&'a Node>,
}

impl<'a> EnumAccess<'a> for Variant<'a> {
    type Error = TreeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, Self)> {
        let name = seed.deserialize(BorrowedStrDeserializer::<TreeError>::new(self.name))?;
        Ok((name, self))
    }
}

impl<'a> Variant<'a> {
    fn read<T>(self, read: impl FnOnce(Reader<'a>) -> Result<T>) -> Result<T> {
        let Some(node) = self.content else {
            return Err(TreeError::custom("this choice needs a table with its settings"));
        };
        read(Reader(node)).map_err(|error| error.at(Segment::Key(self.name.to_owned()), node.is_hole()))
    }
}

impl<'a> VariantAccess<'a> for Variant<'a> {
    type Error = TreeError;

    fn unit_variant(self) -> Result<()> {
        match self.content {
            Some(node) if !node.is_hole() => Err(TreeError::custom("this choice takes no settings")),
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value> {
        self.read(|reader| seed.deserialize(reader))
    }

    fn tuple_variant<V: Visitor<'a>>(self, length: usize, visitor: V) -> Result<V::Value> {
        self.read(|reader| reader.deserialize_tuple(length, visitor))
    }

    fn struct_variant<V: Visitor<'a>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value> {
        self.read(|reader| reader.deserialize_struct("", fields, visitor))
    }
}
