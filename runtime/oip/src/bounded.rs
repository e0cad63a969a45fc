//! Lists and names that are bounded while they are read, so that a small text does not become a large value.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::OipError;
use crate::limits::MAX_NAME_BYTES;

/// The first `MAX` elements of a list. Those behind them are counted and not kept.
pub(crate) struct Few<T, const MAX: usize> {
    elements: Vec<T>,
    count: usize,
}

impl<T, const MAX: usize> Few<T, MAX> {
    /// The elements, if there are no more than `limit`, nor than `MAX`.
    pub(crate) fn within(self, limit: usize, what: impl FnOnce() -> String) -> Result<Vec<T>, OipError> {
        let limit = limit.min(MAX);
        if self.count > limit { Err(OipError::Limit { what: what(), limit }) } else { Ok(self.elements) }
    }
}

impl<T, const MAX: usize> Default for Few<T, MAX> {
    fn default() -> Self {
        Few { elements: Vec::new(), count: 0 }
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Few<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FewVisitor(PhantomData))
    }
}

struct FewVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for FewVisitor<T, MAX> {
    type Value = Few<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Few<T, MAX>, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < MAX {
            match list.next_element()? {
                Some(element) => elements.push(element),
                None => return Ok(Few { count: elements.len(), elements }),
            }
        }
        let mut count = elements.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Few { elements, count })
    }
}

/// The name of a model, tensor, output or parameter: a string of at most `MAX_NAME_BYTES`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(pub(crate) String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Name, E> {
        if name.len() > MAX_NAME_BYTES {
            return Err(E::custom(format_args!("a name is over {MAX_NAME_BYTES} bytes long")));
        }
        Ok(Name(name.to_owned()))
    }
}
