//! How much of a message is read before it is refused.

/// Bounds on what a body may make the reader do. The body's own size is bounded by whoever received it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Most tensors in one message, and most requested outputs.
    pub max_tensors: usize,
    /// Most elements in one tensor.
    pub max_elements_per_tensor: usize,
    /// Deepest nesting of a tensor's `data`, and so the greatest rank of its shape. Above 127 has no effect.
    pub max_json_depth: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        DecodeLimits { max_tensors: 256, max_elements_per_tensor: 1 << 24, max_json_depth: 32 }
    }
}
