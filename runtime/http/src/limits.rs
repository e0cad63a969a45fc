//! The limits that every listener has.

use std::time::Duration;

/// Limits on connections and on what precedes a request's body. The limit on bodies belongs to the route and is
/// enforced by whoever reads them ([`crate::collect_bounded`], [`crate::Body::limited`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections, handshakes included. At the limit the listener stops accepting, and the kernel's queue fills.
    pub connections: usize,
    /// From accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of an HTTP/1 request to the end of its header section.
    pub header_read: Duration,
    /// How long a connection may stay open without a request.
    pub idle: Duration,
    /// How long a peer may refuse to take bytes that are ready for it: all of them, or over HTTP/2 those of any one
    /// response (a stream without window). Any byte taken counts. The connection is cut before twice this time.
    pub write_stall: Duration,
    /// Header fields in a request.
    pub headers_count: usize,
    /// Size of a request's header section.
    pub headers_bytes: usize,
    /// Concurrent HTTP/2 streams on one connection.
    pub h2_streams: u32,
    /// How long requests in flight may go on after shutdown began; then they are cut.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            handshake: Duration::from_secs(10),
            header_read: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            write_stall: Duration::from_secs(30),
            headers_count: 100,
            headers_bytes: 32 * 1024,
            h2_streams: 128,
            drain: Duration::from_secs(30),
        }
    }
}
