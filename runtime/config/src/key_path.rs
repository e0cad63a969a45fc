//! Key paths as an operator writes them: `routes[2].cache.ttl_s`, with quotes where TOML needs them.

use std::fmt::{Display, Formatter};

/// One step into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Key(String),
    Index(usize),
}

/// The way from the root of a document to a value; empty for the root itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyPath(pub(crate) Vec<Segment>);

impl KeyPath {
    pub(crate) fn child(&self, key: &str) -> Self {
        let mut path = self.clone();
        path.0.push(Segment::Key(key.to_owned()));
        path
    }
}

impl Display for KeyPath {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(out, "[{index}]")?,
                Segment::Key(key) => {
                    if position > 0 {
                        out.write_str(".")?;
                    }
                    out.write_str(&quoted(key))?;
                }
            }
        }
        Ok(())
    }
}

/// The path of `key` inside the table at `path` (empty for the root), with the key quoted where TOML needs quotes.
#[must_use]
pub fn join(path: &str, key: &str) -> String {
    if path.is_empty() { quoted(key) } else { format!("{path}.{}", quoted(key)) }
}

/// The path of an element of the array at `path`; the first element has index 0.
#[must_use]
pub fn index(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// Keys come from the file and end up on a terminal, so control characters are escaped as well.
fn quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if bare { key.to_owned() } else { format!("{key:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_like_toml() {
        let path = KeyPath(vec![
            Segment::Key("routes".into()),
            Segment::Index(2),
            Segment::Key("a.b".into()),
            Segment::Key("ttl_s".into()),
        ]);
        assert_eq!(path.to_string(), "routes[2].\"a.b\".ttl_s");
    }

    #[test]
    fn helpers_build_the_same_text() {
        let path = join(&join(&index(&join("", "routes"), 2), "a.b"), "ttl_s");
        assert_eq!(path, "routes[2].\"a.b\".ttl_s");
    }
}
