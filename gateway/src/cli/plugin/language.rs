//! The languages that `new` has templates for and `build` has toolchains for.

use std::path::Path;

use clap::ValueEnum;

/// A language of plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    /// Smallest and fastest: about 50 KB, microseconds for a call.
    Rust,
    /// With an engine inside: 12 MB, about half a millisecond for a call.
    #[value(alias = "javascript")]
    Js,
    /// With an interpreter inside: 18 MB, a millisecond or two for a call.
    Python,
}

impl Language {
    pub(super) const ALL: [Self; 3] = [Self::Rust, Self::Js, Self::Python];

    /// The file by which the language of a folder is known.
    pub(super) fn marker(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Js => "package.json",
            Self::Python => "requirements.txt",
        }
    }

    /// The language of the plugin in `folder`.
    ///
    /// # Errors
    /// There is none, or more than one; says which files tell.
    pub(super) fn of(folder: &Path) -> Result<Self, String> {
        let found: Vec<Self> = Self::ALL.into_iter().filter(|one| folder.join(one.marker()).is_file()).collect();
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(format!("{}: no Cargo.toml, package.json or requirements.txt, so no plugin", folder.display())),
            several => {
                let markers: Vec<_> = several.iter().map(|one| one.marker()).collect();
                Err(format!("{}: has {}; say --lang", folder.display(), markers.join(" and ")))
            }
        }
    }
}
