//! What a model says about itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Datatype;

/// The answer to `GET /v2/models/{model}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelMetadata {
    /// Name of the model.
    pub name: String,
    /// Versions that can be asked for.
    #[serde(default)]
    pub versions: Vec<String>,
    /// Framework and format, for example `onnxruntime_onnx`.
    pub platform: String,
    /// What the model takes.
    pub inputs: Vec<TensorSpec>,
    /// What the model gives.
    pub outputs: Vec<TensorSpec>,
    /// More about the model; the protocol leaves the keys to the server.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, serde_json::Value>,
}

/// Name, type and shape of a model's input or output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorSpec {
    /// Name of the tensor.
    pub name: String,
    /// Type of its elements.
    pub datatype: Datatype,
    /// Its dimensions; -1 where any size will do.
    pub shape: Vec<i64>,
}
