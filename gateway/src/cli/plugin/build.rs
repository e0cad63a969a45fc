//! `forebay plugin build`: from a plugin's folder to its component, by the toolchain of its language.
//!
//! Toolchains are found, never fetched: what is missing is named together with the command that gets it.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use super::component::PLUGIN_FILE;
use super::language::Language;
use crate::cli::{Failure, say};

mod javascript;
mod python;
mod rust;

/// What to build.
#[derive(Args)]
pub(crate) struct Options {
    /// Folder of the plugin.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Language, where the folder does not tell.
    #[arg(long, value_enum)]
    lang: Option<Language>,
    /// The component to write. Default: the one that plugin.toml names.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Builds the component.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let folder = &options.folder;
    let language = match options.lang {
        Some(language) => language,
        None => Language::of(folder).map_err(Failure::Usage)?,
    };
    let out = match &options.out {
        Some(out) => out.clone(),
        None => super::component::file_of(folder)?,
    };
    let wasm = match language {
        Language::Rust => rust::build(folder),
        Language::Js => javascript::build(folder),
        Language::Python => python::build(folder),
    }
    .map_err(Failure::Failed)?;
    std::fs::write(&out, &wasm).map_err(|error| Failure::Failed(format!("{}: {error}", out.display())))?;
    say(&format!("{}: {}", out.display(), super::component::size(wasm.len())));
    Ok(())
}

/// Runs a toolchain with our own output.
fn complete(command: &mut Command) -> Result<(), String> {
    let line = shown(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed ({status})")),
        Err(error) => Err(format!("`{line}` could not start: {error}")),
    }
}

/// Runs a toolchain that writes a component to a file, and reads it.
fn component_of(command: impl FnOnce(&Path) -> Command) -> Result<Vec<u8>, String> {
    let scratch = Scratch::new()?;
    let file = scratch.0.join("component.wasm");
    complete(&mut command(&file))?;
    std::fs::read(&file).map_err(|error| format!("the toolchain left no component: {error}"))
}

/// A folder that goes away with this.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        let folder =
            std::env::temp_dir().join(format!("forebay-build-{}-{:x}", std::process::id(), rand::random::<u64>()));
        std::fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The first of `programs` that runs.
fn which<'p>(programs: &[&'p str]) -> Option<&'p str> {
    let runs =
        |program: &&&str| Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    programs.iter().find(runs).copied()
}

/// The plugin's own world, which the toolchains of other languages than Rust are told of.
const WORLD: &str = "plugin";

fn has_world(folder: &Path) -> Result<(), String> {
    let file = folder.join("wit/world.wit");
    if file.is_file() {
        Ok(())
    } else {
        Err(format!("{}: is missing ({PLUGIN_FILE} alone makes no plugin)", file.display()))
    }
}
