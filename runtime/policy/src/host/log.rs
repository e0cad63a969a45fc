//! The interface `log`: bounded lines in the gateway's log.

use wasmtime::Result;

use crate::bindings::log::{Host, Level};
use crate::limits::LOG_LINE_BYTES;
use crate::log_lines::redact;
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

/// Takes out what looks like a token, cuts a line to its limit and escapes what could forge another one.
fn line(text: &str) -> String {
    // Before the cut, so that no half of a token is left; what is far behind it is not looked at.
    let clean = redact(cut(text, LOG_LINE_BYTES.saturating_mul(4)));
    cut(&clean, LOG_LINE_BYTES)
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
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
        let late = format!("{} eyJhbGciOiJFUzI1NiJ9.e30.c2ln", "x".repeat(LOG_LINE_BYTES - 15));
        assert!(!line(&late).contains("eyJ"));
    }
}
