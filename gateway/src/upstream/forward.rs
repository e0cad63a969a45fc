//! One request to the best allowed region, and to the next one where that fails and the budget allows.
//!
//! An inference may be repeated, and so may a question about a model: neither changes anything in a region. So a lost
//! connection, a broken answer and a region that is full, slow or failing are tried again elsewhere, inside the request's
//! one deadline.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use forebay_oip::path::Operation;
use forebay_oip::{BINARY_DATA_OUTPUT, Encoding, InferRequest, Parameter};

use super::attempt::{Answer, Fault, Message, Miss, attempt};
use super::region::Region;
use super::regions::{Call, Regions};
use crate::error::Refusal;

/// Most regions that one request is tried at.
const ATTEMPTS_MAX: u32 = 4;

/// Where an answer came from, for the log; filled in also when there is none.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// Attempts made.
    pub(crate) attempts: u32,
    /// The last region asked.
    pub(crate) region: Option<String>,
}

impl Regions {
    /// Sends an inference and brings back its answer.
    ///
    /// # Errors
    /// No allowed region can answer, the deadline passed, or the request itself is at fault.
    pub(crate) async fn infer(
        &self,
        call: &Call<'_>,
        mut request: InferRequest,
        trail: &mut Trail,
    ) -> Result<Answer, Refusal> {
        // Between the two of us numbers travel as they are; the caller's wish is met when the answer is encoded.
        request.parameters.insert(BINARY_DATA_OUTPUT.to_owned(), Parameter::Bool(true));
        let encoded = forebay_oip::encode_request(&request, Encoding::Binary)?;
        let path = call.path(|model, version| Operation::Infer { model, version });
        self.budget.earn();
        self.send(call, &Message::infer(path, &encoded), trail).await
    }

    /// Asks about a model, and gives back the JSON that a region answers.
    ///
    /// # Errors
    /// As for `infer`.
    pub(crate) async fn ask(
        &self,
        call: &Call<'_>,
        operation: impl FnOnce(String, Option<String>) -> Operation,
        trail: &mut Trail,
    ) -> Result<Bytes, Refusal> {
        self.budget.earn();
        self.send(call, &Message::ask(call.path(operation)), trail).await.map(|answer| answer.body)
    }

    async fn send(&self, call: &Call<'_>, message: &Message, trail: &mut Trail) -> Result<Answer, Refusal> {
        let mut tried: Vec<Arc<Region>> = Vec::new();
        loop {
            let region = self.choose(call, &tried)?;
            trail.attempts += 1;
            trail.region = Some(region.name().to_owned());
            tried.push(Arc::clone(&region));
            let another = trail.attempts < ATTEMPTS_MAX && self.choose(call, &tried).is_ok();
            let started = Instant::now();
            let until = if another { call.deadline.min(started + self.balance.attempt) } else { call.deadline };
            let ended = attempt(&region, call, message, until, self.answer_max_bytes).await;
            self.account(&region, &ended, started);
            match ended {
                Ok(answer) => return Ok(answer),
                Err(Miss::Final(refusal)) => return Err(refusal),
                Err(Miss::Elsewhere(fault, refusal)) => {
                    // What a dying region drops goes elsewhere once without a charge: the budget is for doing so often.
                    let free = fault == Fault::Lost && trail.attempts == 1;
                    if !another || !(free || self.budget.spend()) {
                        return Err(refusal);
                    }
                    tracing::debug!(region = region.name(), cause = refusal.cause(), "trying another region");
                }
            }
        }
    }

    /// Tells health and metrics how an attempt ended.
    fn account(&self, region: &Region, ended: &Result<Answer, Miss>, started: Instant) {
        let now = Instant::now();
        let took = now.duration_since(started);
        region.request_took(now, took);
        let outcome = match ended {
            Ok(_) => {
                region.request_ok();
                "ok"
            }
            Err(Miss::Final(refusal)) => refusal.reason(),
            Err(Miss::Elsewhere(fault, refusal)) => {
                if fault.blames_region() && region.request_failed(now, refusal.cause().unwrap_or(fault.name())) {
                    tracing::warn!(region = region.name(), cause = refusal.cause(), "region ejected");
                    self.metrics.region_up(region.name(), false);
                }
                fault.name()
            }
        };
        self.metrics.region_attempt(region.name(), outcome, took);
    }
}

impl Call<'_> {
    /// The path of an operation on the call's model.
    fn path(&self, of: impl FnOnce(String, Option<String>) -> Operation) -> String {
        of(self.model.to_owned(), self.version.map(str::to_owned)).to_string()
    }
}
