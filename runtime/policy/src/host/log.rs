//! The interface `log`: bounded lines in the gateway's log.

use wasmtime::Result;

use crate::bindings::log::{Host, Level};
use crate::limits::LOG_LINE_BYTES;
use crate::log_lines::told;
use crate::state::CallState;

impl Host for CallState {
    fn write(&mut self, level: Level, text: String) -> Result<()> {
        self.charge(text.len())?;
        if self.charge_log_line() {
            emit(&self.plugin, level, &told(&text, LOG_LINE_BYTES));
        }
        Ok(())
    }
}

fn emit(plugin: &str, level: Level, line: &str) {
    match level {
        Level::Debug => tracing::debug!(target: "forebay::plugin", plugin, "{line}"),
        Level::Info => tracing::info!(target: "forebay::plugin", plugin, "{line}"),
        Level::Warn => tracing::warn!(target: "forebay::plugin", plugin, "{line}"),
        Level::Error => tracing::error!(target: "forebay::plugin", plugin, "{line}"),
    }
}
