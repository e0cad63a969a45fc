//! The form of the log: one JSON object a line, or for a person at a terminal.
//!
//! Lines are written by a thread of their own, so that a slow disk or pipe never holds up a request. It has room for so
//! many lines; what comes while it is full is dropped, and the end of the program says how many.

use std::io::Write;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogFormat;

/// Lines that may wait to be written.
const LINES_WAITING: usize = 64 * 1024;

/// Libraries that show messages when they are let talk: they are kept at this level, whatever the filter says.
const INDISCREET: [&str; 2] = ["tungstenite=warn", "tokio_tungstenite=warn"];

/// Writes what waits when it is dropped: keep it until the program ends.
pub struct Logs {
    dropped: ErrorCounter,
    _worker: WorkerGuard,
}

/// Starts logging to standard error; the variable `FOREBAY_LOG` overrides `filter`.
///
/// # Errors
/// The filter cannot be read.
pub fn start(format: LogFormat, filter: &str) -> Result<Logs, String> {
    let filter = std::env::var("FOREBAY_LOG").unwrap_or_else(|_| filter.to_owned());
    let filter = discreet(&filter).map_err(|error| format!("log filter `{filter}`: {error}"))?;
    let (writer, worker) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_WAITING).finish(std::io::stderr());
    let dropped = writer.error_counter();
    let builder = fmt().with_env_filter(filter).with_writer(writer);
    let started = match format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).finish().try_init(),
        LogFormat::Pretty => builder.compact().finish().try_init(),
    };
    // A second start in one process keeps the first.
    drop(started);
    forebay_http::log_panics_by_location();
    Ok(Logs { dropped, _worker: worker })
}

fn discreet(filter: &str) -> Result<EnvFilter, ParseError> {
    // More specific directives would win over ours.
    let others = filter.split(',').filter(|one| !one.contains("tungstenite"));
    EnvFilter::try_new(others.chain(INDISCREET).collect::<Vec<_>>().join(","))
}

impl Drop for Logs {
    fn drop(&mut self) {
        let lines = self.dropped.dropped_lines();
        if lines > 0 {
            let _ = writeln!(std::io::stderr(), "forebay: {lines} log lines were dropped: the log could not keep up");
        }
    }
}
