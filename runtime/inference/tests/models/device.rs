//! What was asked for and what was had, with a library that knows no GPU.

use forebay_inference::{Blame, Device, InferenceError, Model, ModelSettings};

use super::support::{folder_with, runtime};

#[test]
fn without_a_gpu_the_fallback_is_visible() {
    let folder = folder_with("matmul.onnx", "");
    for device in [Device::Cuda, Device::TensorRt] {
        let settings = ModelSettings { device, ..ModelSettings::new(folder.path()) };
        let model = Model::load(&runtime(), &settings).unwrap();
        assert_eq!((model.device().requested, model.device().actual), (device, Device::Cpu));
        let property = &model.metadata().properties["device"];
        assert_eq!(property["requested"], device.as_str());
        assert_eq!(property["actual"], "cpu");
    }
}

#[test]
fn a_gpu_that_is_required_and_not_there_is_a_refusal() {
    let folder = folder_with("matmul.onnx", "");
    for device in [Device::Cuda, Device::TensorRt] {
        let settings = ModelSettings { device, require_gpu: true, ..ModelSettings::new(folder.path()) };
        let error = Model::load(&runtime(), &settings).unwrap_err();
        assert!(matches!(error, InferenceError::GpuRequired { requested, .. } if requested == device), "{error}");
        assert_eq!(error.blame(), Blame::Operator);
        let text = error.to_string();
        assert!(text.contains(device.as_str()) && text.contains("not enabled in this build"), "{text}");
    }
}
