//! Asks a model.

#[cfg(target_family = "wasm")]
pub use crate::bindings::host::forebay::policy::inference::{InferenceError, Tensor, infer};
#[cfg(not(target_family = "wasm"))]
pub use crate::testing::outside::infer;

/// A tensor of the Open Inference Protocol.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// `FP32`, `INT64`, `BYTES` and so on.
    pub datatype: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Little-endian, row by row; an element of `BYTES` is its length in four bytes and then its bytes.
    pub data: Vec<u8>,
}

/// Why a model did not answer.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InferenceError {
    /// The model is not among those allowed.
    NotAllowed,
    /// The model refused the inputs.
    BadInput,
    /// No region that may answer has the model, or none could.
    Unavailable,
    /// The time was over.
    Timeout,
    /// The answer is larger than allowed.
    TooLarge,
}
