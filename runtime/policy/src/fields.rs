//! Header fields as plugins read them: repeated ones as one value, credentials never.

use std::borrow::Cow;

use http::HeaderMap;

/// Fields that hold credentials. Reading one gives nothing.
const SECRET: [&str; 3] = ["authorization", "dpop", "proxy-authorization"];

/// The combined value of a field (RFC 9110, section 5.2). `name` is in lower case.
#[must_use]
pub fn combined<'h>(headers: &'h HeaderMap, name: &str) -> Option<Cow<'h, [u8]>> {
    if SECRET.contains(&name) {
        return None;
    }
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.as_bytes();
    let Some(second) = values.next() else {
        return Some(Cow::Borrowed(first));
    };
    let mut joined = first.to_vec();
    for value in std::iter::once(second).chain(values) {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(value.as_bytes());
    }
    Some(Cow::Owned(joined))
}

/// The names of the fields that may be read, sorted, each once.
#[must_use]
pub fn names(headers: &HeaderMap) -> Vec<String> {
    let mut names: Vec<String> = headers.keys().map(|name| name.as_str().to_owned()).collect();
    names.retain(|name| !SECRET.contains(&name.as_str()));
    names.sort_unstable();
    names
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

    #[test]
    fn repeated_fields_join_and_credentials_are_absent() {
        let mut headers = HeaderMap::new();
        headers.append("accept", "a".parse().unwrap());
        headers.append("accept", "b".parse().unwrap());
        headers.append("authorization", "Bearer secret".parse().unwrap());
        assert_eq!(combined(&headers, "accept").unwrap().as_ref(), b"a, b");
        assert!(combined(&headers, "authorization").is_none());
        assert!(combined(&headers, "x-none").is_none());
        assert_eq!(names(&headers), ["accept"]);
    }

    #[test]
    fn credentials_are_not_readable() {
        assert_eq!(readable("Authorization"), None);
        assert_eq!(readable("proxy-authorization"), None);
        assert_eq!(readable("X-Model").as_deref(), Some("x-model"));
    }
}
