//! A node's life: it listens, loads its models, serves, and drains.
//!
//! It listens first, so that whoever watches it can tell a node that loads from one that is dead; until a model is warm,
//! requests for it are answered 503.

use std::net::SocketAddr;
use std::sync::Arc;

use forebay_http::{Drained, Listener, TlsHandle, tls};
use forebay_inference::{Model, Runtime};
use forebay_seal::Keyring;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::catalog::Catalog;
use crate::config::TlsFiles;
use crate::http::Region;
use crate::metrics::Metrics;
use crate::{RegionConfig, RegionError};

/// Runs a node until `shutdown`, then drains it.
///
/// # Errors
/// Why it did not start, or that a part of it died.
pub async fn run(config: RegionConfig, shutdown: CancellationToken) -> Result<(), RegionError> {
    RegionNode::start(config, shutdown).await?.finished().await
}

/// A node that listens. Dropping it does not stop it; the token it was started with does.
pub struct RegionNode {
    local_addr: SocketAddr,
    stop: CancellationToken,
    region: Arc<Region>,
    loading: Option<JoinHandle<Result<(), RegionError>>>,
    serving: JoinHandle<Drained>,
}

impl RegionNode {
    /// Starts a node; when this returns, its address takes connections and its models are being loaded.
    ///
    /// # Errors
    /// `Key`, `Http`: what has to be right before anything is served.
    pub async fn start(config: RegionConfig, shutdown: CancellationToken) -> Result<Self, RegionError> {
        let stop = shutdown.child_token();
        let keys = keyring(&config)?;
        let tls = config.tls.as_ref().map(tls_handle).transpose()?;
        let listener = Listener::bind(config.listen(), tls, config.listener.clone()).await?;
        let local_addr = listener.local_addr();
        let region = Arc::new(Region {
            admission: Admission::new(config.buffered_bytes, config.body_bytes),
            keys: Arc::new(keys),
            catalog: Catalog::loading(),
            metrics: Arc::new(Metrics::new()),
            listener: listener.stats(),
            stop: stop.clone(),
            config,
        });
        tracing::info!(region = region.config.name(), %local_addr, "listening");
        let serving = tokio::spawn(listener.serve(Arc::clone(&region), stop.clone()));
        let loading = Some(tokio::spawn(load_models(Arc::clone(&region))));
        Ok(RegionNode { local_addr, stop, region, loading, serving })
    }

    /// The address it listens on, with the port that was really taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Waits until every model is loaded and warm, or the node is told to stop.
    ///
    /// # Errors
    /// `Model`, `SameModel`: the node is then stopping.
    pub async fn ready(&mut self) -> Result<(), RegionError> {
        let Some(loading) = &mut self.loading else {
            return Ok(());
        };
        let loaded = tokio::select! {
            loaded = loading => loaded.unwrap_or_else(|error| Err(died(&error))),
            // A load cannot be broken off; it ends by itself, unheeded.
            () = self.stop.cancelled() => Ok(()),
        };
        self.loading = None;
        if loaded.is_err() {
            self.stop.cancel();
        }
        loaded
    }

    /// Waits until the node was told to stop, has drained and has closed its models.
    ///
    /// # Errors
    /// As in `ready`, or `Internal` if a part of the node died.
    pub async fn finished(mut self) -> Result<(), RegionError> {
        let loaded = self.ready().await;
        let drained = self.serving.await.map_err(|error| died(&error));
        close_models(&self.region).await;
        loaded?;
        let Drained { cut } = drained?;
        tracing::info!(cut, "drained");
        Ok(())
    }
}

fn keyring(config: &RegionConfig) -> Result<Keyring, RegionError> {
    let mut keys = Keyring::new();
    for (name, file) in &config.keys {
        keys.load_file(name, file)?;
    }
    Ok(keys)
}

fn tls_handle(files: &TlsFiles) -> Result<TlsHandle, RegionError> {
    let config = tls::server_config(&files.cert, &files.key, files.client_ca.as_deref())?;
    Ok(TlsHandle::new(config))
}

async fn load_models(region: Arc<Region>) -> Result<(), RegionError> {
    tokio::task::spawn_blocking(move || load_models_blocking(&region)).await.unwrap_or_else(|error| Err(died(&error)))
}

fn load_models_blocking(region: &Region) -> Result<(), RegionError> {
    let runtime = Runtime::load(&region.config.runtime)?;
    for settings in &region.config.models {
        if region.stop.is_cancelled() {
            return Ok(());
        }
        let model = Model::load(&runtime, settings)?;
        tracing::info!(
            model = model.name(),
            version = model.version(),
            device = model.device().actual.as_str(),
            digest = model.digest(),
            "model loaded"
        );
        region.metrics.loaded(&model);
        region.catalog.add(model).map_err(|model| RegionError::SameModel(model.name().to_owned()))?;
    }
    region.catalog.complete();
    Ok(())
}

/// Ends the models' threads, so that none is inside ONNX Runtime when the process ends and takes it apart. A run that
/// does not stop within the time for draining is left behind.
async fn close_models(region: &Region) {
    let models = region.catalog.models();
    let close = tokio::task::spawn_blocking(move || models.iter().for_each(Model::close));
    match tokio::time::timeout(region.config.listener.drain, close).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "closing the models failed"),
        Err(_elapsed) => tracing::warn!("a model still runs; its thread is left behind"),
    }
}

fn died(error: &JoinError) -> RegionError {
    RegionError::Internal(format!("a task died: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;
    use std::time::{Duration, Instant};

    use forebay_inference::InferenceError;
    use forebay_oip::InferRequest;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_that_ends_leaves_no_model_open() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = tempfile::tempdir().unwrap();
        let graph = root.join("runtime/inference/tests/data/matmul.onnx");
        std::fs::copy(graph, folder.path().join("model.onnx")).unwrap();
        std::fs::write(folder.path().join("model.toml"), "name = 'm'\nversion = '1'\ntask = 'tensor'").unwrap();
        let text = format!(
            "name = 'a'\njurisdiction = 'eu'\nlisten = '127.0.0.1:0'\n[runtime]\nlibrary = '{}'\n[[models]]\npath = '.'",
            root.join("target/assets/onnxruntime/libonnxruntime.so").display()
        );
        let config = RegionConfig::parse("region.toml", &text, folder.path()).unwrap();

        let shutdown = CancellationToken::new();
        let mut node = RegionNode::start(config, shutdown.clone()).await.unwrap();
        node.ready().await.unwrap();
        let model = node.region.catalog.find("m", None).unwrap();
        let request = model.metadata().inputs.into_iter().map(|input| {
            let shape = input.shape.iter().map(|size| u64::try_from(*size).unwrap_or(1)).collect::<Vec<_>>();
            let count = usize::try_from(shape.iter().product::<u64>()).unwrap();
            forebay_oip::Tensor::from_f32(input.name, shape, &vec![0.0; count])
        });
        let request = InferRequest { inputs: request.collect(), ..InferRequest::default() };
        let deadline = Instant::now() + Duration::from_secs(60);
        model.infer(request.clone(), deadline).await.unwrap();
        shutdown.cancel();
        node.finished().await.unwrap();
        assert!(matches!(model.infer(request, deadline).await, Err(InferenceError::Closed)));
    }
}
