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
    /// Whether requests choose any of the sizes.
    open: bool,
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
            open: session.inputs().iter().any(Signature::is_open),
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

    fn warm_up(&self) -> Vec<InferRequest> {
        let zeros = |signature: &Signature| zeros(signature, &self.warm_up, self.limits.max_elements);
        vec![InferRequest { inputs: self.inputs.iter().map(zeros).collect(), ..InferRequest::default() }]
    }

    fn perform(&self, request: InferRequest, run: &mut Run<'_>) -> Result<Vec<Tensor>, InferenceError> {
        let inputs = request.inputs.into_iter().map(Input::Tensor).collect();
        let outputs = run.graph(inputs).map_err(|error| blame(error, self.open))?;
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

/// The caller's values went into the graph as they were, so what the graph calls an argument is theirs. Where the graph
/// leaves sizes `open`, so is any other failure inside it: sizes that do not go together, or none at all, fail in the
/// operator that meets them, with an error like any other. A graph of fixed sizes has run on them when it was loaded.
fn blame(error: RunError, open: bool) -> InferenceError {
    match error {
        RunError::Argument(reason) => {
            tracing::debug!(reason, "the graph refuses a request's values");
            InferenceError::Refused
        }
        RunError::Failed(reason) if open => {
            tracing::warn!(reason, "the graph fails on a request's values or sizes");
            InferenceError::Refused
        }
        other => other.into(),
    }
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

#[cfg(test)]
mod tests {
    use super::{RunError, blame};
    use crate::Blame;

    #[test]
    fn who_chose_the_sizes_is_to_blame_for_them() {
        let reason = || "reason".to_owned();
        for (error, open, expected) in [
            (RunError::Argument(reason()), false, Blame::Client),
            (RunError::Failed(reason()), true, Blame::Client),
            (RunError::Failed(reason()), false, Blame::Internal),
            (RunError::Device(reason()), true, Blame::Internal),
            (RunError::TooLarge { output: reason(), bytes: 2, max_bytes: 1 }, false, Blame::Client),
        ] {
            let text = format!("{error:?}, open: {open}");
            assert_eq!(blame(error, open).blame(), expected, "{text}");
        }
    }
}
