//! One connection from accept to close, in a task of its own.
//!
//! Protocol: a TLS connection speaks what ALPN chose (HTTP/1.1 without ALPN); a plaintext one speaks HTTP/2 if it opens
//! with the HTTP/2 preface (prior knowledge, RFC 9113 section 3.3) and HTTP/1 otherwise.
//!
//! What hyper answers by itself, without a body and unseen by the handler: 400 to what does not parse, 414 to a target
//! above 64 KiB, 431 to an HTTP/1 header section that does not fit its buffer or has too many fields and to an
//! HTTP/2 one above the announced size. It closes HTTP/1 connections afterwards.
//!
//! Of a request with both Transfer-Encoding and Content-Length hyper reads the first and drops the second, so what is
//! passed on is framed in one way. RFC 9112 section 6.3 allows that, and wants the connection closed afterwards; hyper
//! does not, and tells nobody that there were both (it has no option for it, and its record of the fields as sent is
//! private), so it is neither refused nor closed here. That matters only behind a proxy that reads Content-Length first.

mod activity;
pub(crate) mod authority;
mod driver;
pub(crate) mod info;
mod outgoing;
mod service;
mod strict;
pub(crate) mod upgrade;
mod waits;
mod watched_io;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::limits::Limits;
use crate::listener::Handler;
use crate::stats::{ListenerStats, count};
use crate::tls::TlsHandle;
use activity::Activity;
use driver::Ending;
use info::{ConnectionInfo, TlsInfo};
use upgrade::Slot;
use watched_io::WatchedIo;

/// hyper's smallest HTTP/1 buffer.
const MIN_BUFFER_BYTES: usize = 8 * 1024;
/// Buffers this large keep bodies fast even where headers must be small; the strict check holds headers to their limit.
const USUAL_BUFFER_BYTES: usize = 64 * 1024;
/// An HTTP/2 peer that is silent this long is asked whether it is still there, and has as long to say so.
const H2_PING: Duration = Duration::from_secs(20);
/// Streams that a peer opened and reset before we saw them (CVE-2023-44487).
const H2_PENDING_RESETS: usize = 20;
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// What all connections of a listener share.
pub(crate) struct Shared<H> {
    pub(crate) handler: Arc<H>,
    pub(crate) tls: Option<TlsHandle>,
    pub(crate) limits: Limits,
    pub(crate) stats: Arc<ListenerStats>,
    /// Begins the drain.
    pub(crate) shutdown: CancellationToken,
    /// Ends it.
    pub(crate) cut: CancellationToken,
}

enum Protocol {
    Http1,
    Http2,
    Detect,
}

/// Runs a connection to its end.
pub(crate) async fn run<H: Handler>(shared: Arc<Shared<H>>, stream: TcpStream, peer: SocketAddr) {
    tune(&stream);
    let local = stream.local_addr().ok();
    match &shared.tls {
        None => {
            let info = ConnectionInfo { peer, local, tls: None };
            serve(&shared, stream, info, Protocol::Detect).await;
        }
        Some(tls) => {
            let Some(stream) = handshake(&shared, tls, stream).await else {
                return;
            };
            let tls = TlsInfo::of(stream.get_ref().1);
            let protocol = if tls.alpn.as_deref() == Some("h2") { Protocol::Http2 } else { Protocol::Http1 };
            serve(&shared, stream, ConnectionInfo { peer, local, tls: Some(tls) }, protocol).await;
        }
    }
}

fn tune(stream: &TcpStream) {
    let keepalive = socket2::TcpKeepalive::new().with_time(TCP_KEEPALIVE);
    let tuned = stream.set_nodelay(true).and_then(|()| socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive));
    if let Err(error) = tuned {
        // The connection works without; it may be gone already.
        tracing::debug!(%error, "a socket option could not be set");
    }
}

/// None if the handshake failed, took too long, or the node shuts down.
async fn handshake<H>(shared: &Shared<H>, tls: &TlsHandle, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    let accepting = TlsAcceptor::from(tls.current()).accept(stream);
    let result = tokio::select! {
        result = tokio::time::timeout(shared.limits.handshake, accepting) => result,
        () = shared.shutdown.cancelled() => return None,
    };
    match result {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            count(&shared.stats.handshakes_failed);
            tracing::debug!(%error, "TLS handshake failed");
            None
        }
        Err(_) => {
            count(&shared.stats.handshakes_timed_out);
            None
        }
    }
}

async fn serve<H, S>(shared: &Arc<Shared<H>>, stream: S, info: ConnectionInfo, protocol: Protocol)
where
    H: Handler,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::new());
    let io = TokioIo::new(WatchedIo::new(stream, Arc::clone(&activity)));
    let slot = Slot::default();
    let service = service::Service::new(Arc::clone(shared), Arc::new(info), Arc::clone(&activity), slot.clone());
    let builder = builder(&shared.limits, &protocol);
    let service = hyper::service::service_fn(move |request| service.call(request));
    let connection = builder.serve_connection_with_upgrades(io, service);
    let ending = driver::drive(connection, &activity, &shared.limits, &shared.shutdown, &shared.cut).await;
    account(&shared.stats, &ending);
    if matches!(ending, Ending::Closed(Ok(()))) && !slot.run(&shared.shutdown, &shared.cut).await {
        count(&shared.stats.cut);
    }
}

fn builder(limits: &Limits, protocol: &Protocol) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // hyper's header timeout also runs while a connection is idle; the watchdog tells the two apart.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(limits.headers_count)
        .max_buf_size(limits.headers_bytes.max(USUAL_BUFFER_BYTES).max(MIN_BUFFER_BYTES));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_streams)
        .max_header_list_size(u32::try_from(limits.headers_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(H2_PENDING_RESETS)
        .keep_alive_interval(H2_PING)
        .keep_alive_timeout(H2_PING);
    match protocol {
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
        Protocol::Detect => builder,
    }
}

fn account<E: std::fmt::Display>(stats: &ListenerStats, ending: &Ending<E>) {
    match ending {
        Ending::Closed(Ok(())) => {}
        Ending::Closed(Err(error)) => tracing::debug!(%error, "connection ended early"),
        Ending::Idle => count(&stats.idle_closed),
        Ending::SlowHeaders => count(&stats.slow_headers),
        Ending::Stalled => count(&stats.write_stalls),
        Ending::Cut => count(&stats.cut),
    }
}
