//! The interface `log`: bounded lines in the gateway's log.

use wasmtime::Result;

use crate::bindings::log::{Host, Level};
use crate::limits::LOG_LINE_BYTES;
use crate::state::CallState;

impl Host for CallState {
    fn write(&mut self, level: Level, text: String) -> Result<()> {
        self.charge(text.len())?;
        if self.charge_log_line() {
            emit(&self.plugin, level, &line(&text));
        }
        Ok(())
    }
}

/// Cuts a line to its limit and escapes what could forge another one.
fn line(text: &str) -> String {
    let end = text.floor_char_boundary(LOG_LINE_BYTES);
    let cut = text.get(..end).unwrap_or_default();
    cut.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

fn emit(plugin: &str, level: Level, line: &str) {
    match level {
        Level::Debug => tracing::debug!(target: "forebay::plugin", plugin, "{line}"),
        Level::Info => tracing::info!(target: "forebay::plugin", plugin, "{line}"),
        Level::Warn => tracing::warn!(target: "forebay::plugin", plugin, "{line}"),
        Level::Error => tracing::error!(target: "forebay::plugin", plugin, "{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_between_characters_and_escaped() {
        assert_eq!(line("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        let long = format!("{}é", "x".repeat(LOG_LINE_BYTES - 1));
        assert_eq!(line(&long).len(), LOG_LINE_BYTES - 1);
    }
}
