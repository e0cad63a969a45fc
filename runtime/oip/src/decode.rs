//! Reads bodies. The JSON part is read once, strictly; tensor data goes straight from its text, or from its place behind
//! the JSON, into the raw layout.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::bounded::{Few, Name};
use crate::data::read_json;
use crate::error::quote;
use crate::limits::{MAX_RANK, MAX_TENSORS};
use crate::object::Object;
use crate::parameter::ParametersJson;
use crate::{
    BINARY_DATA, BINARY_DATA_OUTPUT, BINARY_DATA_SIZE, Datatype, DecodeLimits, InferRequest, InferResponse, OipError,
    Parameter, Parameters, RequestedOutput, Tensor,
};

#[derive(Deserialize)]
struct RequestJson<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Option<ParametersJson>,
    #[serde(borrow)]
    inputs: Few<Object<TensorJson<'a>>, MAX_TENSORS>,
    #[serde(default)]
    outputs: Option<Few<Object<OutputJson>, MAX_TENSORS>>,
}

#[derive(Deserialize)]
struct ResponseJson<'a> {
    model_name: Name,
    #[serde(default)]
    model_version: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Option<ParametersJson>,
    #[serde(borrow)]
    outputs: Few<Object<TensorJson<'a>>, MAX_TENSORS>,
}

#[derive(Deserialize)]
struct TensorJson<'a> {
    name: Name,
    datatype: Datatype,
    shape: Few<u64, MAX_RANK>,
    #[serde(default)]
    parameters: Option<ParametersJson>,
    // Kept as text, since the datatype and the shape may come after it.
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct OutputJson {
    name: Name,
    #[serde(default)]
    parameters: Option<ParametersJson>,
}

/// Reads a request body.
///
/// `json_length` is the value of the header `HEADER_LENGTH`, if there was one. Raw tensors in the result share `body`'s memory.
///
/// # Errors
/// `OipError::Malformed`, `Tensor` or `Limit`: in each case the sender's mistake. `Unencodable` for FP16 and BF16 in JSON.
pub fn decode_request(
    body: &Bytes,
    json_length: Option<usize>,
    limits: &DecodeLimits,
) -> Result<InferRequest, OipError> {
    let (json, raw) = split(body, json_length)?;
    let message: RequestJson<'_> = parse(&json)?;
    let parameters = parameters(message.parameters);
    expect_bool(&parameters, BINARY_DATA_OUTPUT)?;
    Ok(InferRequest {
        id: message.id.filter(|id| !id.is_empty()),
        parameters,
        inputs: tensors(message.inputs, raw, limits)?,
        outputs: requested(message.outputs.unwrap_or_default(), limits)?,
    })
}

/// Reads a response body. `json_length` is as in `decode_request`.
///
/// # Errors
/// As in `decode_request`; the mistake is then the server's that sent it.
pub fn decode_response(
    body: &Bytes,
    json_length: Option<usize>,
    limits: &DecodeLimits,
) -> Result<InferResponse, OipError> {
    let (json, raw) = split(body, json_length)?;
    let message: ResponseJson<'_> = parse(&json)?;
    Ok(InferResponse {
        model_name: message.model_name.0,
        model_version: message.model_version,
        id: message.id.filter(|id| !id.is_empty()),
        parameters: parameters(message.parameters),
        outputs: tensors(message.outputs, raw, limits)?,
    })
}

/// The JSON of a body, and the raw tensors behind it: `None` if the header says that there are none.
fn split(body: &Bytes, json_length: Option<usize>) -> Result<(Bytes, Option<Bytes>), OipError> {
    match json_length {
        None => Ok((body.clone(), None)),
        Some(0) => Err(OipError::malformed(
            "raw binary requests (Inference-Header-Content-Length: 0) are not supported: send the JSON part too",
        )),
        Some(length) if length > body.len() => Err(OipError::malformed(format!(
            "Inference-Header-Content-Length is {length}, but the body has {} bytes",
            body.len()
        ))),
        Some(length) => Ok((body.slice(..length), Some(body.slice(length..)))),
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a Bytes) -> Result<T, OipError> {
    // All of it is checked here, also the parts that are skipped, so that no reader after us sees other text.
    let text = str::from_utf8(json).map_err(|_| OipError::malformed("the JSON is not UTF-8"))?;
    serde_json::from_str(text).map(|Object(message)| message).map_err(|error| OipError::json(&error))
}

fn parameters(json: Option<ParametersJson>) -> Parameters {
    json.unwrap_or_default().0
}

fn expect_bool(parameters: &Parameters, name: &str) -> Result<(), OipError> {
    match parameters.get(name) {
        None | Some(Parameter::Bool(_)) => Ok(()),
        Some(_) => Err(OipError::malformed(format!("parameter `{name}` must be true or false"))),
    }
}

fn requested(
    messages: Few<Object<OutputJson>, MAX_TENSORS>,
    limits: &DecodeLimits,
) -> Result<Vec<RequestedOutput>, OipError> {
    let messages = messages.within(limits.max_tensors, || "the number of requested outputs".to_owned())?;
    let mut names = BTreeSet::new();
    let mut outputs = Vec::with_capacity(messages.len());
    for Object(OutputJson { name: Name(name), parameters: json }) in messages {
        if !names.insert(name.clone()) {
            return Err(OipError::malformed(format!("output `{}` is requested twice", quote(&name))));
        }
        let parameters = parameters(json);
        expect_bool(&parameters, BINARY_DATA)?;
        outputs.push(RequestedOutput { name, parameters });
    }
    Ok(outputs)
}

/// Reads tensors in order; each raw one takes its bytes from the front of `raw`, and nothing may be left at the end.
fn tensors(
    messages: Few<Object<TensorJson<'_>>, MAX_TENSORS>,
    mut raw: Option<Bytes>,
    limits: &DecodeLimits,
) -> Result<Vec<Tensor>, OipError> {
    let messages = messages.within(limits.max_tensors, || "the number of tensors".to_owned())?;
    let mut names = BTreeSet::new();
    let mut tensors = Vec::with_capacity(messages.len());
    for Object(message) in messages {
        let tensor = tensor(message, raw.as_mut(), limits)?;
        if !names.insert(tensor.name.clone()) {
            return Err(OipError::tensor(&tensor.name, "given twice"));
        }
        tensors.push(tensor);
    }
    match raw {
        Some(rest) if !rest.is_empty() => {
            Err(OipError::malformed(format!("{} bytes follow the last tensor", rest.len())))
        }
        _ => Ok(tensors),
    }
}

fn tensor(message: TensorJson<'_>, raw: Option<&mut Bytes>, limits: &DecodeLimits) -> Result<Tensor, OipError> {
    let TensorJson { name: Name(name), datatype, shape, parameters: json, data } = message;
    let rank = || format!("the number of dimensions of tensor `{}`", quote(&name));
    let shape = shape.within(limits.max_json_depth, rank)?;
    let mut tensor = Tensor { name, datatype, shape, parameters: parameters(json), data: Bytes::new() };
    check_size(&tensor, limits)?;
    let size = tensor.parameters.remove(BINARY_DATA_SIZE);
    match (data, size) {
        (Some(json), None) => read_json(&mut tensor, json.get(), limits)?,
        (None, Some(size)) => {
            tensor.data = take_raw(&tensor.name, &size, raw)?;
            tensor.validate()?;
        }
        (Some(_), Some(_)) => {
            return Err(OipError::tensor(
                &tensor.name,
                "both `data` and `binary_data_size` are given: which is meant?",
            ));
        }
        (None, None) => return Err(OipError::tensor(&tensor.name, "`data` is missing")),
    }
    Ok(tensor)
}

fn check_size(tensor: &Tensor, limits: &DecodeLimits) -> Result<(), OipError> {
    if tensor.name.is_empty() {
        return Err(OipError::malformed("a tensor has an empty name"));
    }
    let count = usize::try_from(tensor.checked_count()?).unwrap_or(usize::MAX);
    if count > limits.max_elements_per_tensor {
        let what = format!("the number of elements of tensor `{}`", quote(&tensor.name));
        return Err(OipError::Limit { what, limit: limits.max_elements_per_tensor });
    }
    Ok(())
}

fn take_raw(name: &str, size: &Parameter, raw: Option<&mut Bytes>) -> Result<Bytes, OipError> {
    let size = size.as_int().and_then(|size| usize::try_from(size).ok());
    let size = size.ok_or_else(|| OipError::tensor(name, "`binary_data_size` must be a number of bytes"))?;
    let Some(raw) = raw else {
        let reason = "`binary_data_size` is given, but the request has no Inference-Header-Content-Length";
        return Err(OipError::tensor(name, reason));
    };
    if size > raw.len() {
        let reason = format!("`binary_data_size` is {size}, but only {} bytes are left in the body", raw.len());
        return Err(OipError::tensor(name, reason));
    }
    Ok(raw.split_to(size))
}
