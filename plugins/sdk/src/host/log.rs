//! Lines in the gateway's log. Never write a claim, a token or the content of a message.

#[cfg(target_family = "wasm")]
pub use crate::bindings::host::forebay::policy::log::{Level, write};

/// How much a line matters.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Writes one line.
#[cfg(not(target_family = "wasm"))]
pub fn write(level: Level, text: &str) {
    crate::testing::with(|host| host.lines.push((level, text.to_owned())));
}

/// Writes a line of level info.
pub fn info(text: &str) {
    write(Level::Info, text);
}

/// Writes a line of level warn.
pub fn warn(text: &str) {
    write(Level::Warn, text);
}
