//! Doubles of `outbound` and `inference`: a test says what the world outside answers.

use crate::inference::{InferenceError, Tensor};
use crate::outbound::{Incoming, OutboundError, Outgoing};

type Respond = Box<dyn Fn(&Outgoing) -> Result<Incoming, OutboundError>>;
type Model = Box<dyn Fn(&str, &[Tensor]) -> Result<Vec<Tensor>, InferenceError>>;

/// The world outside. Nothing of it can be reached until a test says so.
#[derive(Default)]
pub(crate) struct Outside {
    respond: Option<Respond>,
    model: Option<Model>,
    sent: Vec<Outgoing>,
}

/// Says how requests to the world outside are answered.
pub fn answer_outbound(respond: impl Fn(&Outgoing) -> Result<Incoming, OutboundError> + 'static) {
    super::with(|host| host.outside.respond = Some(Box::new(respond)));
}

/// Says how models answer.
pub fn answer_inference(model: impl Fn(&str, &[Tensor]) -> Result<Vec<Tensor>, InferenceError> + 'static) {
    super::with(|host| host.outside.model = Some(Box::new(model)));
}

/// The requests that were sent so far.
#[must_use]
pub fn sent() -> Vec<Outgoing> {
    super::with(|host| host.outside.sent.clone())
}

/// Sends one request and waits for its answer.
///
/// # Errors
/// What the test says; not allowed, when it says nothing.
pub fn send(request: &Outgoing) -> Result<Incoming, OutboundError> {
    super::with(|host| {
        host.outside.sent.push(request.clone());
        host.outside.respond.as_ref().map_or(Err(OutboundError::NotAllowed), |respond| respond(request))
    })
}

/// Asks a model.
///
/// # Errors
/// What the test says; not allowed, when it says nothing.
pub fn infer(model: &str, inputs: &[Tensor]) -> Result<Vec<Tensor>, InferenceError> {
    super::with(|host| {
        host.outside.model.as_ref().map_or(Err(InferenceError::NotAllowed), |answer| answer(model, inputs))
    })
}
