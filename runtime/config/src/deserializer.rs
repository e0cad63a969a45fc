//! Serde over the tree. Stricter than TOML libraries are: an array never stands for a table, an ignored key is an
//! error, and errors carry kinds and places but no values.

mod access;

use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use crate::error::{Reason, TreeError};
use crate::tree::{Kind, Node};
use access::{Elements, Entries, HoleElements, HoleEntries, Variant};

type Result<T> = std::result::Result<T, TreeError>;

/// Reads one node.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a Node);

static HOLE: Node = Node { kind: Kind::Hole, span: 0..0 };

impl<'a> Reader<'a> {
    fn unexpected(self) -> Unexpected<'a> {
        match &self.0.kind {
            Kind::String(text) => Unexpected::Str(text),
            Kind::Integer(value) => Unexpected::Signed(*value),
            Kind::Unsigned(value) => Unexpected::Unsigned(*value),
            Kind::HugeInteger => Unexpected::Other("huge integer"),
            Kind::Float(value) => Unexpected::Float(*value),
            Kind::Boolean(value) => Unexpected::Bool(*value),
            Kind::Datetime => Unexpected::Other("date"),
            Kind::Array(_) => Unexpected::Seq,
            Kind::Table(_) => Unexpected::Map,
            Kind::Hole | Kind::Gone => Unexpected::Unit,
        }
    }
}

macro_rules! number {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
            // One rather than zero: it also suits the types that refuse zero.
            if self.0.is_hole() { visitor.visit_u64(1) } else { self.deserialize_any(visitor) }
        })*
    };
}

macro_rules! text {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
            if self.0.is_hole() { visitor.visit_str("") } else { self.deserialize_any(visitor) }
        })*
    };
}

impl<'a> Deserializer<'a> for Reader<'a> {
    type Error = TreeError;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        match &self.0.kind {
            Kind::String(text) => visitor.visit_borrowed_str(text),
            Kind::Integer(value) => visitor.visit_i64(*value),
            Kind::Unsigned(value) => visitor.visit_u64(*value),
            Kind::Float(value) => visitor.visit_f64(*value),
            Kind::Boolean(value) => visitor.visit_bool(*value),
            Kind::Array(elements) => visitor.visit_seq(Elements::new(elements)),
            Kind::Table(entries) => visitor.visit_map(Entries::new(entries)),
            Kind::HugeInteger | Kind::Datetime => Err(TreeError::invalid_type(self.unexpected(), &visitor)),
            Kind::Hole | Kind::Gone => visitor.visit_unit(),
        }
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        if self.0.is_hole() { visitor.visit_bool(false) } else { self.deserialize_any(visitor) }
    }

    number! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    text! { deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        if self.0.is_hole() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, _name: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        if self.0.is_hole() { visitor.visit_seq(Elements::new(&[])) } else { self.deserialize_any(visitor) }
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, length: usize, visitor: V) -> Result<V::Value> {
        if self.0.is_hole() { visitor.visit_seq(HoleElements { left: length }) } else { self.deserialize_any(visitor) }
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(self, _: &'static str, length: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        match &self.0.kind {
            Kind::Hole => visitor.visit_map(Entries::new(&[])),
            Kind::Table(entries) => visitor.visit_map(Entries::new(entries)),
            _ => Err(TreeError::invalid_type(self.unexpected(), &visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        if self.0.is_hole() {
            return visitor.visit_map(HoleEntries { keys: fields.iter() });
        }
        // Derived code would also accept an array, field by field.
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match &self.0.kind {
            Kind::String(text) => visitor.visit_enum(Variant { name: text, content: None }),
            Kind::Hole => {
                let name = variants.first().copied().unwrap_or_default();
                visitor.visit_enum(Variant { name, content: Some(&HOLE) })
            }
            Kind::Table(entries) => {
                let mut present = entries.iter().filter(|entry| !entry.value.is_gone());
                match (present.next(), present.next()) {
                    (Some(only), None) => visitor.visit_enum(Variant { name: &only.key, content: Some(&only.value) }),
                    _ => Err(TreeError::custom("expected a table with exactly one key")),
                }
            }
            _ => Err(TreeError::invalid_type(self.unexpected(), &"a string or a table with one key")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        // Derived code ignores the values of unknown keys; the map access below turns this into the key's path.
        if self.0.is_hole() {
            return visitor.visit_unit();
        }
        Err(TreeError::new(Reason::UnknownKey { key: String::new(), known: &[] }))
    }

    forward_to_deserialize_any! { <W: Visitor<'a>> char unit unit_struct identifier }
}
