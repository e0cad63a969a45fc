//! The error that deserialising a tree yields: what is wrong and where, without the value itself.

use std::fmt::Display;

use serde::de::{self, Expected, Unexpected};

use crate::check::did_you_mean;
use crate::key_path::{KeyPath, Segment};

/// Known keys are listed in a hint up to this many.
const MAX_LISTED_KEYS: usize = 16;

/// One reason why a tree does not fit a type.
#[derive(Debug)]
pub(crate) enum Reason {
    Unsuitable { found: &'static str, expected: String },
    UnknownKey { key: String, known: &'static [&'static str] },
    MissingKey { key: &'static str },
    UnknownVariant { given: String, known: &'static [&'static str] },
    DuplicateKey { key: &'static str },
    Other(String),
}

/// A reason and its place; the path is built from the inside out while the error travels up.
#[derive(Debug, thiserror::Error)]
#[error("{}", .reason.message())]
pub(crate) struct TreeError {
    pub(crate) reason: Reason,
    reversed_path: Vec<Segment>,
    /// The error arose from a value that we had put in ourselves.
    pub(crate) in_hole: bool,
}

impl TreeError {
    pub(crate) fn new(reason: Reason) -> Self {
        Self { reason, reversed_path: Vec::new(), in_hole: false }
    }

    pub(crate) fn at(mut self, segment: Segment, in_hole: bool) -> Self {
        self.reversed_path.push(segment);
        self.in_hole |= in_hole;
        self
    }

    pub(crate) fn path(&self) -> KeyPath {
        KeyPath(self.reversed_path.iter().rev().cloned().collect())
    }
}

impl Reason {
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Unsuitable { found, expected } => format!("expected {expected}, found {found}"),
            Self::UnknownKey { .. } => "unknown key".to_owned(),
            Self::MissingKey { .. } => "this key is required".to_owned(),
            Self::UnknownVariant { known, .. } => format!("expected one of {}", listed(known)),
            Self::DuplicateKey { key } => format!("`{key}` is given twice, under two of its names"),
            Self::Other(message) => message.clone(),
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { key, known } => did_you_mean(key, known.iter().copied()).or_else(|| known_keys(known)),
            Self::UnknownVariant { given, known } => did_you_mean(given, known.iter().copied()),
            _ => None,
        }
    }
}

fn known_keys(known: &[&str]) -> Option<String> {
    (!known.is_empty() && known.len() <= MAX_LISTED_KEYS).then(|| format!("the keys here are {}", listed(known)))
}

fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

impl de::Error for TreeError {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(Reason::Other(message.to_string()))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Reason::Unsuitable { found: kind_of(&unexpected), expected: plain(&expected.to_string()) })
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match unexpected {
            Unexpected::Signed(value) if value < 0 => "a negative number",
            Unexpected::Signed(_) | Unexpected::Unsigned(_) => "a number outside that range",
            other => kind_of(&other),
        };
        Self::new(Reason::Unsuitable { found, expected: plain(&expected.to_string()) })
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(Reason::Other(format!("expected {}, found {length} elements", plain(&expected.to_string()))))
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::new(Reason::UnknownVariant { given: variant.to_owned(), known })
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(Reason::UnknownKey { key: field.to_owned(), known })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Reason::MissingKey { key: field })
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(Reason::DuplicateKey { key: field })
    }
}

fn kind_of(unexpected: &Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number",
        Unexpected::Float(_) => "a number with a fraction",
        Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) => "a string",
        Unexpected::Seq => "an array",
        Unexpected::Map | Unexpected::StructVariant => "a table",
        Unexpected::Other("date") => "a date or time",
        Unexpected::Other("huge integer") => "a number outside every range",
        _ => "something else",
    }
}

/// Serde's name of a Rust type, in an operator's words.
fn plain(expected: &str) -> String {
    let text = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a map" => "a table",
        other => {
            let rust_type = ["struct ", "enum ", "tuple struct ", "unit struct "];
            return match rust_type.iter().find(|prefix| other.starts_with(**prefix)) {
                Some(&"struct ") => "a table".to_owned(),
                Some(&"enum ") => "one of this key's choices".to_owned(),
                Some(_) => "another kind of value".to_owned(),
                None => other.to_owned(),
            };
        }
    };
    text.to_owned()
}
