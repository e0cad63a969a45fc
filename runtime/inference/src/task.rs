//! What a model is for. A task turns a request into runs of the graph and their outputs into the answer.

mod embedding;
mod rows;
mod tensor;
mod text_recognition;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use forebay_oip::{InferRequest, Tensor, TensorSpec};

use crate::{
    InferenceError,
    cancel::Cancel,
    manifest::{Manifest, TaskSettings},
    session::{Input, Outputs, RunError, Session},
};

/// One kind of task, made for one model and shared by its workers.
pub(crate) trait Task: Send + Sync {
    /// What a request brings.
    fn inputs(&self) -> Vec<TensorSpec>;

    /// What an answer may hold.
    fn outputs(&self) -> Vec<TensorSpec>;

    /// Finds whatever in the request can be seen to be wrong without working on it. Quick: it runs before the queue.
    fn check(&self, request: &InferRequest) -> Result<(), InferenceError>;

    /// Requests that pass through all of the model; where it matters, one as small and one as long as may come.
    fn warm_up(&self) -> Vec<InferRequest>;

    /// Does the work. May give more outputs than were asked for.
    fn perform(&self, request: InferRequest, run: &mut Run<'_>) -> Result<Vec<Tensor>, InferenceError>;
}

/// Makes a model's task.
///
/// # Errors
/// [`InferenceError::Model`] if a file of the task is missing or does not fit the graph.
pub(crate) fn load(manifest: &Manifest, folder: &Path, session: &Session) -> Result<Box<dyn Task>, InferenceError> {
    Ok(match &manifest.task {
        TaskSettings::Tensor => Box::new(tensor::TensorTask::new(manifest, session)),
        TaskSettings::Embedding(settings) => {
            Box::new(embedding::Embedding::load(settings, manifest.limits.max_batch, folder, session)?)
        }
        TaskSettings::TextRecognition(settings) => {
            Box::new(text_recognition::TextRecognition::load(settings, manifest.limits.max_batch, folder, session)?)
        }
    })
}

/// The session as a task sees it, with the clock of its three stages.
pub(crate) struct Run<'a> {
    session: &'a mut Session,
    cancel: &'a Cancel,
    stages: Stages,
    since: Instant,
}

/// Time that a request spent in each stage of its work.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stages {
    pub(crate) prepare: Duration,
    pub(crate) run: Duration,
    pub(crate) finish: Duration,
}

impl<'a> Run<'a> {
    /// Starts the clock.
    pub(crate) fn new(session: &'a mut Session, cancel: &'a Cancel) -> Self {
        Self { session, cancel, stages: Stages::default(), since: Instant::now() }
    }

    /// Fails if nobody waits for the answer any more: to be asked between the pieces of long preparations.
    pub(crate) fn check(&self) -> Result<(), RunError> {
        if self.cancel.is_cancelled() { Err(RunError::Stopped) } else { Ok(()) }
    }

    /// Runs the graph. What came before it counts as preparing; what follows as finishing, up to `prepare_next`.
    pub(crate) fn graph(&mut self, inputs: Vec<Input>) -> Result<Outputs, RunError> {
        self.check()?;
        lap(&mut self.since, &mut self.stages.prepare);
        let outputs = self.session.run(inputs, self.cancel);
        lap(&mut self.since, &mut self.stages.run);
        outputs
    }

    /// Ends the finishing of one run; what follows prepares the next.
    pub(crate) fn prepare_next(&mut self) {
        lap(&mut self.since, &mut self.stages.finish);
    }

    /// Stops the clock.
    pub(crate) fn stages(mut self) -> Stages {
        lap(&mut self.since, &mut self.stages.finish);
        self.stages
    }
}

/// Adds the time since the last lap to a stage.
fn lap(since: &mut Instant, stage: &mut Duration) {
    let now = Instant::now();
    *stage += now.saturating_duration_since(std::mem::replace(since, now));
}

/// For tasks that make the graph's inputs themselves: whatever the graph refuses is our own mistake.
impl From<RunError> for InferenceError {
    fn from(error: RunError) -> Self {
        match error {
            // The caller has gone or has had its answer, except when the model is being closed.
            RunError::Stopped => Self::Closed,
            RunError::TooLarge { output, bytes, max_bytes } => Self::OutputTooLarge { output, bytes, max_bytes },
            RunError::Argument(reason) | RunError::Failed(reason) | RunError::Device(reason) => Self::internal(reason),
        }
    }
}
