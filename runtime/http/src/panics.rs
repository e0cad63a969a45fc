//! What a panic leaves in the log.

use std::panic::Location;

/// Makes every panic of the process log where it happened, and nothing of what it said: a message may hold data of a
/// request. For a program to call once its log is set up; until then, and without it, Rust prints both to stderr.
pub fn log_panics_by_location() {
    std::panic::set_hook(Box::new(|panic| {
        let (file, line) =
            panic.location().map_or(("unknown", 0), |location: &Location<'_>| (location.file(), location.line()));
        tracing::error!(file, line, "panicked");
    }));
}
