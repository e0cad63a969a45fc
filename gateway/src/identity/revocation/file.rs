//! The list of revocations in a file: one JSON object in each line, read at start and on every reload. Empty lines and
//! lines that begin with `#` say nothing.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use super::{Entry, Filed, List};
use crate::error::StartError;

/// Longest file that is read.
const FILE_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Most entries taken from it.
const ENTRIES_MAX: usize = 250_000;

impl Filed {
    /// Reads the file that `tokens.revocations_file` names. `issuers` are those whose tokens are taken here.
    ///
    /// # Errors
    /// The file cannot be read, or a line is not a revocation, or is for an issuer that is not known: nothing would be
    /// revoked by it.
    pub(in crate::identity) fn load(path: &Path, issuers: &BTreeSet<&str>) -> Result<Self, StartError> {
        let failed = |reason: String| StartError::File {
            key: "tokens.revocations_file".into(),
            path: path.display().to_string(),
            reason,
        };
        Self::read(path, |issuer| issuers.contains(issuer)).map(Self).map_err(failed)
    }

    /// Reads a file of entries for known issuers.
    pub(super) fn read(path: &Path, is_known: impl Fn(&str) -> bool) -> Result<List, String> {
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
        file.take(FILE_MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
        if text.len() as u64 > FILE_MAX_BYTES {
            return Err(format!("is longer than {FILE_MAX_BYTES} bytes"));
        }
        parse(&text, is_known)
    }
}

fn parse(text: &str, is_known: impl Fn(&str) -> bool) -> Result<List, String> {
    let mut list = List::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |reason: String| format!("line {}: {reason}", index + 1);
        let entry = Entry::read(line.as_bytes()).map_err(at)?;
        if !is_known(entry.issuer()) {
            return Err(at(format!("`{}` is no issuer of this configuration", entry.issuer().escape_debug())));
        }
        list.insert(entry.digest(), Arc::new(entry));
        if list.len() > ENTRIES_MAX {
            return Err(at(format!("there are more than {ENTRIES_MAX} entries")));
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::Subjects;
    use super::*;

    #[test]
    fn lines_are_entries_and_mistakes_name_their_line() {
        let issuers = BTreeSet::from(["me"]);
        let text =
            "# withdrawn\n\n{\"issuer\":\"me\",\"jti\":\"j\"}\r\n  {\"issuer\":\"me\",\"kid\":\"k\",\"until\":10}\n";
        let filed = Filed(parse(text, |issuer| issuers.contains(issuer)).unwrap());
        assert_eq!(filed.len(), 2);
        assert!(filed.has(&Subjects::of("me", &json!({"jti": "j"}), None), 1_000));
        assert!(filed.has(&Subjects::of("me", &json!({}), Some("k")), 9));
        assert!(!filed.has(&Subjects::of("me", &json!({}), Some("k")), 10));
        for (text, expected) in [
            ("{\"issuer\":\"me\",\"jti\":\"j\"}\nrubbish", "line 2: "),
            ("{\"issuer\":\"you\",\"jti\":\"j\"}", "line 1: `you` is no issuer"),
            ("\n\n{\"issuer\":\"me\"}", "line 3: must have exactly one of"),
        ] {
            let told = parse(text, |issuer| issuers.contains(issuer)).unwrap_err();
            assert!(told.starts_with(expected), "{told}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(\\PC|\n)*") {
            let _ = parse(&text, |_| true);
        }
    }
}
