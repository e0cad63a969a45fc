//! JSON that has one reading: an object with a key twice is refused.
//!
//! Readers differ in which of the two counts (RFC 8259, section 4). A plugin would seal the one, and the origin read the
//! other.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Checks a text.
///
/// # Errors
/// It is not one JSON value, or has a key twice in one object.
pub(super) fn check(text: &[u8]) -> Result<(), serde_json::Error> {
    serde_json::from_slice(text).map(|Unique| ())
}

/// A value that was looked through and not kept.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        while items.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unique, A::Error> {
        let mut keys = HashSet::new();
        while let Some((key, Unique)) = entries.next_entry::<String, Unique>()? {
            if !keys.insert(key) {
                return Err(A::Error::custom("an object has the same key twice"));
            }
        }
        Ok(Unique)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::check;

    #[test]
    fn a_key_stands_in_an_object_once() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"b":{"a":{},"c":0,"a":[]}}]"#,
            r#"{"a":1} {}"#,
            r#"{"a":}"#,
            "",
        ] {
            assert!(check(text.as_bytes()).is_err(), "{text}");
        }
        for text in [r#"{"a":{"a":[{"a":1},{"a":2.5}]},"A":-3,"b":null,"c":true,"d":"\u00e4"}"#, "7", r#""x""#] {
            assert!(check(text.as_bytes()).is_ok(), "{text}");
        }
        let deep = "[".repeat(10_000);
        assert!(check(deep.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn passes_only_what_serde_json_reads(text in "[{}\\[\\]:,\"ab0-9. ]{0,40}") {
            if check(text.as_bytes()).is_ok() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
            }
        }
    }
}
