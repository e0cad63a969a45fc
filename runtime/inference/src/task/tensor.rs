//! The task of plain tensors: the graph's inputs and outputs are the model's.

use std::collections::BTreeMap;

use bytes::Bytes;
use forebay_oip::{Datatype, InferRequest, Tensor, TensorSpec};

use super::{Run, Task};
use crate::{
    InferenceError,
    manifest::Manifest,
    session::{Input, RunError, Session},
    signature::{Signature, TensorLimits, check_inputs},
};

pub(super) struct TensorTask {
    inputs: Vec<Signature>,
    outputs: Vec<Signature>,
    limits: TensorLimits,
    max_output_bytes: usize,
    warm_up: BTreeMap<String, u64>,
}

impl TensorTask {
    pub(super) fn new(manifest: &Manifest, session: &Session) -> Self {
        let limits = &manifest.limits;
        Self {
            inputs: session.inputs().to_vec(),
            outputs: session.outputs().to_vec(),
            limits: TensorLimits { max_elements: limits.max_elements, max_batch: limits.max_batch },
            max_output_bytes: limits.max_output_bytes,
            warm_up: manifest.warm_up.clone(),
        }
    }
}

impl Task for TensorTask {
    fn inputs(&self) -> Vec<TensorSpec> {
        self.inputs.iter().map(Signature::spec).collect()
    }

    fn outputs(&self) -> Vec<TensorSpec> {
        self.outputs.iter().map(Signature::spec).collect()
    }

    fn check(&self, request: &InferRequest) -> Result<(), InferenceError> {
        check_inputs(&self.inputs, &request.inputs, self.limits)?;
        request.inputs.iter().filter(|tensor| tensor.datatype == Datatype::Bytes).try_for_each(check_text)
    }

    fn warm_up(&self) -> InferRequest {
        let zeros = |signature: &Signature| zeros(signature, &self.warm_up, self.limits.max_elements);
        InferRequest { inputs: self.inputs.iter().map(zeros).collect(), ..InferRequest::default() }
    }

    fn perform(&self, request: InferRequest, run: &mut Run<'_>) -> Result<Vec<Tensor>, InferenceError> {
        let empty = request.inputs.iter().any(|tensor| tensor.shape.contains(&0));
        let inputs = request.inputs.into_iter().map(Input::Tensor).collect();
        let outputs = run.graph(inputs).map_err(|error| blame(error, empty))?;
        Ok(outputs.tensors(&request.outputs, self.max_output_bytes)?)
    }
}

/// ONNX Runtime's strings are UTF-8 without NUL.
fn check_text(tensor: &Tensor) -> Result<(), InferenceError> {
    let elements = tensor.bytes_elements().into_iter().flatten().enumerate();
    for (place, element) in elements {
        let text = element.ok().and_then(|bytes| std::str::from_utf8(bytes).ok());
        if text.is_none_or(|text| text.contains('\0')) {
            return Err(InferenceError::invalid(
                &tensor.name,
                format!("element {place} is not UTF-8 text without NUL"),
            ));
        }
    }
    Ok(())
}

/// The caller's values went into the graph as they were, so what the graph calls an argument is theirs. An empty tensor
/// fails inside the operators that cannot take one, with an error like any other.
fn blame(error: RunError, empty: bool) -> InferenceError {
    match error {
        RunError::Argument(reason) => refused(&reason),
        RunError::Failed(reason) if empty => refused(&reason),
        other => other.into(),
    }
}

fn refused(reason: &str) -> InferenceError {
    tracing::debug!(reason, "the graph refuses a request's values");
    InferenceError::Refused
}

fn zeros(signature: &Signature, sizes: &BTreeMap<String, u64>, max_elements: u64) -> Tensor {
    let mut shape = signature.smallest_shape(sizes);
    let mut count = shape.iter().copied().fold(1, u64::saturating_mul);
    if count > max_elements {
        // More than a request may bring: left to be refused by name, as a request would be.
        (shape, count) = (vec![0; shape.len()], 0);
    }
    // Bounded by `max_elements`, which fits any machine that can hold the model.
    let count = usize::try_from(count).unwrap_or(0);
    let size_bytes = signature.datatype.size_bytes().unwrap_or(STRING_LENGTH_BYTES);
    let data = Bytes::from(vec![0; count.saturating_mul(size_bytes)]);
    Tensor::from_raw(&signature.name, signature.datatype, shape, data)
}

/// An empty string in the protocol's layout is its length alone.
const STRING_LENGTH_BYTES: usize = 4;
