//! `forebay check`

use std::path::Path;

use forebay_region::RegionConfig;

use super::{Failure, say};
use crate::config::Config;

/// Reports every mistake of a configuration file.
pub(super) fn run(file: &Path) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    let kind = if is_regions(&text) {
        RegionConfig::load(file).map_err(|mistakes| Failure::Usage(mistakes.to_string()))?;
        "regional node"
    } else {
        Config::load(file).map_err(|mistakes| Failure::Usage(mistakes.to_string()))?;
        "gateway node"
    };
    say(&format!("{}: configuration of a {kind}, no mistakes", file.display()));
    Ok(())
}

/// A regional node's file has a `[runtime]`; a gateway's never has.
fn is_regions(text: &str) -> bool {
    text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("runtime"))
}
