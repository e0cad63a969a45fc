//! The Open Inference Protocol as values: requests, responses, tensors, metadata and paths, with their two encodings
//! (JSON, and JSON followed by raw tensors). The edge and the regions both speak it, so both read it here and nowhere else.
//!
//! Everything in this crate is pure. It knows no socket, no server, no model and no clock, and it never keeps a value that
//! it could not account for byte by byte.
//!
//! Sources: kserve/open-inference-protocol `specification/protocol/inference_rest.md`; for binary tensors, Triton's
//! `docs/protocol/extension_binary_data.md`.

mod bounded;
mod data;
mod datatype;
mod decode;
mod encode;
mod error;
mod limits;
mod message;
mod metadata;
mod object;
mod parameter;
pub mod path;
pub mod sealed;
mod tensor;

pub use datatype::{Datatype, UnknownDatatype};
pub use decode::{decode_request, decode_response};
pub use encode::{Encoded, Encoding, OutputEncodings, encode_request, encode_response};
pub use error::OipError;
pub use limits::DecodeLimits;
pub use message::{InferRequest, InferResponse, RequestedOutput};
pub use metadata::{ModelMetadata, TensorSpec};
pub use parameter::{Parameter, Parameters};
pub use tensor::{BytesElements, Tensor};

/// Name of the HTTP header that says how many bytes at the start of the body are JSON; the rest is raw tensors.
///
/// With `Content-Encoding`, the count is of the decoded body.
pub const HEADER_LENGTH: &str = "inference-header-content-length";

/// Request parameter: whether outputs without a choice of their own come back as raw tensors.
pub const BINARY_DATA_OUTPUT: &str = "binary_data_output";
/// Parameter of a requested output: whether this one comes back as a raw tensor.
pub const BINARY_DATA: &str = "binary_data";
/// Parameter of a tensor whose data follows the JSON: how many bytes of it.
pub const BINARY_DATA_SIZE: &str = "binary_data_size";
