//! Edits of a head: what may be edited, and the list that takes effect after a valid verdict.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields that belong to the connection (RFC 9110, section 7.6.1), to message framing or to the gateway.
const FIXED: [&str; 12] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
    "authorization",
];

/// Fields that hold credentials. Reading one gives nothing.
const SECRET: [&str; 2] = ["authorization", "proxy-authorization"];

/// The prefix of the gateway's own fields.
const OWN_PREFIX: &str = "forebay-";

/// Which kind of head is edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    Request,
    Response,
}

/// One edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadEdit {
    /// Set a field, in place of every field of that name.
    Set(HeaderName, HeaderValue),
    /// Remove every field of that name.
    Remove(HeaderName),
}

impl HeadEdit {
    fn name(&self) -> &HeaderName {
        match self {
            Self::Set(name, _) | Self::Remove(name) => name,
        }
    }
}

/// The edits of one hook, in the order in which it made them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadEdits(Vec<HeadEdit>);

impl HeadEdits {
    /// The edits in order.
    pub fn iter(&self) -> impl Iterator<Item = &HeadEdit> {
        self.0.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes the edits on `headers`.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for edit in &self.0 {
            match edit {
                HeadEdit::Set(name, value) => {
                    headers.insert(name.clone(), value.clone());
                }
                HeadEdit::Remove(name) => {
                    headers.remove(name);
                }
            }
        }
    }

    pub(crate) fn push(&mut self, edit: HeadEdit) {
        self.0.push(edit);
    }

    /// What a field reads as after these edits: none when they do not touch it, otherwise its value or its
    /// absence.
    pub(crate) fn overlay(&self, name: &str) -> Option<Option<&[u8]>> {
        self.0.iter().rev().find(|edit| edit.name().as_str() == name).map(|edit| match edit {
            HeadEdit::Set(_, value) => Some(value.as_bytes()),
            HeadEdit::Remove(_) => None,
        })
    }
}

/// Checks the name of a field that policy wants to edit.
pub(crate) fn editable(head: Head, name: &str) -> Result<HeaderName, String> {
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("`{}` is not a field name", name.escape_debug()))?;
    let fixed = FIXED.contains(&parsed.as_str())
        || parsed.as_str().starts_with(OWN_PREFIX)
        || (head == Head::Response && parsed == http::header::CONTENT_ENCODING);
    if fixed { Err(format!("the field `{parsed}` is not a plugin's to set or remove")) } else { Ok(parsed) }
}

/// Checks the value of a field. The value itself may be confidential, so the message does not repeat it.
pub(crate) fn legal_value(name: &HeaderName, value: &[u8]) -> Result<HeaderValue, String> {
    HeaderValue::from_bytes(value).map_err(|_| format!("the value for `{name}` has control characters"))
}

/// The name under which a field is read: in lower case, or none when a plugin may not read it.
pub(crate) fn readable(name: &str) -> Option<Cow<'_, str>> {
    let lower = if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    };
    (!SECRET.contains(&lower.as_ref())).then_some(lower)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::{any, prop_assert, proptest};

    fn set(name: &str, value: &str) -> HeadEdit {
        HeadEdit::Set(name.parse().unwrap(), value.parse().unwrap())
    }

    #[test]
    fn the_last_edit_of_a_field_is_what_it_reads_as() {
        let mut edits = HeadEdits::default();
        assert_eq!(edits.overlay("x-a"), None);
        edits.push(set("x-a", "1"));
        assert_eq!(edits.overlay("x-a"), Some(Some(&b"1"[..])));
        edits.push(HeadEdit::Remove("x-a".parse().unwrap()));
        assert_eq!(edits.overlay("x-a"), Some(None));
    }

    #[test]
    fn edits_replace_repeated_fields() {
        let mut headers = HeaderMap::new();
        headers.append("x-a", "1".parse().unwrap());
        headers.append("x-a", "2".parse().unwrap());
        headers.append("x-b", "3".parse().unwrap());
        let mut edits = HeadEdits::default();
        edits.push(set("x-a", "9"));
        edits.push(HeadEdit::Remove("x-b".parse().unwrap()));
        edits.apply(&mut headers);
        assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["9"]);
        assert!(!headers.contains_key("x-b"));
    }

    #[test]
    fn fields_of_the_connection_and_the_gateway_are_fixed() {
        for name in FIXED.iter().chain(&["forebay-timeout-ms", "Forebay-Anything", "HOST"]) {
            assert!(editable(Head::Request, name).is_err(), "{name}");
            assert!(editable(Head::Response, name).is_err(), "{name}");
        }
        assert!(editable(Head::Request, "content-encoding").is_ok());
        assert!(editable(Head::Response, "content-encoding").is_err());
        assert_eq!(editable(Head::Request, "X-Tenant").unwrap(), "x-tenant");
    }

    #[test]
    fn credentials_are_not_readable() {
        assert_eq!(readable("Authorization"), None);
        assert_eq!(readable("proxy-authorization"), None);
        assert_eq!(readable("X-Model").as_deref(), Some("x-model"));
    }

    proptest! {
        #[test]
        fn nothing_that_could_split_a_head_is_accepted(name in any::<String>(), value in any::<Vec<u8>>()) {
            if let Ok(name) = editable(Head::Request, &name) {
                prop_assert!(!name.as_str().bytes().any(|b| b <= b' ' || b == b':' || b >= 0x7f));
                if let Ok(value) = legal_value(&name, &value) {
                    prop_assert!(!value.as_bytes().iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
                }
            }
        }
    }
}
