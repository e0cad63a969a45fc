//! The Open Inference Protocol over REST, with Triton's binary tensor extension.

use bytes::Bytes;
use forebay_http::ProblemType;
use forebay_oip::path::{self, Operation};
use forebay_oip::{
    DecodeLimits, Encoded, Encoding, HEADER_LENGTH, InferRequest, InferResponse, OipError, OutputEncodings, Parameters,
};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use super::{Ask, ModelName};
use crate::error::Refusal;

/// Parameters between this node and the regions; a client has no say in them.
const RESERVED_PREFIX: &str = "forebay_";

/// What a path asks.
///
/// # Errors
/// 404 for a path that the protocol does not have.
pub(crate) fn ask(path: &str) -> Result<Ask, Refusal> {
    let name = |model, version| ModelName { model, version };
    match path::parse(path) {
        Some(Operation::Infer { model, version }) => Ok(Ask::Infer(name(model, version))),
        Some(Operation::ModelMetadata { model, version }) => Ok(Ask::ModelMetadata(name(model, version))),
        Some(Operation::ModelReady { model, version }) => Ok(Ask::ModelReady(name(model, version))),
        Some(Operation::ServerMetadata) => Ok(Ask::ServerMetadata),
        Some(Operation::Live) => Ok(Ask::Live),
        Some(Operation::Ready) => Ok(Ask::Ready),
        None => Err(Refusal::new(ProblemType::NotFound, "the Open Inference Protocol has no such path")),
    }
}

/// An inference as a caller sent it.
pub(crate) struct Decoded {
    /// The canonical inference.
    pub(crate) request: InferRequest,
    /// How the caller wants each output.
    pub(crate) encodings: OutputEncodings,
}

/// Reads the body of an inference.
///
/// # Errors
/// 415 for a content coding, 400 for what is not an inference.
pub(crate) fn decode(headers: &HeaderMap, body: &Bytes) -> Result<Decoded, Refusal> {
    let is_coded = |coding: &HeaderValue| !coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().any(is_coded) {
        return Err(Refusal::new(ProblemType::UnsupportedEncoding, "send the body without Content-Encoding"));
    }
    let request = forebay_oip::decode_request(body, json_length(headers)?, &DecodeLimits::default())?;
    refuse_reserved(&request)?;
    let encodings = OutputEncodings::of(&request);
    Ok(Decoded { request, encodings })
}

fn json_length(headers: &HeaderMap) -> Result<Option<usize>, Refusal> {
    let mut values = headers.get_all(HEADER_LENGTH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length = text.filter(|_| values.next().is_none()).and_then(|text| text.parse().ok());
    let refusal = || Refusal::new(ProblemType::MalformedBody, format!("`{HEADER_LENGTH}` must be one number of bytes"));
    length.map(Some).ok_or_else(refusal)
}

fn refuse_reserved(request: &InferRequest) -> Result<(), Refusal> {
    let inputs = request.inputs.iter().map(|input| &input.parameters);
    let outputs = request.outputs.iter().map(|output| &output.parameters);
    let reserved = |parameters: &Parameters| parameters.keys().find(|name| name.starts_with(RESERVED_PREFIX)).cloned();
    match std::iter::once(&request.parameters).chain(inputs).chain(outputs).find_map(reserved) {
        None => Ok(()),
        Some(name) => {
            let detail = format!(
                "parameter `{name}` is reserved: names that begin with `{RESERVED_PREFIX}` are not for clients"
            );
            Err(Refusal::new(ProblemType::MalformedBody, detail))
        }
    }
}

/// Writes an answer in the form that the caller wants.
///
/// # Errors
/// 500: a region's answer cannot be written in that form.
pub(crate) fn encode(response: &InferResponse, encodings: &OutputEncodings) -> Result<Encoded, Refusal> {
    forebay_oip::encode_response(response, encodings).map_err(|error| match error {
        // The caller can ask for another form.
        OipError::Unencodable { .. } => error.into(),
        _ => Refusal::new(ProblemType::Internal, "the answer cannot be written").because(error),
    })
}

/// Sets the media type that an answer will have, for the policies that see its head.
pub(crate) fn declare(headers: &mut HeaderMap, response: &InferResponse, encodings: &OutputEncodings) {
    let raw = response.outputs.iter().any(|output| encodings.encoding(&output.name) == Encoding::Binary);
    let media = if raw { "application/octet-stream" } else { "application/json" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
}

/// Sets the fields that frame `encoded`.
pub(crate) fn describe(headers: &mut HeaderMap, encoded: &Encoded) {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(encoded.body.len()));
    if let Some(length) = encoded.json_length {
        headers.insert(HEADER_LENGTH, HeaderValue::from(length));
    }
}
