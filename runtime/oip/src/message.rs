//! One inference, asked and answered.

use crate::{Parameters, Tensor};

/// A request to run a model. The model's name and version are in the path, not here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InferRequest {
    /// The caller's name for this request, repeated in the response. An empty one is read as none.
    pub id: Option<String>,
    /// Parameters of the request as a whole.
    pub parameters: Parameters,
    /// The tensors to run on, in the caller's order, with distinct names.
    pub inputs: Vec<Tensor>,
    /// The outputs to return, with distinct names; empty for all.
    pub outputs: Vec<RequestedOutput>,
}

/// An output that the caller asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestedOutput {
    /// Name of the output.
    pub name: String,
    /// How it is wanted, for example `binary_data`.
    pub parameters: Parameters,
}

/// What the model answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InferResponse {
    /// The model that ran.
    pub model_name: String,
    /// Its version.
    pub model_version: Option<String>,
    /// The request's `id`.
    pub id: Option<String>,
    /// Parameters of the response as a whole.
    pub parameters: Parameters,
    /// The tensors asked for.
    pub outputs: Vec<Tensor>,
}
