//! Inferences that tests ask.

use serde_json::{Value, json};

/// Two sentences whose cosine is published with the model: 0.6946.
pub const PAIR: [&str; 2] = ["That is a happy person", "That is a happy dog"];

/// The embeddings of texts.
pub fn texts(texts: &[&str]) -> Value {
    json!({"inputs": [{"name": "text", "shape": [texts.len()], "datatype": "BYTES", "data": texts}]})
}

/// A product whose `y` is `[7 + bias, 10 + bias]`.
pub fn matmul(bias: f32) -> Value {
    json!({"inputs": [
        {"name": "a", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]},
        {"name": "b", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]},
        {"name": "bias", "shape": [1], "datatype": "FP32", "data": [bias]},
    ]})
}

/// A run of this many turns.
pub fn countdown(steps: i64) -> Value {
    json!({"inputs": [{"name": "steps", "shape": [1], "datatype": "INT64", "data": [steps]}]})
}

/// A run that only a deadline ends.
pub fn endless() -> Value {
    countdown(i64::MAX)
}

/// The cosine of two unit vectors that stand one behind the other.
pub fn cosine(vectors: &[f32]) -> f32 {
    let (a, b) = vectors.split_at(vectors.len() / 2);
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
