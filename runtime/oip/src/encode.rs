//! Writes bodies: compact JSON with keys in one order, and raw tensors behind it in the order of their mention.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use crate::data::{DataJson, check_json_form};
use crate::{
    BINARY_DATA, BINARY_DATA_OUTPUT, BINARY_DATA_SIZE, Datatype, InferRequest, InferResponse, OipError, Parameter,
    Parameters, RequestedOutput, Tensor,
};

/// How the tensors of a message are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// All in JSON.
    Json,
    /// All raw, behind the JSON.
    Binary,
}

/// A body ready to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The body.
    pub body: Bytes,
    /// If raw tensors follow the JSON, the length of the JSON in bytes: the value for the header `HEADER_LENGTH`.
    pub json_length: Option<usize>,
}

impl Encoded {
    /// The media type to send the body under.
    pub fn content_type(&self) -> &'static str {
        if self.json_length.is_some() { "application/octet-stream" } else { "application/json" }
    }
}

/// Which outputs the caller of a request wants as raw tensors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputEncodings {
    binary_by_default: bool,
    binary_by_name: BTreeMap<String, bool>,
}

impl OutputEncodings {
    /// Reads `binary_data_output` of the request and `binary_data` of each output, which has the last word.
    pub fn of(request: &InferRequest) -> Self {
        let choice = |parameters: &Parameters, name: &str| parameters.get(name).and_then(Parameter::as_bool);
        OutputEncodings {
            binary_by_default: choice(&request.parameters, BINARY_DATA_OUTPUT).unwrap_or(false),
            binary_by_name: request
                .outputs
                .iter()
                .filter_map(|output| Some((output.name.clone(), choice(&output.parameters, BINARY_DATA)?)))
                .collect(),
        }
    }

    /// The same encoding for every output.
    pub fn all(encoding: Encoding) -> Self {
        OutputEncodings { binary_by_default: encoding == Encoding::Binary, binary_by_name: BTreeMap::new() }
    }

    /// How this output is wanted.
    pub fn encoding(&self, output: &str) -> Encoding {
        let binary = self.binary_by_name.get(output).copied().unwrap_or(self.binary_by_default);
        if binary { Encoding::Binary } else { Encoding::Json }
    }
}

#[derive(Serialize)]
struct RequestJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parameters: &'a Parameters,
    inputs: Vec<TensorJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<OutputJson<'a>>,
}

#[derive(Serialize)]
struct ResponseJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    model_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_version: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parameters: &'a Parameters,
    outputs: Vec<TensorJson<'a>>,
}

#[derive(Serialize)]
struct TensorJson<'a> {
    name: &'a str,
    datatype: Datatype,
    shape: &'a [u64],
    #[serde(skip_serializing_if = "no_parameters")]
    parameters: Cow<'a, Parameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<DataJson<'a>>,
}

#[derive(Serialize)]
struct OutputJson<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parameters: &'a Parameters,
}

fn no_parameters(parameters: &Parameters) -> bool {
    parameters.is_empty()
}

impl<'a> From<&'a RequestedOutput> for OutputJson<'a> {
    fn from(output: &'a RequestedOutput) -> Self {
        OutputJson { name: &output.name, parameters: &output.parameters }
    }
}

/// Writes a request with all inputs in one encoding. What it asks of its outputs is written as it stands.
///
/// # Errors
/// `OipError::Tensor` for an input that is not valid, `Unencodable` for one that JSON cannot express.
pub fn encode_request(request: &InferRequest, encoding: Encoding) -> Result<Encoded, OipError> {
    let json = RequestJson {
        id: request.id.as_deref(),
        parameters: &request.parameters,
        inputs: request.inputs.iter().map(|input| tensor_json(input, encoding)).collect::<Result<_, _>>()?,
        outputs: request.outputs.iter().map(OutputJson::from).collect(),
    };
    write(&json, &request.inputs, |_| encoding)
}

/// Writes a response, each output as the caller wants it. Without raw tensors it is plain JSON.
///
/// # Errors
/// As in `encode_request`, for an output.
pub fn encode_response(response: &InferResponse, encodings: &OutputEncodings) -> Result<Encoded, OipError> {
    let outputs = response.outputs.iter().map(|output| tensor_json(output, encodings.encoding(&output.name)));
    let json = ResponseJson {
        id: response.id.as_deref(),
        model_name: &response.model_name,
        model_version: response.model_version.as_deref(),
        parameters: &response.parameters,
        outputs: outputs.collect::<Result<_, _>>()?,
    };
    write(&json, &response.outputs, |output| encodings.encoding(&output.name))
}

fn tensor_json(tensor: &Tensor, encoding: Encoding) -> Result<TensorJson<'_>, OipError> {
    tensor.validate()?;
    let mut json = TensorJson {
        name: &tensor.name,
        datatype: tensor.datatype,
        shape: &tensor.shape,
        parameters: Cow::Borrowed(&tensor.parameters),
        data: None,
    };
    match encoding {
        Encoding::Json => {
            check_json_form(tensor)?;
            json.data = Some(DataJson(tensor));
        }
        Encoding::Binary => {
            let size = i64::try_from(tensor.data.len()).unwrap_or(i64::MAX);
            json.parameters.to_mut().insert(BINARY_DATA_SIZE.to_owned(), Parameter::Int(size));
        }
    }
    Ok(json)
}

fn write(
    json: &impl Serialize,
    tensors: &[Tensor],
    encoding: impl Fn(&Tensor) -> Encoding,
) -> Result<Encoded, OipError> {
    let raw = || tensors.iter().filter(|tensor| encoding(tensor) == Encoding::Binary);
    let raw_bytes: usize = raw().map(|tensor| tensor.data.len()).sum();
    let mut body = Vec::with_capacity(256 + raw_bytes);
    serde_json::to_writer(&mut body, json).map_err(|error| OipError::json(&error))?;
    let json_length = raw().next().map(|_| body.len());
    for tensor in raw() {
        body.extend_from_slice(&tensor.data);
    }
    Ok(Encoded { body: Bytes::from(body), json_length })
}
