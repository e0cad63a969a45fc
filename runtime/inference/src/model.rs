//! A loaded model: the one thing that the rest of Forebay calls.

mod files;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use forebay_oip::{InferRequest, InferResponse, ModelMetadata, RequestedOutput, Tensor};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::files::Digests;
use crate::{
    ActualDevice, Device, InferenceError, Runtime,
    cancel::Cancel,
    manifest::{self, GRAPH_FILE, Manifest},
    pool::{Pool, Served, Work},
    session::{Session, SessionSettings},
    signature::check_outputs,
    task::{self, Run, Stages, Task},
};

/// How a model is to be served on this node.
#[derive(Debug, Clone)]
pub struct ModelSettings {
    /// The model's folder: `model.toml`, `model.onnx` and what they name.
    pub dir: PathBuf,
    /// Where to run it.
    pub device: Device,
    /// Whether to refuse to load it if `device` cannot be had, instead of running on the processor.
    pub require_gpu: bool,
    /// How many requests run at once. Each takes a copy of the model's memory and a thread. At least 1.
    pub sessions: usize,
    /// Threads that one run is spread over. At least 1.
    pub intra_threads: usize,
    /// How many requests may wait. At least 1.
    pub queue_capacity: usize,
}

impl ModelSettings {
    /// The defaults for the model in `dir`: the processor, one session of one thread, 64 waiting requests.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            device: Device::Cpu,
            require_gpu: false,
            sessions: 1,
            intra_threads: 1,
            queue_capacity: 64,
        }
    }
}

/// A model that is loaded, warm and taking requests. Clones share it; it goes when the last one does.
#[derive(Clone)]
pub struct Model(Arc<Loaded>);

struct Loaded {
    manifest: Manifest,
    digests: Digests,
    device: ActualDevice,
    task: Arc<dyn Task>,
    pool: Pool<InferRequest, (Vec<Tensor>, Stages)>,
    /// As many as can wait and run.
    places: Arc<Semaphore>,
}

/// A request's place at a model, free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

/// An answer and where its time went.
#[derive(Debug, Clone, PartialEq)]
pub struct Inference {
    /// The answer, with the request's `id` and the outputs it asked for.
    pub response: InferResponse,
    /// Where the time went.
    pub timing: Timing,
}

/// Where the time of one request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Waiting for a session.
    pub queue: Duration,
    /// Texts to tokens, pictures to pixels.
    pub prepare: Duration,
    /// The graph, with the copies into and out of ONNX Runtime.
    pub run: Duration,
    /// Pooling, decoding.
    pub finish: Duration,
}

impl Model {
    /// Loads a model and runs it once in every session. Blocks for as long as that takes.
    ///
    /// # Errors
    /// Operator errors: mistakes in `model.toml`, a graph that cannot be used, a device that cannot be had though it is
    /// required, a first run that fails.
    pub fn load(runtime: &Arc<Runtime>, settings: &ModelSettings) -> Result<Self, InferenceError> {
        check_settings(settings)?;
        let manifest = manifest::load(&settings.dir)?;
        let digests = Digests::of(&settings.dir)?;
        let mut sessions = open_sessions(runtime, settings)?;
        let task = load_task(&manifest, &settings.dir, &sessions)?;
        for session in &mut sessions {
            warm_up(task.as_ref(), session).map_err(|error| {
                InferenceError::model(settings.dir.join(GRAPH_FILE), format!("the first run failed: {error}"))
            })?;
        }

        let device =
            ActualDevice { requested: settings.device, actual: sessions.first().map_or(Device::Cpu, Session::device) };
        let work = sessions.into_iter().map(|session| work(Arc::clone(&task), session)).collect();
        let pool = Pool::start(&manifest.name, settings.queue_capacity, work)
            .map_err(|error| InferenceError::internal(format!("no thread for a session: {error}")))?;
        let places = Arc::new(Semaphore::new(settings.queue_capacity + settings.sessions));
        Ok(Self(Arc::new(Loaded { manifest, digests, device, task, pool, places })))
    }

    /// Answers one request, or refuses it by `deadline`.
    ///
    /// Dropping the future gives the request up: it leaves the queue, or its run is stopped.
    ///
    /// # Errors
    /// Those of [`Blame::Client`](crate::Blame) before anything is queued where that can be seen, `QueueFull` at once,
    /// `DeadlineExceeded` when it passes.
    pub async fn infer(&self, request: InferRequest, deadline: Instant) -> Result<Inference, InferenceError> {
        let Loaded { task, pool, manifest, .. } = &*self.0;
        check_outputs(&task.outputs(), &request.outputs)?;
        task.check(&request)?;

        let id = request.id.clone();
        let requested = request.outputs.clone();
        let Served { answer: (outputs, stages), waited } = pool.submit(request, deadline).await?;

        let response = InferResponse {
            model_name: manifest.name.clone(),
            model_version: Some(manifest.version.clone()),
            id,
            parameters: BTreeMap::new(),
            outputs: select(outputs, &requested),
        };
        let Stages { prepare, run, finish } = stages;
        Ok(Inference { response, timing: Timing { queue: waited, prepare, run, finish } })
    }

    /// A place for a request that is still to be read, among as many as may wait and run. Whoever reads requests from
    /// afar takes one first, so that what cannot be served is refused before it is read.
    ///
    /// # Errors
    /// `QueueFull`.
    pub fn reserve(&self) -> Result<Place, InferenceError> {
        let permit = Arc::clone(&self.0.places).try_acquire_owned().map_err(|_none_left| self.0.pool.full())?;
        Ok(Place { _permit: permit })
    }

    /// The model's name, from `model.toml`.
    pub fn name(&self) -> &str {
        &self.0.manifest.name
    }

    /// The model's version, from `model.toml`.
    pub fn version(&self) -> &str {
        &self.0.manifest.version
    }

    /// SHA-256 of `model.onnx`, as 64 hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.0.digests.graph
    }

    /// SHA-256 over every file in the model's folder: equal revisions give equal answers, whatever their version says.
    pub fn revision(&self) -> &str {
        &self.0.digests.revision
    }

    /// Where the model runs, and where it was to run.
    pub fn device(&self) -> ActualDevice {
        self.0.device
    }

    /// How many requests wait for a session now.
    pub fn queue_depth(&self) -> usize {
        self.0.pool.depth()
    }

    /// The protocol's model metadata. Properties: `task`, `device` (`requested`, `actual`), `digest`, `revision`.
    pub fn metadata(&self) -> ModelMetadata {
        let Loaded { manifest, digests, device, task, .. } = &*self.0;
        let properties = [
            ("task", json!(manifest.task.as_str())),
            ("device", json!({ "requested": device.requested, "actual": device.actual })),
            ("digest", json!(digests.graph)),
            ("revision", json!(digests.revision)),
        ];
        ModelMetadata {
            name: manifest.name.clone(),
            versions: vec![manifest.version.clone()],
            platform: "onnxruntime_onnx".to_owned(),
            inputs: task.inputs(),
            outputs: task.outputs(),
            properties: properties.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        }
    }

    /// Takes no more requests, refuses those that wait, stops those that run, and waits for the threads to end. Blocks.
    pub fn close(&self) {
        self.0.pool.close();
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("name", &self.name()).field("version", &self.version()).finish_non_exhaustive()
    }
}

/// Bounds of the settings: far beyond sense, so that a slip of the pen does not take the machine down.
const MAX_SESSIONS: usize = 256;
const MAX_THREADS: usize = 1024;
const MAX_QUEUE: usize = 1 << 20;

fn check_settings(settings: &ModelSettings) -> Result<(), InferenceError> {
    for (name, value, most) in [
        ("sessions", settings.sessions, MAX_SESSIONS),
        ("intra_threads", settings.intra_threads, MAX_THREADS),
        ("queue_capacity", settings.queue_capacity, MAX_QUEUE),
    ] {
        if !(1..=most).contains(&value) {
            return Err(InferenceError::model(&settings.dir, format!("`{name}` must be from 1 to {most}")));
        }
    }
    Ok(())
}

fn open_sessions(runtime: &Runtime, settings: &ModelSettings) -> Result<Vec<Session>, InferenceError> {
    let graph = settings.dir.join(GRAPH_FILE);
    let session = SessionSettings {
        model: &graph,
        device: settings.device,
        require_gpu: settings.require_gpu,
        intra_threads: settings.intra_threads,
    };
    (0..settings.sessions).map(|_| Session::open(runtime.environment(), &session)).collect()
}

fn load_task(manifest: &Manifest, folder: &Path, sessions: &[Session]) -> Result<Arc<dyn Task>, InferenceError> {
    // `check_settings` saw to it that there is one.
    let session = sessions.first().ok_or_else(|| InferenceError::internal("a model without a session"))?;
    Ok(task::load(manifest, folder, session)?.into())
}

fn warm_up(task: &dyn Task, session: &mut Session) -> Result<(), InferenceError> {
    task.warm_up().into_iter().try_for_each(|request| {
        task.check(&request)?;
        task.perform(request, &mut Run::new(session, &Cancel::default())).map(drop)
    })
}

fn work(task: Arc<dyn Task>, mut session: Session) -> Work<InferRequest, (Vec<Tensor>, Stages)> {
    Box::new(move |request, cancel| {
        let mut run = Run::new(&mut session, cancel);
        let outputs = task.perform(request, &mut run)?;
        Ok((outputs, run.stages()))
    })
}

/// The outputs asked for, in the order asked for; all if none is.
fn select(outputs: Vec<Tensor>, requested: &[RequestedOutput]) -> Vec<Tensor> {
    if requested.is_empty() {
        return outputs;
    }
    let find = |wanted: &RequestedOutput| outputs.iter().find(|output| output.name == wanted.name).cloned();
    requested.iter().filter_map(find).collect()
}
