//! The benchmark's rule as Envoy loads it: a core module, not a component, so it is no guest of ours.

use anyhow::{Context, Result};

use super::guests;
use super::toolchain::{TARGET, Toolchain};
use crate::{Workspace, command, files};

const PACKAGE: &str = "forebay-bench-filter";
const LIBRARY: &str = "bench_filter";

/// Builds it beside the peers, as `bench-filter.wasm`. Cargo knows whether there is anything to do.
pub(super) fn ensure(workspace: &Workspace) -> Result<()> {
    let mut cargo = Toolchain::choose(workspace)?.cargo_build(workspace)?;
    cargo.args(["--package", PACKAGE]).env("CARGO_TARGET_DIR", workspace.guests_dir());
    guests::optimise(&mut cargo);
    command::run(&mut cargo)?;
    let built = workspace.guests_dir().join(TARGET).join("release").join(LIBRARY).with_extension("wasm");
    let module = std::fs::read(&built).with_context(|| format!("no module of {PACKAGE}"))?;
    files::write_if_different(&workspace.peers_dir().join("bench-filter.wasm"), &module)?;
    Ok(())
}
