//! The crate as others use it, with real models in a real ONNX Runtime.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod models {
    mod device;
    mod embedding;
    mod lifecycle;
    mod support;
    mod tensor;
    mod text_recognition;
}
