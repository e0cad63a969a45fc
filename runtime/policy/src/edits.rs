//! Edits of a head: what may be edited, and the list that takes effect after a valid verdict.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::limits::QUOTE_BYTES;
use crate::log_lines::told;

/// Fields that belong to the connection (RFC 9110, section 7.6.1), to message framing or to the gateway.
const FIXED: [&str; 13] = [
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
    "dpop",
];

/// Fields that must not be trailers: who reads them there would read the message anew (RFC 9110, section 6.5.1).
const NO_TRAILER: [&str; 8] =
    ["content-type", "content-range", "set-cookie", "cache-control", "expires", "location", "www-authenticate", "vary"];

/// The most legal areas that one restriction may name.
const AREAS: usize = 64;
/// The longest name of a legal area.
const AREA_BYTES: usize = 64;

/// The prefix of the gateway's own fields.
const OWN_PREFIX: &str = "forebay-";

/// Which kind of head is edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    Request,
    Response,
    /// Trailers, of either side. Fields that say how to read or route a message have no place there (RFC 9110, section
    /// 6.5.1).
    Trailers,
}

impl Head {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
            Self::Trailers => "trailers",
        }
    }
}

/// One edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadEdit {
    /// Set a field, in place of every field of that name.
    Set(HeaderName, HeaderValue),
    /// Remove every field of that name.
    Remove(HeaderName),
    /// Let no region outside these legal areas answer. Never widens what the route allows.
    Restrict(Vec<String>),
}

impl HeadEdit {
    /// The field that is edited.
    fn name(&self) -> Option<&HeaderName> {
        match self {
            Self::Set(name, _) | Self::Remove(name) => Some(name),
            Self::Restrict(_) => None,
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
                HeadEdit::Restrict(_) => {}
            }
        }
    }

    /// The legal areas that all restrictions leave, and that `before` leaves. None: there is no restriction at all; an empty
    /// list: no area is left.
    #[must_use]
    pub fn jurisdictions(&self, before: Option<Vec<String>>) -> Option<Vec<String>> {
        self.0.iter().fold(before, |kept, edit| match (kept, edit) {
            (Some(kept), HeadEdit::Restrict(areas)) => {
                Some(kept.into_iter().filter(|area| areas.contains(area)).collect())
            }
            (None, HeadEdit::Restrict(areas)) => Some(areas.clone()),
            (kept, _) => kept,
        })
    }

    pub(crate) fn push(&mut self, edit: HeadEdit) {
        self.0.push(edit);
    }

    /// The names of fields after these edits, of those that were there before.
    pub(crate) fn overlay_names(&self, mut names: Vec<String>) -> Vec<String> {
        for edit in &self.0 {
            let Some(name) = edit.name().map(HeaderName::as_str) else { continue };
            match (edit, names.binary_search_by(|known| known.as_str().cmp(name))) {
                (HeadEdit::Set(..), Err(place)) => names.insert(place, name.to_owned()),
                (HeadEdit::Remove(_), Ok(place)) => drop(names.remove(place)),
                _ => {}
            }
        }
        names
    }

    /// What a field reads as after these edits: none when they do not touch it, otherwise its value or its
    /// absence.
    pub(crate) fn overlay(&self, name: &str) -> Option<Option<&[u8]>> {
        let edited = |edit: &&HeadEdit| edit.name().is_some_and(|edited| edited.as_str() == name);
        self.0.iter().rev().find(edited).map(|edit| match edit {
            HeadEdit::Set(_, value) => Some(value.as_bytes()),
            _ => None,
        })
    }
}

/// Checks the name of a field that policy wants to edit.
pub(crate) fn editable(head: Head, name: &str) -> Result<HeaderName, String> {
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("`{}` is not a field name", told(name, QUOTE_BYTES)))?;
    let fixed = FIXED.contains(&parsed.as_str())
        || parsed.as_str().starts_with(OWN_PREFIX)
        || (head != Head::Request && parsed == http::header::CONTENT_ENCODING)
        || (head == Head::Trailers && NO_TRAILER.contains(&parsed.as_str()));
    if fixed {
        return Err(format!("the field `{}` is not a plugin's to set or remove", told(name, QUOTE_BYTES)));
    }
    Ok(parsed)
}

/// Checks legal areas that policy wants to restrict a request to: few, and short words as the configuration has them.
pub(crate) fn legal_areas(areas: Vec<String>) -> Result<Vec<String>, String> {
    if areas.len() > AREAS {
        return Err(format!("{} jurisdictions, more than {AREAS}", areas.len()));
    }
    if areas.iter().any(|area| area.is_empty() || area.len() > AREA_BYTES) {
        return Err(format!("a jurisdiction that is empty or longer than {AREA_BYTES} bytes"));
    }
    Ok(areas)
}

/// Checks the value of a field. The value itself may be confidential, so the message does not repeat it. `name` as the guest
/// wrote it: a token in lower case would not be known for one.
pub(crate) fn legal_value(name: &str, value: &[u8]) -> Result<HeaderValue, String> {
    HeaderValue::from_bytes(value)
        .map_err(|_| format!("the value for `{}` has control characters", told(name, QUOTE_BYTES)))
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
    fn restrictions_only_narrow() {
        let restrict = |areas: &[&str]| HeadEdit::Restrict(areas.iter().map(|area| (*area).to_owned()).collect());
        let mut edits = HeadEdits::default();
        assert_eq!(edits.jurisdictions(None), None);
        edits.push(restrict(&["eu", "ch"]));
        assert_eq!(edits.jurisdictions(None), Some(vec!["eu".to_owned(), "ch".to_owned()]));
        assert_eq!(edits.jurisdictions(Some(vec!["ch".to_owned()])), Some(vec!["ch".to_owned()]));
        edits.push(restrict(&["us"]));
        assert_eq!(edits.jurisdictions(None), Some(Vec::new()));
        assert_eq!(edits.overlay("eu"), None);
        assert!(legal_areas(vec![String::new()]).is_err() && legal_areas(vec!["eu".to_owned(); AREAS + 1]).is_err());
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

    proptest! {
        #[test]
        fn nothing_that_could_split_a_head_is_accepted(name in any::<String>(), value in any::<Vec<u8>>()) {
            if let Ok(name) = editable(Head::Request, &name) {
                prop_assert!(!name.as_str().bytes().any(|b| b <= b' ' || b == b':' || b >= 0x7f));
                if let Ok(value) = legal_value(name.as_str(), &value) {
                    prop_assert!(!value.as_bytes().iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
                }
            }
        }
    }
}
