//! One revocation as operators write it: `{"issuer":"https://login.example.com","jti":"4f1c","until":1767225600}`.

use serde::{Deserialize, Serialize};

/// Longest value of an entry.
const VALUE_MAX_BYTES: usize = 1024;

/// Which of a token's names an entry goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Selector {
    /// The token's own.
    Jti,
    /// Its subject's.
    Sub,
    /// Its key's.
    Kid,
}

/// A revocation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "Written")]
pub(crate) struct Entry {
    issuer: String,
    selector: Selector,
    value: String,
    until_s: Option<u64>,
}

/// As it is written. `until` is a NumericDate (RFC 7519, section 2), like `exp`: whole seconds since 1970.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    issuer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

impl From<Entry> for Written {
    fn from(entry: Entry) -> Self {
        let mut written = Self { issuer: entry.issuer, until: entry.until_s, ..Self::default() };
        *match entry.selector {
            Selector::Jti => &mut written.jti,
            Selector::Sub => &mut written.sub,
            Selector::Kid => &mut written.kid,
        } = Some(entry.value);
        written
    }
}

impl Entry {
    /// Reads an entry from JSON.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence that ends a line.
    pub(crate) fn read(json: &[u8]) -> Result<Self, String> {
        Self::of(serde_json::from_slice(json).map_err(|error| error.to_string())?)
    }

    /// Reads an entry from the query of an address: `issuer=…&jti=…`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn from_query(query: &str) -> Result<Self, String> {
        let mut written = Written::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "issuer" => written.issuer = value.into_owned(),
                "jti" => written.jti = Some(value.into_owned()),
                "sub" => written.sub = Some(value.into_owned()),
                "kid" => written.kid = Some(value.into_owned()),
                _ => return Err(format!("the query knows issuer, jti, sub and kid, not `{}`", name.escape_debug())),
            }
        }
        Self::of(written)
    }

    fn of(written: Written) -> Result<Self, String> {
        let Written { issuer, jti, sub, kid, until } = written;
        let (selector, value) = match (jti, sub, kid) {
            (Some(jti), None, None) => (Selector::Jti, jti),
            (None, Some(sub), None) => (Selector::Sub, sub),
            (None, None, Some(kid)) => (Selector::Kid, kid),
            _ => return Err("must have exactly one of jti, sub and kid".to_owned()),
        };
        if issuer.is_empty() || value.is_empty() || issuer.len() > VALUE_MAX_BYTES || value.len() > VALUE_MAX_BYTES {
            return Err(format!("issuer and value must have 1 to {VALUE_MAX_BYTES} bytes"));
        }
        Ok(Self { issuer, selector, value, until_s: until })
    }

    /// Whose tokens it is about.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether it still holds at `now_s`.
    pub(super) fn holds_at(&self, now_s: u64) -> bool {
        self.until_s.is_none_or(|until_s| now_s < until_s)
    }

    /// What lists know it by.
    pub(super) fn digest(&self) -> [u8; 32] {
        super::digest_of(&self.issuer, self.selector, &self.value)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_names_one_thing() {
        let text = r#"{"issuer":"me","jti":"j","until":7}"#;
        let entry = Entry::read(text.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string(&entry).unwrap(), text);
        assert_eq!(Entry::from_query("issuer=me&jti=j").unwrap().digest(), entry.digest());
        assert_eq!(Entry::from_query("jti=a%20b&issuer=https%3A%2F%2Fme").unwrap().value, "a b");
        for wrong in [
            "",
            "[]",
            r#"{"issuer":"me"}"#,
            r#"{"jti":"j"}"#,
            r#"{"issuer":"","jti":"j"}"#,
            r#"{"issuer":"me","jti":""}"#,
            r#"{"issuer":"me","jti":"j","sub":"s"}"#,
            r#"{"issuer":"me","jti":"j","untill":7}"#,
            r#"{"issuer":"me","jti":"j","until":-7}"#,
            r#"{"issuer":"me","jti":"j"} x"#,
        ] {
            assert!(Entry::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(Entry::from_query("issuer=me&jti=j&until=7").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = Entry::read(text.as_bytes());
            let _ = Entry::from_query(&text);
        }
    }
}
