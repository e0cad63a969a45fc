//! Where things lie in the tree.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The checked-out tree that this program was built from.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the tree: the folder above this crate.
    ///
    /// # Errors
    /// When that folder is gone, e.g. since the binary was moved to another machine.
    pub fn locate() -> Result<Self> {
        let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = crate_dir.parent().context("the xtask crate lies at the root of the file system")?;
        let root = root.canonicalize().with_context(|| format!("the source tree {} is gone", root.display()))?;
        Ok(Self { root })
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Runtime library, models and plugins: what a running Forebay is given.
    #[must_use]
    pub fn assets_dir(&self) -> PathBuf {
        self.root.join("target/assets")
    }

    /// Tools that checks run.
    #[must_use]
    pub fn tools_dir(&self) -> PathBuf {
        self.root.join("target/tools")
    }

    /// Other gateways, to be measured beside ours.
    #[must_use]
    pub fn peers_dir(&self) -> PathBuf {
        self.root.join("target/peers")
    }

    /// What authors of plugins have and a bare machine lacks.
    #[must_use]
    pub fn authoring_dir(&self) -> PathBuf {
        self.root.join("target/authoring")
    }

    /// Cargo's own folder for the WebAssembly build, so that it never waits for, or undoes, the native one.
    #[must_use]
    pub fn guests_dir(&self) -> PathBuf {
        self.root.join("target/guests")
    }

    /// What the demo writes: certificates, configs, tokens.
    #[must_use]
    pub fn demo_dir(&self) -> PathBuf {
        self.root.join("target/demo")
    }

    /// A program that Cargo built natively; `profile` is the folder's name, `debug` or `release`.
    #[must_use]
    pub fn built(&self, profile: &str, program: &str) -> PathBuf {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), PathBuf::from);
        self.root.join(target).join(profile).join(program)
    }
}
