//! One line per request, written when the last byte left or the client did.

use std::net::SocketAddr;
use std::time::Duration;

/// The facts of a finished request. Never a header value, a claim beyond the tenant's name, or any content.
#[derive(Debug)]
pub struct Line {
    /// Who connected.
    pub(crate) peer: SocketAddr,
    /// Method.
    pub(crate) method: http::Method,
    /// Path, without the query.
    pub(crate) path: String,
    /// HTTP version.
    pub(crate) version: http::Version,
    /// Route, once found.
    pub(crate) route: Option<String>,
    /// Model, once named.
    pub(crate) model: Option<String>,
    /// Tenant, once verified.
    pub(crate) tenant: Option<String>,
    /// Status sent; 499 where the client left before.
    pub(crate) status: u16,
    /// Problem type of a refusal.
    pub(crate) reason: Option<&'static str>,
    /// What only the log may say of it.
    pub(crate) cause: Option<String>,
    /// What the cache did.
    pub(crate) cache: Option<&'static str>,
    /// Last region asked.
    pub(crate) region: Option<String>,
    /// Regions asked.
    pub(crate) attempts: u32,
    /// Trace id.
    pub(crate) trace: String,
    /// Body bytes taken by the connection.
    pub(crate) bytes_out: u64,
    /// Whether the last byte was taken.
    pub(crate) completed: bool,
    /// From the head to the last byte.
    pub(crate) duration: Duration,
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
