//! `forebay plugin new`: a folder that builds, tests and runs at once.
//!
//! All of it comes out of this program, so that a plugin is written against the contract that this gateway speaks.

use std::path::{Path, PathBuf};

use clap::Args;

use super::language::Language;
use crate::cli::{Failure, say};

mod template;

/// The most bytes of a name.
const MAX_NAME_BYTES: usize = 40;

/// Names that a toolchain takes for something else.
const TAKEN: [&str; 10] = ["test", "core", "std", "alloc", "app", "rule", "forebay-plugin-sdk", "build", "sdk", "wit"];

/// What to make.
#[derive(Args)]
pub(crate) struct Options {
    /// Name of the plugin, and of its folder: words of lower-case letters and digits with hyphens between.
    name: String,
    /// Language.
    #[arg(long, value_enum)]
    lang: Language,
    /// Folder to make. Default: one of that name, here.
    #[arg(long, value_name = "FOLDER")]
    path: Option<PathBuf>,
}

/// Makes the folder.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    check_name(&options.name).map_err(Failure::Usage)?;
    let folder = options.path.clone().unwrap_or_else(|| PathBuf::from(&options.name));
    if std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) || folder.is_file() {
        return Err(Failure::Usage(format!("{}: exists and is not an empty folder", folder.display())));
    }
    for (path, contents) in template::files(&options.name, options.lang) {
        let path = folder.join(path);
        write(&path, &contents).map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
    }
    say(&format!("{}: a plugin. README.md there says how to build, test and try it:\n", folder.display()));
    say(&template::commands(options.lang, &folder));
    Ok(())
}

fn write(path: &Path, contents: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, contents)
}

/// A name is a folder, a crate, a package and a word in WIT, so it must be legal as each of them.
fn check_name(name: &str) -> Result<(), String> {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    if name.len() > MAX_NAME_BYTES || !name.split('-').all(is_word) {
        return Err(format!(
            "a plugin's name is words of lower-case letters and digits with hyphens between, at most {MAX_NAME_BYTES} \
             characters, such as `team-quota`"
        ));
    }
    if TAKEN.contains(&name) {
        return Err(format!("`{name}` means something else to a toolchain; choose another name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_everywhere() {
        for good in ["a", "team-quota", "x2", "a-b2-c"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        for bad in
            ["", "-", "a-", "-a", "a--b", "2a", "a-2", "A", "a_b", "a b", "../a", "a/b", "a.b", "é", "test", &long]
        {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
