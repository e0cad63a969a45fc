//! Where a model runs: what the settings ask for, and what was had.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The device that the settings ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU by ONNX Runtime's CUDA provider.
    Cuda,
    /// An NVIDIA GPU by ONNX Runtime's TensorRT provider.
    TensorRt,
}

impl Device {
    /// The word used in config, metadata and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The device that a model runs on, beside the one that was asked for: falling back is allowed, hiding it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActualDevice {
    /// What the settings asked for.
    pub requested: Device,
    /// What the sessions were given.
    pub actual: Device,
}
