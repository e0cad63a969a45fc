//! One line per request, written when the last byte left or the client did.

use std::net::SocketAddr;
use std::time::Duration;

/// The facts of a finished request. Never a header value, a claim beyond the tenant's name, or any content.
#[derive(Debug)]
pub struct Line {
    /// Who connected.
    pub peer: SocketAddr,
    /// Method.
    pub method: http::Method,
    /// Path, without the query.
    pub path: String,
    /// HTTP version.
    pub version: http::Version,
    /// Route, once found.
    pub route: Option<String>,
    /// Model, once named.
    pub model: Option<String>,
    /// Tenant, once verified.
    pub tenant: Option<String>,
    /// Status sent; 499 where the client left before.
    pub status: u16,
    /// Problem type of a refusal.
    pub reason: Option<&'static str>,
    /// What only the log may say of it.
    pub cause: Option<String>,
    /// What the cache did.
    pub cache: Option<&'static str>,
    /// Last region asked.
    pub region: Option<String>,
    /// Regions asked.
    pub attempts: u32,
    /// Trace id.
    pub trace: String,
    /// Body bytes taken by the connection.
    pub bytes_out: u64,
    /// Whether the last byte was taken.
    pub completed: bool,
    /// From the head to the last byte.
    pub duration: Duration,
}

impl Line {
    /// Writes the line.
    pub fn write(&self) {
        tracing::info!(
            target: "access",
            peer = %self.peer,
            method = %self.method,
            path = %self.path,
            version = ?self.version,
            route = self.route.as_deref(),
            model = self.model.as_deref(),
            tenant = self.tenant.as_deref(),
            status = self.status,
            reason = self.reason,
            cause = self.cause.as_deref(),
            cache = self.cache,
            region = self.region.as_deref(),
            attempts = self.attempts,
            trace = %self.trace,
            bytes_out = self.bytes_out,
            completed = self.completed,
            duration_ms = self.duration.as_secs_f64() * 1e3,
            "request"
        );
    }
}
