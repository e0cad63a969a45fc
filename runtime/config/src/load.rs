//! From a file to a value, or to all of its mistakes.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::de::DeTable;

use crate::check::Check;
use crate::collect;
use crate::mistake::{MAX_MISTAKES, Mistake, Mistakes};
use crate::source::{Lines, Source};
use crate::tree::Node;

/// A configuration file larger than this is refused unread.
pub const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;

/// A value and where its parts stand in the file.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// What the file says.
    pub value: T,
    /// Where it says it.
    pub source: Source,
}

impl<T> Loaded<T> {
    /// Runs checks over the value and hands it out if they find nothing.
    ///
    /// # Errors
    /// Every mistake that `checks` added.
    pub fn checked(self, checks: impl FnOnce(&T, &mut Check<'_>)) -> Result<Self, Mistakes> {
        let mut check = Check::new(&self.source);
        checks(&self.value, &mut check);
        check.finish()?;
        Ok(self)
    }
}

/// Reads `text` as TOML 1.1 into a `T`. `file` is the name that mistakes are reported under.
///
/// # Errors
/// All syntax errors or, if there are none, all wrong types and values, missing keys and unknown keys; at most
/// [`MAX_MISTAKES`].
pub fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<Loaded<T>, Mistakes> {
    if text.len() > MAX_FILE_BYTES {
        return Err(too_large(file));
    }
    let lines = Lines::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(Mistakes::new(file, syntax_mistakes(&lines, &errors)));
    }
    let mut root = Node::from_table(table.get_ref(), table.span());
    let source = Source::new(file, &lines, &root);
    match collect::deserialize(&mut root) {
        Ok(value) => Ok(Loaded { value, source }),
        Err(found) => {
            let list = found
                .into_iter()
                .map(|mistake| Mistake::at_path(&source, &mistake.path.to_string(), mistake.message, mistake.hint));
            Err(Mistakes::new(file, list.collect()))
        }
    }
}

/// Reads the file at `path` as [`parse`] does.
///
/// # Errors
/// As [`parse`]; also a file that cannot be read, is larger than [`MAX_FILE_BYTES`] or is not UTF-8.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<Loaded<T>, Mistakes> {
    let name = path.display().to_string();
    let bytes = read_bounded(path)
        .map_err(|error| Mistakes::of_file(&name, format!("the file cannot be read: {error}"), None))?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(too_large(&name));
    }
    let text = String::from_utf8(bytes).map_err(|_| Mistakes::of_file(&name, "the file is not UTF-8".into(), None))?;
    parse(&name, &text)
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn too_large(file: &str) -> Mistakes {
    Mistakes::of_file(file, format!("the file is larger than {MAX_FILE_BYTES} bytes"), None)
}

fn syntax_mistakes(lines: &Lines<'_>, errors: &[toml::de::Error]) -> Vec<Mistake> {
    let mistakes = errors.iter().take(MAX_MISTAKES).map(|error| {
        let position = error.span().map(|span| lines.position(&span));
        Mistake::new(String::new(), position, error.message().replace('\n', " "), None)
    });
    mistakes.collect()
}
