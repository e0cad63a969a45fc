//! One inference, from the request's head to the answer. `Region::infer` names the stages in order.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use forebay_http::{RequestBody, ResponseBody, collect_bounded};
use forebay_inference::{Inference, Model, Timing};
use forebay_oip::sealed::Terms;
use forebay_oip::{
    DecodeLimits, Encoded, HEADER_LENGTH, InferRequest, OutputEncodings, Tensor, decode_request, encode_response,
};
use forebay_seal::Keyring;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};

use crate::admission::Admitted;
use crate::deadline;
use crate::error::RequestError;
use crate::exchange::Exchange;
use crate::headers::{refuse_encodings, single_number};
use crate::http::{Answer, Region, respond};
use crate::sealed;

/// Response header: how many requests wait for the model now, for edges that choose between regions.
const QUEUE_DEPTH: HeaderName = HeaderName::from_static("forebay-queue-depth");
/// Response header: digest of the model that answered, so that an edge does not keep the answer for another one's.
const MODEL_DIGEST: HeaderName = HeaderName::from_static("forebay-model-digest");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// From this many bytes on, messages are read and written on threads that may block, so that other requests go on.
const OFF_THREAD_BYTES: usize = 256 * 1024;

impl Region {
    pub(crate) async fn infer(
        &self,
        name: &str,
        version: Option<&str>,
        request: Request<RequestBody>,
        exchange: &mut Exchange,
    ) -> Answer {
        let model = self.catalog.find(name, version)?;
        exchange.model = Some(model.name().to_owned());

        let (head, body) = request.into_parts();
        let deadline = deadline::from_headers(exchange.received, self.config.request, &head.headers)?;
        refuse_encodings(&head.headers)?;
        let json_length = json_length(&head.headers)?;

        let admitted = self.admission.admit(&model, &body)?;
        let body = collect_bounded(body, self.config.body_bytes, deadline.into()).await?;
        exchange.bytes_in = body.len();

        let asked = self.read(model.clone(), body, json_length, &admitted).await?;
        exchange.sealed_inputs = asked.sealed_inputs;
        let deadline = deadline::lowered(deadline, exchange.received, &asked.request.parameters)?;

        let Inference { response, timing } = model.infer(asked.request, deadline).await?;
        self.metrics.ran(model.name(), &timing);

        let (encodings, terms) = (asked.encodings, asked.terms);
        let encoded = self.write(response, encodings, terms, &admitted).await?;
        let mut answer = answer(encoded, &timing, model.queue_depth());
        if let Ok(digest) = HeaderValue::from_str(model.revision()) {
            answer.headers_mut().insert(MODEL_DIGEST, digest);
        }
        Ok(answer)
    }

    /// Turns a body into a request in the clear.
    async fn read(
        &self,
        model: Model,
        body: Bytes,
        json_length: Option<usize>,
        admitted: &Arc<Admitted>,
    ) -> Result<Asked, RequestError> {
        let keys = Arc::clone(&self.keys);
        off_thread(body.len(), admitted, move || Asked::read(&keys, &model, &body, json_length)).await
    }

    /// Turns a response into a body, with the outputs sealed that are to be.
    async fn write(
        &self,
        mut response: forebay_oip::InferResponse,
        encodings: OutputEncodings,
        terms: Option<Terms>,
        admitted: &Arc<Admitted>,
    ) -> Result<Encoded, RequestError> {
        let keys = Arc::clone(&self.keys);
        off_thread(size(&response.outputs), admitted, move || {
            sealed::seal_outputs(&keys, &response.model_name, terms.as_ref(), &mut response.outputs)?;
            encode_response(&response, &encodings).map_err(RequestError::Answer)
        })
        .await
    }
}

/// A request in the clear, and how its answer is wanted.
struct Asked {
    request: InferRequest,
    encodings: OutputEncodings,
    terms: Option<Terms>,
    sealed_inputs: usize,
}

impl Asked {
    fn read(keys: &Keyring, model: &Model, body: &Bytes, json_length: Option<usize>) -> Result<Self, RequestError> {
        let mut request = decode_request(body, json_length, &DecodeLimits::default()).map_err(RequestError::Message)?;
        let encodings = OutputEncodings::of(&request);
        let terms = Terms::take(&mut request.parameters).map_err(RequestError::Message)?;
        if let Some(terms) = &terms {
            sealed::check_wishes(keys, terms, || model.metadata().outputs)?;
        }
        let sealed_inputs = sealed::open_inputs(keys, model.name(), terms.as_ref(), &mut request.inputs)?;
        Ok(Asked { request, encodings, terms, sealed_inputs })
    }
}

fn json_length(headers: &HeaderMap) -> Result<Option<usize>, RequestError> {
    let length = single_number(headers, HEADER_LENGTH)?;
    Ok(length.map(|length| usize::try_from(length).unwrap_or(usize::MAX)))
}

fn size(tensors: &[Tensor]) -> usize {
    tensors.iter().map(|tensor| tensor.data.len()).sum()
}

/// Does `work` here if it is small, and elsewhere if it would hold up this thread's other requests.
async fn off_thread<T: Send + 'static>(
    size_bytes: usize,
    admitted: &Arc<Admitted>,
    work: impl FnOnce() -> Result<T, RequestError> + Send + 'static,
) -> Result<T, RequestError> {
    if size_bytes < OFF_THREAD_BYTES {
        return work();
    }
    // The work goes on when its caller has gone, and takes its room until it ends.
    let admitted = Arc::clone(admitted);
    let work = move || {
        let done = work();
        drop(admitted);
        done
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(RequestError::Internal(error.to_string())))
}

fn answer(encoded: Encoded, timing: &Timing, queue_depth: usize) -> Response<ResponseBody> {
    let mut response = respond(encoded.content_type(), encoded.body);
    let headers = response.headers_mut();
    if let Some(length) = encoded.json_length {
        headers.insert(HEADER_LENGTH, HeaderValue::from(length));
    }
    headers.insert(QUEUE_DEPTH, HeaderValue::from(queue_depth));
    if let Ok(value) = HeaderValue::from_str(&server_timing(timing)) {
        headers.insert(SERVER_TIMING, value);
    }
    response
}

/// Where the time went, in milliseconds, as W3C Server Timing has it.
fn server_timing(timing: &Timing) -> String {
    let Timing { queue, prepare, run, finish } = timing;
    let mut text = String::new();
    for (name, duration) in [("queue", queue), ("prepare", prepare), ("run", run), ("finish", finish)] {
        let separator = if text.is_empty() { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(text, "{separator}{name};dur={:.3}", duration.as_secs_f64() * 1000.0);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn server_timing_is_in_milliseconds() {
        let timing = Timing {
            queue: Duration::ZERO,
            prepare: Duration::from_micros(250),
            run: Duration::from_millis(12),
            finish: Duration::from_nanos(1500),
        };
        let expected = "queue;dur=0.000, prepare;dur=0.250, run;dur=12.000, finish;dur=0.002";
        assert_eq!(server_timing(&timing), expected);
    }
}
