//! The interface `inference`: the models that this plugin may ask.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::Result;

use crate::bindings::inference::{Host, InferenceError, Tensor};
use crate::services::{InferenceFailure, PlainTensor};
use crate::state::{CallState, Stop};

impl Host for CallState {
    async fn infer(&mut self, model: String, inputs: Vec<Tensor>) -> Result<Result<Vec<Tensor>, InferenceError>> {
        self.charge(model.len() + inputs.iter().map(weight).sum::<usize>())?;
        let inference = self.services.inference.clone().ok_or(Stop::NotHere("inference"))?;
        let context = self.context()?;
        let (request, deadline) = (Arc::clone(&context.request), context.deadline);
        let inputs = inputs.into_iter().map(PlainTensor::from).collect();
        // With the restrictions of this very hook: whoever makes one must not be the first to break it.
        let within = self.edits.jurisdictions(request.jurisdictions().map(<[String]>::to_vec));
        match self.wait(inference.infer(request.route(), within, &model, inputs, deadline)).await? {
            Ok(outputs) => {
                let outputs: Vec<Tensor> = outputs.into_iter().map(Tensor::from).collect();
                self.charge_bytes(outputs.iter().map(weight).sum())?;
                Ok(Ok(outputs))
            }
            Err(failure) => Ok(Err(failure.into())),
        }
    }
}

fn weight(tensor: &Tensor) -> usize {
    tensor.name.len() + tensor.datatype.len() + tensor.shape.len() * size_of::<u64>() + tensor.data.len()
}

impl From<Tensor> for PlainTensor {
    fn from(tensor: Tensor) -> Self {
        Self { name: tensor.name, datatype: tensor.datatype, shape: tensor.shape, data: Bytes::from(tensor.data) }
    }
}

impl From<PlainTensor> for Tensor {
    fn from(tensor: PlainTensor) -> Self {
        Self { name: tensor.name, datatype: tensor.datatype, shape: tensor.shape, data: tensor.data.into() }
    }
}

impl From<InferenceFailure> for InferenceError {
    fn from(failure: InferenceFailure) -> Self {
        match failure {
            InferenceFailure::NotAllowed => Self::NotAllowed,
            InferenceFailure::BadInput => Self::BadInput,
            InferenceFailure::Unavailable => Self::Unavailable,
            InferenceFailure::Timeout => Self::Timeout,
            InferenceFailure::TooLarge => Self::TooLarge,
        }
    }
}
