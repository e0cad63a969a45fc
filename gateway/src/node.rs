//! A running gateway node: its listeners, its present edge, reload and drain.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use forebay_http::{
    ConnectionInfo, DevCa, Handler, Listener, ListenerCounts, ListenerStats, RequestBody, ResponseBody, TlsHandle, tls,
};
use forebay_policy::{Engine, EngineLimits};
use http::{Request, Response};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::admit::Admission;
use crate::cache::AnswerCache;
use crate::config::{Certificate, Config};
use crate::edge::{Edge, Lasting};
use crate::error::StartError;
use crate::pipeline;
use crate::telemetry::metrics::Metrics;

/// A node that listens.
pub struct Node {
    state: Arc<State>,
    front: Listener,
    admin: Listener,
    drain: CancellationToken,
}

/// What requests, the admin API and reloads share.
pub struct State {
    edge: ArcSwap<Edge>,
    lasting: Lasting,
    watch: Mutex<JoinSet<()>>,
    tls: TlsHandle,
    listener: Arc<ListenerStats>,
    file: Option<PathBuf>,
    /// One reload at a time, or an older file could win.
    reloading: tokio::sync::Mutex<()>,
    drain: CancellationToken,
}

impl Node {
    /// Builds everything and binds the listeners; serves nothing yet. `file` is what a reload reads again.
    ///
    /// # Errors
    /// Something that the configuration names cannot be used, or an address cannot be bound.
    pub async fn bind(config: &Config, file: Option<&Path>) -> Result<Self, StartError> {
        let engine = Engine::new(&EngineLimits { instances: config.policy_instances, ..EngineLimits::default() })
            .map_err(|error| StartError::Policy(error.to_string()))?;
        let lasting = Lasting {
            engine,
            cache: Arc::new(AnswerCache::new(config.cache_memory_bytes)),
            metrics: Arc::new(Metrics::default()),
            admission: Arc::new(Admission::new(config.limits.requests, config.limits.buffered_bytes)),
        };
        let edge = build_apart(config, &lasting, None).await?;
        let tls = TlsHandle::new(server_tls(config)?);
        let front = Listener::bind(config.listen.address, Some(tls.clone()), config.limits.listener.clone()).await?;
        let admin = Listener::bind(config.admin, None, config.limits.listener.clone()).await?;
        edge.look_around(config).await;
        let watch = edge.keep_watch(config);
        let drain = CancellationToken::new();
        let state = State {
            edge: ArcSwap::new(edge),
            lasting,
            watch: Mutex::new(watch),
            tls,
            listener: front.stats(),
            file: file.map(Path::to_path_buf),
            reloading: tokio::sync::Mutex::default(),
            drain: drain.clone(),
        };
        Ok(Self { state: Arc::new(state), front, admin, drain })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.front.local_addr()
    }

    /// Where operators connect.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// Cancel it to drain: no new connections, requests in work get their time, then `serve` returns.
    #[must_use]
    pub fn drain(&self) -> CancellationToken {
        self.drain.clone()
    }

    /// What a signal handler needs to reload.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.state)
    }

    /// Serves until drained. The admin API answers until the last request left.
    pub async fn serve(self) {
        tracing::info!(address = %self.address(), admin = %self.admin_address(), "serving");
        let admin_end = CancellationToken::new();
        let admin = Arc::new(Admin::new(Arc::clone(&self.state)));
        let admin = tokio::spawn(self.admin.serve(admin, admin_end.clone()));
        self.front.serve(Arc::new(Front(Arc::clone(&self.state))), self.drain).await;
        admin_end.cancel();
        drop(admin.await);
        tracing::info!("drained");
    }
}

impl State {
    /// The edge that new requests begin with.
    pub(crate) fn edge(&self) -> Arc<Edge> {
        self.edge.load_full()
    }

    /// What the front door counts.
    pub(crate) fn listener_counts(&self) -> ListenerCounts {
        self.listener.counts()
    }

    /// Whether the node takes no new connections.
    pub(crate) fn draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Begins to drain.
    pub(crate) fn begin_drain(&self) {
        self.drain.cancel();
    }

    /// Reads the configuration again and swaps the edge. A bad one is refused: the old edge serves on.
    ///
    /// # Errors
    /// What is wrong with the new configuration.
    pub async fn reload(&self) -> Result<(), StartError> {
        let Some(file) = &self.file else { return Ok(()) };
        let _alone = self.reloading.lock().await;
        let config = Config::load(file)?;
        let edge = build_apart(&config, &self.lasting, Some(self.edge())).await?;
        let tls = server_tls(&config)?;
        edge.look_around(&config).await;
        self.tls.replace(tls);
        *self.watch.lock() = edge.keep_watch(&config);
        self.edge.store(edge);
        tracing::info!(file = %file.display(), "reloaded");
        Ok(())
    }
}

/// Compiling plugins and reading files takes long: on a thread that may block.
async fn build_apart(config: &Config, lasting: &Lasting, before: Option<Arc<Edge>>) -> Result<Arc<Edge>, StartError> {
    let (config, lasting) = (config.clone(), lasting.clone());
    let built = tokio::task::spawn_blocking(move || Edge::build(&config, &lasting, before.as_deref())).await;
    built.unwrap_or_else(|died| Err(StartError::Policy(died.to_string()))).map(Arc::new)
}

/// The TLS front door: every request goes through the pipeline of the present edge.
struct Front(Arc<State>);

impl Handler for Front {
    async fn handle(&self, connection: &Arc<ConnectionInfo>, request: Request<RequestBody>) -> Response<ResponseBody> {
        let edge = self.0.edge();
        pipeline::handle(&edge, connection, request).await
    }
}

fn server_tls(config: &Config) -> Result<rustls::ServerConfig, StartError> {
    match &config.listen.certificate {
        Certificate::Files { certificate, key } => Ok(tls::server_config(certificate, key, None)?),
        Certificate::Development(folder) => {
            let authority = DevCa::ensure(folder)?;
            let files = authority.files();
            tracing::warn!(ca = %files.ca.display(), "using a development certificate: only for loopback names");
            Ok(tls::server_config(&files.certificate, &files.key, None)?)
        }
    }
}
