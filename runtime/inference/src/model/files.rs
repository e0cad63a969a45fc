//! The identity of a model by its content.

use std::{fs, io, path::Path};

use ring::digest::{Context, SHA256};

use crate::{
    InferenceError,
    digest::{hex, sha256_of_file},
    manifest::GRAPH_FILE,
};

/// A model's folder with more in it is refused.
const MAX_ENTRIES: usize = 256;
/// Folders in folders in a model's folder, which a link may make endless.
const MAX_DEPTH: usize = 4;

/// SHA-256 of what a model is made of, in hexadecimal.
pub(super) struct Digests {
    /// Of the graph's file.
    pub(super) graph: String,
    /// Of all files: of their names and digests, in the order of their names.
    pub(super) revision: String,
}

impl Digests {
    /// Reads every file in the folder, since external data may lie in folders in it.
    pub(super) fn of(folder: &Path) -> Result<Self, InferenceError> {
        let graph = digest_of(folder, GRAPH_FILE)?;
        let names = file_names(folder).map_err(|reason| InferenceError::model(folder, reason))?;
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

/// The files of a model's folder and of the folders in it, by their paths in it, with `/` between names; sorted.
///
/// The error is a sentence for the operator.
fn file_names(folder: &Path) -> Result<Vec<String>, String> {
    let (mut files, mut entries) = (Vec::new(), 0);
    let mut to_read = vec![(String::new(), MAX_DEPTH)];
    while let Some((prefix, depth)) = to_read.pop() {
        let unreadable = |error: io::Error| format!("`{prefix}`: {error}");
        for entry in fs::read_dir(folder.join(&prefix)).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            entries += 1;
            if entries > MAX_ENTRIES {
                return Err(format!("more than {MAX_ENTRIES} files and folders"));
            }
            let name = entry.file_name().into_string().map_err(|name| format!("{} is not UTF-8", name.display()))?;
            let path = format!("{prefix}{name}");
            let kind = fs::metadata(entry.path()).map_err(|error| format!("`{path}`: {error}"))?;
            match depth.checked_sub(1) {
                _ if kind.is_file() => files.push(path),
                Some(depth) if kind.is_dir() => to_read.push((format!("{path}/"), depth)),
                None if kind.is_dir() => return Err(format!("`{path}`: folders in more than {MAX_DEPTH} folders")),
                _ => return Err(format!("`{path}` is neither a file nor a folder")),
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Digests, GRAPH_FILE, MAX_ENTRIES, fs};

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
        fs::create_dir(folder.path().join("weights")).unwrap();
        let (fourth, fifth) = (revision(&[("weights/a.bin", "w")]), revision(&[("weights/a.bin", "v")]));
        assert!(third != fourth && fourth != fifth);
    }

    #[test]
    fn a_folder_without_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = || Digests::of(folder.path()).err().unwrap().to_string();
        fs::write(folder.path().join(GRAPH_FILE), "g").unwrap();
        let link = folder.path().join("again");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(error().contains("`again/again/again/again/again`: folders in more than 4 folders"), "{}", error());
        fs::remove_file(link).unwrap();
        for place in 0..MAX_ENTRIES {
            fs::create_dir(folder.path().join(place.to_string())).unwrap();
        }
        assert!(error().contains("more than 256 files and folders"), "{}", error());
    }
}
