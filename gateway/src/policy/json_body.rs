//! A JSON body whose values can be replaced in place. Everything else stays byte for byte as it was sent: a number with
//! more digits than a float has must not lose them because a field beside it was sealed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::strict_json;

/// A body.
pub(crate) struct JsonBody {
    text: String,
}

impl JsonBody {
    /// Reads a body.
    ///
    /// # Errors
    /// It is not JSON, or could be read in two ways.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        strict_json::check(bytes)?;
        // What is JSON is UTF-8.
        Ok(Self { text: String::from_utf8_lossy(bytes).into_owned() })
    }

    /// The body to send.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from(self.text)
    }

    /// The text of the value at a JSON Pointer (RFC 6901).
    pub(crate) fn get(&self, pointer: &str) -> Option<&str> {
        self.text.get(span(&self.text, pointer)?)
    }

    /// Puts another value in its place. False: there is none, or the new text is not one JSON value.
    pub(crate) fn replace(&mut self, pointer: &str, value: &str) -> bool {
        if strict_json::check(value.as_bytes()).is_err() {
            return false;
        }
        match span(&self.text, pointer) {
            Some(span) => {
                self.text.replace_range(span, value);
                true
            }
            None => false,
        }
    }
}

/// Where the value at `pointer` stands in `text`.
fn span(text: &str, pointer: &str) -> Option<Range<usize>> {
    let mut value: &RawValue = serde_json::from_str(text).ok()?;
    if !pointer.is_empty() {
        for token in pointer.strip_prefix('/')?.split('/') {
            value = child(value.get(), token)?;
        }
    }
    // Raw values are slices of the text they were read from.
    let start = value.get().as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    Some(start..start + value.get().len())
}

fn child<'t>(text: &'t str, token: &str) -> Option<&'t RawValue> {
    match text.as_bytes().first()? {
        b'{' => {
            let name = token.replace("~1", "/").replace("~0", "~");
            serde_json::from_str::<HashMap<Cow<'t, str>, &RawValue>>(text).ok()?.remove(name.as_str())
        }
        b'[' if token == "0" || !token.starts_with(['0', '+']) => {
            let index: usize = token.parse().ok()?;
            serde_json::from_str::<Vec<&RawValue>>(text).ok()?.get(index).copied()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const TEXT: &str = r#" {"user": {"email": "a@b", "a/b~c": [1.50, 123456789012345678901]}, "n": 1e30 } "#;

    #[test]
    fn a_value_is_replaced_and_the_rest_is_as_it_was() {
        let mut body = JsonBody::read(TEXT.as_bytes()).unwrap();
        assert_eq!(body.get("/user/email"), Some(r#""a@b""#));
        assert!(body.replace("/user/email", r#""x""#));
        assert_eq!(body.get("/user/a~1b~0c/1"), Some("123456789012345678901"));
        assert!(body.replace("/user/a~1b~0c/0", "{}"));
        let sent = body.into_bytes();
        assert_eq!(sent, TEXT.replace("a@b", "x").replace("1.50", "{}"));
    }

    #[test]
    fn what_is_not_there_is_not_replaced() {
        let mut body = JsonBody::read(TEXT.as_bytes()).unwrap();
        for pointer in
            ["/no", "/user/a~1b~0c/2", "/user/a~1b~0c/01", "/user/a~1b~0c/-", "user", "/n/x", "/user/email/0"]
        {
            assert_eq!(body.get(pointer), None, "{pointer}");
            assert!(!body.replace(pointer, "1"), "{pointer}");
        }
        assert!(!body.replace("/n", "1 2"));
        assert!(!body.replace("/n", ""));
        assert_eq!(body.into_bytes(), TEXT);
    }

    #[test]
    fn the_whole_body_has_the_empty_pointer() {
        let mut body = JsonBody::read(b" [1] ").unwrap();
        assert_eq!(body.get(""), Some("[1]"));
        assert!(body.replace("", "2"));
        assert_eq!(body.into_bytes(), " 2 ");
    }

    proptest! {
        /// The same value as the usual reader finds, wherever it looks.
        #[test]
        fn agrees_with_the_usual_reader(a in "[a-z~/]{0,3}", b in 0usize..3, text in "\\PC{0,8}") {
            let value = serde_json::json!({ &a: [text, { &a: b }, null] });
            let name = a.replace('~', "~0").replace('/', "~1");
            let body = JsonBody::read(value.to_string().as_bytes()).unwrap();
            for pointer in [format!("/{name}"), format!("/{name}/{b}"), format!("/{name}/1/{name}"), format!("/{name}/{name}")] {
                let found = body.get(&pointer).map(|text| serde_json::from_str::<Value>(text).unwrap());
                prop_assert_eq!(found.as_ref(), value.pointer(&pointer));
            }
        }
    }
}
