//! `assets.toml`: which wheels, which members, and what they must hash to.

use std::path::{Component, Path};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::Workspace;

/// Which command needs a wheel, and so which folder its members go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Set {
    Assets,
    Tools,
    Peers,
    Authoring,
}

/// A wheel, by name, version and digest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wheel {
    pub(super) set: Set,
    pub(super) package: String,
    pub(super) version: String,
    /// For people; nothing reads it.
    #[serde(rename = "licence")]
    _licence: String,
    /// Platform tags; none for a wheel that fits every platform.
    #[serde(default)]
    pub(super) platforms: Vec<String>,
    pub(super) sha256: String,
    pub(super) size_bytes: u64,
    #[serde(rename = "member")]
    pub(super) members: Vec<Member>,
    #[serde(default, rename = "tree")]
    pub(super) trees: Vec<Tree>,
}

/// A folder inside a wheel, with all that is in it. Not for programs that are run: those are members.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tree {
    /// The folder in the wheel, with a slash at the end.
    pub(super) path: String,
    /// Where it goes, relative to the set's folder.
    pub(super) to: String,
    /// Over the path from the folder, the length and the contents of each file, in the order of their paths.
    pub(super) sha256: String,
}

/// A file inside a wheel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    pub(super) path: String,
    /// Where it goes, relative to the set's folder.
    pub(super) to: String,
    pub(super) sha256: String,
    pub(super) size_bytes: u64,
    #[serde(default)]
    pub(super) executable: bool,
    /// Also write `{to}.sha256`, for programs that check the file before they load it.
    #[serde(default)]
    pub(super) write_digest_file: bool,
}

/// The wheels of one set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pins {
    #[serde(rename = "wheel")]
    pub(super) wheels: Vec<Wheel>,
}

impl Pins {
    pub(super) fn of(workspace: &Workspace, set: Set) -> Result<Self> {
        let path = workspace.root().join("xtask/assets.toml");
        let text = std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
        let mut pins = Self::parse(&text).with_context(|| format!("{} is not right", path.display()))?;
        pins.wheels.retain(|wheel| wheel.set == set);
        Ok(pins)
    }

    fn parse(text: &str) -> Result<Self> {
        let pins: Self = toml::from_str(text)?;
        for wheel in &pins.wheels {
            check_digest(&wheel.sha256)?;
            let members = wheel.members.iter().map(|member| (&member.sha256, &member.to));
            for (sha256, to) in members.chain(wheel.trees.iter().map(|tree| (&tree.sha256, &tree.to))) {
                check_digest(sha256)?;
                if !is_inside(to) {
                    bail!("`{to}` leads out of the folder");
                }
            }
        }
        Ok(pins)
    }
}

/// Whether a path leads to a place below the folder that it starts from.
pub(super) fn is_inside(path: &str) -> bool {
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

fn check_digest(text: &str) -> Result<()> {
    if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        bail!("`{text}` is not a SHA-256 digest in lower-case hex");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_checked_in_pins_are_sound() {
        let workspace = Workspace::locate().unwrap();
        for set in [Set::Assets, Set::Tools, Set::Peers, Set::Authoring] {
            assert!(!Pins::of(&workspace, set).unwrap().wheels.is_empty(), "{set:?}");
        }
    }

    #[test]
    fn a_path_out_of_the_folder_is_refused() {
        let text = include_str!("../../assets.toml").replace("models/ocr/dictionary.txt", "../dictionary.txt");
        assert!(Pins::parse(&text).unwrap_err().to_string().contains("leads out"));
    }
}
