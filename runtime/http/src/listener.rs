//! Accepts connections, within a limit, and drains them at the end.
//!
//! The accept loop awaits nothing that a peer controls: the handshake belongs to the connection's task.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::Body;
use crate::connection::info::ConnectionInfo;
use crate::connection::{self, Shared};
use crate::error::HttpError;
use crate::limits::Limits;
use crate::stats::{ListenerStats, count};
use crate::tls::TlsHandle;

/// Connections that the kernel holds for us; it may hold fewer (`net.core.somaxconn`).
const BACKLOG: u32 = 4_096;
const FIRST_BACKOFF: Duration = Duration::from_millis(5);
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. It has exactly one valid host (HTTP/1.0 may have none), no user information in it, and
    /// headers within the limits. Its body is unread and unlimited: read it with [`crate::collect_bounded`] or pass it
    /// on with [`Body::limited`]. The future is dropped when the client leaves. A panic becomes a 500.
    fn handle(
        &self,
        connection: &Arc<ConnectionInfo>,
        request: Request<Body>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// How a drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still open when the time was up, and were cut.
    pub cut: usize,
}

/// A bound address that does not accept yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    local_addr: SocketAddr,
    tls: Option<TlsHandle>,
    limits: Limits,
    stats: Arc<ListenerStats>,
}

impl Listener {
    /// Binds an address (port 0: any free port). With `tls`, only TLS is spoken on it.
    ///
    /// # Errors
    /// [`HttpError::Bind`].
    pub async fn bind(address: SocketAddr, tls: Option<TlsHandle>, limits: Limits) -> Result<Self, HttpError> {
        let bound = listen(address).and_then(|socket| Ok((socket.local_addr()?, socket)));
        let (local_addr, socket) = bound.map_err(|source| HttpError::Bind { address, source })?;
        Ok(Self { socket, local_addr, tls, limits, stats: Arc::default() })
    }

    /// The bound address, with the real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The counters, which live on while [`Self::serve`] runs.
    #[must_use]
    pub fn stats(&self) -> Arc<ListenerStats> {
        Arc::clone(&self.stats)
    }

    /// Serves until `shutdown`, then stops accepting, lets requests in flight end (GOAWAY, `connection: close`), and
    /// cuts what is left after [`Limits::drain`]. Dropping the future cuts everything at once.
    pub async fn serve<H: Handler>(self, handler: Arc<H>, shutdown: CancellationToken) -> Drained {
        let Self { socket, tls, limits, stats, .. } = self;
        let drain = limits.drain;
        let free = Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
        let cut = CancellationToken::new();
        let _cut_if_dropped = cut.clone().drop_guard();
        let shared = Arc::new(Shared { handler, tls, limits, stats, shutdown, cut: cut.clone() });
        let connections = TaskTracker::new();
        while let Some((permit, stream, peer)) = next(&socket, &free, &shared).await {
            count(&shared.stats.accepted);
            let shared = Arc::clone(&shared);
            connections.spawn(async move {
                let _open = Open { permit, stats: Arc::clone(&shared.stats) };
                connection::run(shared, stream, peer).await;
            });
        }
        drop(socket);
        connections.close();
        finish(&connections, drain, &cut).await
    }
}

/// Counts a connection as closed however its task ends.
struct Open {
    #[expect(dead_code, reason = "held for its drop")]
    permit: OwnedSemaphorePermit,
    stats: Arc<ListenerStats>,
}

impl Drop for Open {
    fn drop(&mut self) {
        count(&self.stats.closed);
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the old connections' last packets.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The next connection and its place among the allowed ones; None at shutdown.
async fn next<H>(
    socket: &TcpListener,
    free: &Arc<Semaphore>,
    shared: &Shared<H>,
) -> Option<(OwnedSemaphorePermit, TcpStream, SocketAddr)> {
    tokio::select! {
        biased;
        () = shared.shutdown.cancelled() => None,
        accepted = async {
            let permit = place(free, &shared.stats).await?;
            let (stream, peer) = accept(socket, &shared.stats).await;
            Some((permit, stream, peer))
        } => accepted,
    }
}

async fn place(free: &Arc<Semaphore>, stats: &ListenerStats) -> Option<OwnedSemaphorePermit> {
    match Arc::clone(free).try_acquire_owned() {
        Ok(permit) => Some(permit),
        Err(TryAcquireError::Closed) => None,
        Err(TryAcquireError::NoPermits) => {
            count(&stats.full);
            tracing::debug!("the connection limit is reached; not accepting");
            Arc::clone(free).acquire_owned().await.ok()
        }
    }
}

/// Accepts one connection, whatever it takes.
async fn accept(socket: &TcpListener, stats: &ListenerStats) -> (TcpStream, SocketAddr) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        match socket.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if concerns_one_connection(&error) => count(&stats.accept_errors),
            Err(error) => {
                // Out of file descriptors or memory: trying again at once would only burn the CPU.
                count(&stats.accept_errors);
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn finish(connections: &TaskTracker, drain: Duration, cut: &CancellationToken) -> Drained {
    if tokio::time::timeout(drain, connections.wait()).await.is_ok() {
        return Drained { cut: 0 };
    }
    let left = connections.len();
    cut.cancel();
    connections.wait().await;
    Drained { cut: left }
}
