//! The identity of a model by its content.

use std::{fs, io, path::Path};

use ring::digest::{Context, SHA256};

use crate::{
    InferenceError,
    digest::{hex, sha256_of_file},
    manifest::GRAPH_FILE,
};

/// A model's folder of more files is refused.
const MAX_FILES: usize = 256;

/// SHA-256 of what a model is made of, in hexadecimal.
pub(super) struct Digests {
    /// Of the graph's file.
    pub(super) graph: String,
    /// Of all files: of their names and digests, in the order of their names.
    pub(super) revision: String,
}

impl Digests {
    /// Reads every file in the folder; folders in it do not count.
    pub(super) fn of(folder: &Path) -> Result<Self, InferenceError> {
        let graph = digest_of(folder, GRAPH_FILE)?;
        let names = file_names(folder).map_err(|error| InferenceError::model(folder, error.to_string()))?;
        if names.len() > MAX_FILES {
            return Err(InferenceError::model(folder, format!("more than {MAX_FILES} files")));
        }
        let mut revision = Context::new(&SHA256);
        for name in names {
            let digest = if name == GRAPH_FILE { graph.clone() } else { digest_of(folder, &name)? };
            revision.update(&(name.len() as u64).to_be_bytes());
            revision.update(name.as_bytes());
            revision.update(digest.as_bytes());
        }
        Ok(Self { graph, revision: hex(revision.finish().as_ref()) })
    }
}

fn digest_of(folder: &Path, name: &str) -> Result<String, InferenceError> {
    let path = folder.join(name);
    sha256_of_file(&path).map_err(|error| InferenceError::model(path, error.to_string()))
}

fn file_names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)?.take(MAX_FILES + 1) {
        let entry = entry?;
        if fs::metadata(entry.path())?.is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Digests, GRAPH_FILE, fs};

    #[test]
    fn any_change_is_another_revision() {
        let folder = tempfile::tempdir().unwrap();
        let revision = |files: &[(&str, &str)]| {
            for (name, content) in files {
                fs::write(folder.path().join(name), content).unwrap();
            }
            Digests::of(folder.path()).unwrap().revision
        };
        let first = revision(&[(GRAPH_FILE, "g"), ("tokenizer.json", "t")]);
        assert_eq!(first, revision(&[]));
        let second = revision(&[("tokenizer.json", "u")]);
        let third = revision(&[("labels.txt", "")]);
        assert!(first != second && second != third);
    }
}
