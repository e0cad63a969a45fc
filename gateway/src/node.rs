//! A running gateway node: its listeners, its present edge, reload and drain.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use forebay_http::{
    ConnectionInfo, DevCa, Handler, Listener, ListenerCounts, ListenerStats, RequestBody, ResponseBody, TlsHandle, tls,
};
use forebay_policy::{ArtefactStats, Engine, EngineLimits};
use http::{Request, Response};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::admin::Admin;
use crate::admit::Admission;
use crate::cache::AnswerCache;
use crate::config::{Certificate, Clients, Config};
use crate::edge::{Edge, Lasting};
use crate::error::{LifecycleError, StartError};
use crate::function::Functions;
use crate::pipeline;
use crate::policy::lifecycle::{Alarm, Back, Decided, Earlier, Quarantined};
use crate::policy::services::Supplies;
use crate::policy::store::Store;
use crate::telemetry::metrics::Metrics;

/// A node that listens.
pub struct Node {
    state: Arc<State>,
    front: Listener,
    admin: Listener,
    drain: CancellationToken,
    heeding: AbortOnDropHandle<()>,
}

/// What requests, the admin API and reloads share.
pub struct State {
    edge: ArcSwap<Edge>,
    lasting: Lasting,
    watch: Mutex<JoinSet<()>>,
    tls: TlsHandle,
    listener: Arc<ListenerStats>,
    file: Option<PathBuf>,
    /// What the present edge was built from.
    config: ArcSwap<Config>,
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
        let (store, lifecycle) = Store::open(config.policy_state.as_ref())?;
        let (alarm, alarms) = Alarm::new();
        let metrics = Arc::new(Metrics::default());
        let lasting = Lasting {
            engine: store.equip(engine),
            functions: Arc::new(Functions::new(config.function_instances, &metrics)),
            store,
            cache: Arc::new(AnswerCache::new(config.cache_memory_bytes)),
            supplies: Arc::new(Supplies::new(&metrics, config.policy_tenants)),
            metrics,
            admission: Arc::new(Admission::new(config.limits.requests, config.limits.buffered_bytes)),
            lifecycle: Arc::new(lifecycle),
            alarm,
        };
        let edge = build_apart(config, &lasting, None, None).await?;
        let tls = TlsHandle::new(server_tls(config)?);
        let front = Listener::bind(config.listen.address, Some(tls.clone()), config.limits.listener.clone()).await?;
        let admin = Listener::bind(config.admin, None, config.limits.listener.clone()).await?;
        edge.look_around(config).await;
        let watch = edge.keep_watch(config);
        edge.publish(config, &lasting);
        write_down(config, &lasting, None, &edge, None).await;
        let drain = CancellationToken::new();
        let state = State {
            edge: ArcSwap::new(edge),
            lasting,
            watch: Mutex::new(watch),
            tls,
            listener: front.stats(),
            file: file.map(Path::to_path_buf),
            config: ArcSwap::from_pointee(config.clone()),
            reloading: tokio::sync::Mutex::default(),
            drain: drain.clone(),
        };
        let state = Arc::new(state);
        let heeding = tokio::spawn(heed(alarms, Arc::downgrade(&state)));
        Ok(Self { state, front, admin, drain, heeding: AbortOnDropHandle::new(heeding) })
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
        drop(self.heeding);
        close(&self.state.lasting.supplies).await;
        tracing::info!("drained");
    }
}

impl State {
    /// The edge that new requests begin with.
    pub(crate) fn edge(&self) -> Arc<Edge> {
        self.edge.load_full()
    }

    /// What the cache of compiled plugins did; None without one.
    pub(crate) fn artefacts(&self) -> Option<ArtefactStats> {
        self.lasting.store.artefacts()
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
        let tls = server_tls(&config)?;
        self.rebuild(&config, None).await?;
        self.tls.replace(tls);
        self.config.store(Arc::new(config));
        tracing::info!(file = %file.display(), "reloaded");
        Ok(())
    }

    /// Swaps in the edge of `config`; requests in work keep theirs. With a `change`, nothing else changes. True when
    /// what was decided about versions is written down.
    async fn rebuild(&self, config: &Config, change: Option<Change<'_>>) -> Result<bool, StartError> {
        let before = self.edge();
        let only = change.map(|change| change.name.to_owned());
        let edge = build_apart(config, &self.lasting, Some(Arc::clone(&before)), only).await?;
        if let Some(change) = change {
            change.check(&edge)?;
        }
        let told = change.filter(|change| change.told).map(|change| change.name);
        edge.look_around(config).await;
        *self.watch.lock() = edge.keep_watch(config);
        let written = write_down(config, &self.lasting, Some(before), &edge, told).await;
        edge.publish(config, &self.lasting);
        self.edge.store(edge);
        Ok(written)
    }

    /// Puts a plugin's candidate in the place of its active version; says which that is.
    ///
    /// # Errors
    /// There is no such plugin, it has no candidate, or the candidate does not load.
    pub(crate) async fn promote(&self, name: &str) -> Result<Decided, LifecycleError> {
        let _alone = self.reloading.lock().await;
        let policy = self.edge().policy(name).ok_or(LifecycleError::NoPlugin)?;
        let shadow = policy.shadow.as_ref().ok_or(LifecycleError::NoCandidate)?;
        let digest = shadow.candidate().digest().to_owned();
        let before = self.lasting.lifecycle.present();
        self.lasting.lifecycle.promote(&digest, &policy.plugin);
        let lasts = self.decide(before, Change { name, digest: Some(&digest), told: false }).await?;
        let soon = if lasts { "when there is time" } else { "before the next start" };
        tracing::warn!(plugin = name, digest, "candidate promoted; put it into the configuration {soon}");
        Ok(Decided { digest, lasts })
    }

    /// Puts the last version of a plugin that served well back in the place of the present one; says which that is. With
    /// the `digest` of a version in quarantine that is done without an operator.
    ///
    /// # Errors
    /// There is no such plugin, or none served well before.
    pub(crate) async fn roll_back(&self, name: &str, digest: Option<&str>) -> Result<Decided, LifecycleError> {
        let _alone = self.reloading.lock().await;
        let policy = self.edge().policy(name).ok_or(LifecycleError::NoPlugin)?;
        let present = policy.plugin.digest();
        // What was to be withdrawn may be gone already.
        if digest.is_some_and(|digest| digest != present) {
            return Ok(Decided { digest: present.to_owned(), lasts: false });
        }
        let before = self.lasting.lifecycle.present();
        let back = self.lasting.lifecycle.withdraw(name, present).ok_or(LifecycleError::NothingBefore)?;
        // A quarantine is nobody's word that a version may go back.
        let written = self.decide(before, Change { name, digest: None, told: digest.is_none() }).await?;
        let now = self.edge().policy(name).map(|policy| policy.plugin.digest().to_owned()).unwrap_or_default();
        if now == present {
            return Err(LifecycleError::NothingBefore);
        }
        tracing::warn!(plugin = name, withdrawn = present, digest = now, "rolled back");
        // Without a folder for the state a promotion ends with the node, too.
        let lasts = back == Back::Configured && (written || !self.lasting.lifecycle.is_kept());
        Ok(Decided { digest: now, lasts })
    }

    /// Has what was decided since `before` take effect, or takes it back.
    async fn decide(&self, before: Earlier, change: Change<'_>) -> Result<bool, StartError> {
        let rebuilt = self.rebuild(&self.config.load_full(), Some(change)).await;
        if rebuilt.is_err() {
            self.lasting.lifecycle.go_back(before);
        }
        rebuilt
    }
}

/// A change of one plugin's version.
#[derive(Clone, Copy)]
struct Change<'a> {
    name: &'a str,
    /// The version that is to serve then.
    digest: Option<&'a str>,
    /// An operator said so, and so it may go back.
    told: bool,
}

impl Change<'_> {
    /// Checks that what was built is what was decided on: its file may have changed since.
    fn check(&self, edge: &Edge) -> Result<(), StartError> {
        let serves = edge.policy(self.name);
        if self.digest.is_none_or(|digest| serves.is_some_and(|policy| policy.plugin.digest() == digest)) {
            return Ok(());
        }
        let reason = "its file has changed since it was loaded as a candidate: reload first".to_owned();
        Err(StartError::Plugin { name: self.name.to_owned(), reason })
    }
}

/// How long a version that could not be replaced is left alone before that is tried again.
const NEXT_TRY: Duration = Duration::from_secs(60);

/// Puts back the last good version of each plugin that is quarantined, where there is one.
async fn heed(mut alarms: mpsc::Receiver<Quarantined>, state: Weak<State>) {
    let mut failed: HashMap<String, (String, Instant)> = HashMap::new();
    while let Some(Quarantined { name, digest }) = alarms.recv().await {
        let Some(state) = state.upgrade() else { return };
        if failed.get(&name).is_some_and(|(of, when)| *of == digest && when.elapsed() < NEXT_TRY) {
            continue;
        }
        match state.roll_back(&name, Some(&digest)).await {
            Ok(_) => drop(failed.remove(&name)),
            Err(error) => {
                if !matches!(error, LifecycleError::NothingBefore | LifecycleError::NoPlugin) {
                    tracing::error!(plugin = name, %error, "the last good version could not be put back");
                }
                failed.insert(name, (digest, Instant::now()));
            }
        }
    }
}

/// How long a disk may take over the last records of plugins.
const LAST_RECORDS: Duration = Duration::from_secs(5);

/// Writing files takes long: on a thread that may block.
async fn close(supplies: &Arc<Supplies>) {
    let supplies = Arc::clone(supplies);
    if tokio::task::spawn_blocking(move || supplies.close(LAST_RECORDS)).await.is_err() {
        tracing::error!("the last records of plugins may be lost");
    }
}

/// Writes down what was decided about the versions in `edge`, and then that they are served: in this order, since a
/// decision is what lets a version start again that is lower than another one before. False when the decisions are not on
/// the disk.
async fn write_down(
    config: &Config,
    lasting: &Lasting,
    before: Option<Arc<Edge>>,
    edge: &Arc<Edge>,
    told: Option<&str>,
) -> bool {
    let allowed = config.plugins.iter().filter(|plugin| plugin.trust.allow_downgrade).map(|plugin| &*plugin.name);
    let may_go_back: BTreeSet<String> = allowed.chain(told).map(str::to_owned).collect();
    let (lasting, edge) = (lasting.clone(), Arc::clone(edge));
    // Another process may be writing too, and is waited for.
    let written = tokio::task::spawn_blocking(move || {
        let before = before.as_ref().map_or(&[][..], |before| before.policies.as_slice());
        let written = lasting.lifecycle.swapped(before, &edge.policies);
        lasting.store.remember(&edge.policies, |name| may_go_back.contains(name));
        lasting.store.remember_functions(&edge.functions);
        written
    });
    written.await.unwrap_or(false)
}

/// Compiling plugins and reading files takes long: on a thread that may block.
async fn build_apart(
    config: &Config,
    lasting: &Lasting,
    before: Option<Arc<Edge>>,
    only: Option<String>,
) -> Result<Arc<Edge>, StartError> {
    let (config, lasting) = (config.clone(), lasting.clone());
    let build = move || Edge::build(&config, &lasting, before.as_deref(), only.as_deref());
    let built = tokio::task::spawn_blocking(build).await;
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
    let clients = match &config.listen.clients {
        None => tls::ClientAuth::Off,
        Some(Clients { ca, required: false }) => tls::ClientAuth::Optional(ca),
        Some(Clients { ca, required: true }) => tls::ClientAuth::Required(ca),
    };
    match &config.listen.certificate {
        Certificate::Files { certificate, key } => Ok(tls::server_config_with(certificate, key, clients)?),
        Certificate::Development(folder) => {
            let authority = DevCa::ensure(folder)?;
            let files = authority.files();
            tracing::warn!(ca = %files.ca.display(), "using a development certificate: only for loopback names");
            Ok(tls::server_config_with(&files.certificate, &files.key, clients)?)
        }
    }
}
