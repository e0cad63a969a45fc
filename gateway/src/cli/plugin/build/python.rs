//! Python: the interpreter, its standard library and the plugin's modules become one component, with WASI stubbed.

use std::path::Path;
use std::process::Command;

use super::{WORLD, component_of, has_world, which};

const TOOL: &str = "componentize-py";

/// Where virtual environments put it.
const OWN: [&str; 2] = [".venv/bin", "venv/bin"];

/// Builds the plugin whose glue is `src/app.py`.
pub(super) fn build(folder: &Path) -> Result<Vec<u8>, String> {
    has_world(folder)?;
    let folder = folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))?;
    let own = OWN.map(|home| folder.join(home).join(TOOL).display().to_string());
    let [first, second] = &own;
    let Some(tool) = which(&[first, second, TOOL]) else {
        return Err("componentize-py is not installed here: run `python3 -m venv .venv && .venv/bin/pip install \
                    --require-hashes -r requirements.txt` in the plugin's folder"
            .to_owned());
    };
    component_of(|out| {
        let mut python = Command::new(tool);
        python
            .current_dir(&folder)
            .args(["--wit-path", "wit", "--world", WORLD, "componentize", "--stub-wasi", "--python-path", "src"])
            .args(["app", "--output"])
            .arg(out);
        python
    })
}
