//! A plugin's configuration: the text that the node's configuration has for it, as JSON.

use serde::de::DeserializeOwned;

/// Reads a configuration. A mistake is told with the path of its key, as `rules[0].scopes: invalid type`. Mark structures with
/// `#[serde(deny_unknown_fields)]`, so that a misspelt key is a mistake too.
///
/// # Errors
/// A sentence that names the key.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let config = serde_path_to_error::deserialize(&mut json).map_err(|error| error.to_string())?;
    json.end().map_err(|error| error.to_string())?;
    Ok(config)
}

/// Checks a pattern for names: a name, a prefix before `*`, or `*`. Any other `*` would only match itself.
///
/// # Errors
/// A sentence that begins with `key`.
pub fn check_pattern(key: &str, pattern: &str) -> Result<(), String> {
    if pattern.is_empty() {
        return Err(format!("{key}: must not be empty"));
    }
    if pattern.strip_suffix('*').unwrap_or(pattern).contains('*') {
        return Err(format!("{key}: in `{}`, `*` may only stand at the end", pattern.escape_debug()));
    }
    Ok(())
}

/// Checks a list of patterns, which must not be empty: one that matches nothing would be a rule that never applies.
///
/// # Errors
/// A sentence that begins with `key`.
pub fn check_patterns(key: &str, patterns: &[String]) -> Result<(), String> {
    if patterns.is_empty() {
        return Err(format!("{key}: must not be empty"));
    }
    patterns.iter().enumerate().try_for_each(|(i, pattern)| check_pattern(&format!("{key}[{i}]"), pattern))
}

/// Whether a name fits one of the patterns. No name at all fits `*` alone.
#[must_use]
pub fn matches(patterns: &[String], name: Option<&str>) -> bool {
    patterns.iter().any(|pattern| match (pattern.strip_suffix('*'), name) {
        (Some(""), _) => true,
        (Some(prefix), Some(name)) => name.starts_with(prefix),
        (None, Some(name)) => pattern == name,
        (_, None) => false,
    })
}

/// Patterns that match anything: what `routes` and `models` are when nobody says otherwise.
#[must_use]
pub fn anything() -> Vec<String> {
    vec!["*".to_owned()]
}

/// Checks the name of a header field that a configuration wants to set or remove: a token (RFC 9110, section 5.6.2), and
/// none of those that belong to the connection or to the gateway, which would end every call.
///
/// # Errors
/// A sentence that begins with `key`.
pub fn check_field_name(key: &str, name: &str) -> Result<(), String> {
    if !is_token(name) {
        return Err(format!("{key}: `{}` is not a field name", name.escape_debug()));
    }
    let lower = name.to_ascii_lowercase();
    if FIXED.contains(&lower.as_str()) || lower.starts_with("forebay-") {
        return Err(format!("{key}: `{lower}` is not a plugin's to set or remove"));
    }
    Ok(())
}

/// Checks the value of a header field: printable ASCII, spaces and tabs inside alone (RFC 9110, section 5.5).
///
/// # Errors
/// A sentence that begins with `key`.
pub fn check_field_value(key: &str, value: &str) -> Result<(), String> {
    let legal = value.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t')) && value.trim() == value;
    if legal { Ok(()) } else { Err(format!("{key}: is not the value of a header field")) }
}

/// Whether a text is a token (RFC 9110, section 5.6.2).
#[must_use]
pub fn is_token(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(legal)
}

/// Fields that the host lets no plugin edit.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(rename = "rules")]
        _rules: Vec<u8>,
    }

    #[test]
    fn mistakes_are_told_by_key() {
        for (text, key) in
            [(r#"{"rules":[1,"x"]}"#, "rules[1]"), (r#"{"rule":[]}"#, "rule"), (r#"{"rules":[]} x"#, "trailing")]
        {
            let error = parse::<Sample>(text).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
        assert!(parse::<Sample>(r#"{"rules":[]}"#).is_ok());
    }

    #[test]
    fn patterns_are_names_and_prefixes() {
        let patterns = ["oip".to_owned(), "admin-*".to_owned()];
        for (name, fits) in [(Some("oip"), true), (Some("oip2"), false), (Some("admin-x"), true), (None, false)] {
            assert_eq!(matches(&patterns, name), fits, "{name:?}");
        }
        assert!(matches(&anything(), None) && matches(&anything(), Some("x")));
        assert!(check_patterns("k", &patterns).is_ok());
        for bad in ["", "a*b", "**"] {
            assert!(check_patterns("k", &[bad.to_owned()]).unwrap_err().starts_with("k[0]"));
        }
    }

    #[test]
    fn field_names_that_no_plugin_may_edit_are_mistakes() {
        for bad in ["", "a b", "Host", "Forebay-X", "authorization"] {
            assert!(check_field_name("k", bad).is_err(), "{bad}");
        }
        assert!(check_field_name("k", "X-A").is_ok());
        assert!(check_field_value("k", "a b").is_ok() && check_field_value("k", "a\r\nb").is_err());
    }
}
