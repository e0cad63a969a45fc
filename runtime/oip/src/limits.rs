//! How much of a message is read before it is refused.

/// Most tensors, and most requested outputs, that are kept while a message is read.
pub(crate) const MAX_TENSORS: usize = 256;
/// Most dimensions that are kept while a shape is read.
pub(crate) const MAX_RANK: usize = 32;
/// Longest name of a model, tensor, output or parameter.
pub(crate) const MAX_NAME_BYTES: usize = 1024;
/// Most parameters of one message, tensor or requested output.
pub(crate) const MAX_PARAMETERS: usize = 64;
/// Most further ones whose names are this project's own: a wish per output, and what a node adds to a caller's 64.
pub(crate) const MAX_OWN_PARAMETERS: usize = MAX_TENSORS + 16;

/// Bounds on what a body may make the reader do. The body's own size is bounded by whoever received it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Most tensors in one message, and most requested outputs. Above 256 has no effect.
    pub max_tensors: usize,
    /// Most elements in one tensor.
    pub max_elements_per_tensor: usize,
    /// Deepest nesting of a tensor's `data`, and so the greatest rank of its shape; above 127 it has no
    /// effect on `data`, and above 32 none on the rank.
    pub max_json_depth: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        DecodeLimits { max_tensors: MAX_TENSORS, max_elements_per_tensor: 1 << 24, max_json_depth: MAX_RANK }
    }
}
