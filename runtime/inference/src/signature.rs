//! What a graph takes and gives, and whether a request fits it.
//!
//! Everything that can be known without running is checked here: ONNX Runtime calls a missing input or two sizes that
//! should be equal a failure of its own, and then nobody can tell a caller's mistake from ours.

use std::collections::BTreeMap;

use forebay_oip::{Datatype, RequestedOutput, Tensor, TensorSpec};

use crate::{InferenceError, text::quote};

/// One dimension of a graph's input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dimension {
    /// Always this size.
    Fixed(u64),
    /// Any size, but the same wherever the name stands.
    Named(String),
    /// Any size.
    Any,
}

/// One input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) name: String,
    pub(crate) datatype: Datatype,
    pub(crate) dimensions: Vec<Dimension>,
}

/// Bounds on one request for a graph.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TensorLimits {
    /// Most elements in one input.
    pub(crate) max_elements: u64,
    /// Most entries along the first dimension of an input, where the graph leaves it open.
    pub(crate) max_batch: u64,
}

impl Signature {
    /// As the protocol's metadata tells it: -1 for what is open. A size beyond the protocol's range counts as open.
    pub(crate) fn spec(&self) -> TensorSpec {
        let open = |dimension: &Dimension| match dimension {
            Dimension::Fixed(size) => i64::try_from(*size).unwrap_or(-1),
            Dimension::Named(_) | Dimension::Any => -1,
        };
        TensorSpec {
            name: self.name.clone(),
            datatype: self.datatype,
            shape: self.dimensions.iter().map(open).collect(),
        }
    }

    /// Whether a request chooses any of the sizes.
    pub(crate) fn is_open(&self) -> bool {
        self.dimensions.iter().any(|dimension| !matches!(dimension, Dimension::Fixed(_)))
    }

    /// A shape that fits: named dimensions of the sizes given, all other open ones 1.
    pub(crate) fn smallest_shape(&self, sizes: &BTreeMap<String, u64>) -> Vec<u64> {
        let size = |dimension: &Dimension| match dimension {
            Dimension::Fixed(size) => *size,
            Dimension::Named(name) => sizes.get(name).copied().unwrap_or(1),
            Dimension::Any => 1,
        };
        self.dimensions.iter().map(size).collect()
    }
}

/// Checks a request's inputs against the graph's: all there, none more, datatype, shape, equal names, sizes.
///
/// # Errors
/// [`InferenceError::Invalid`] for the first mistake found.
pub(crate) fn check_inputs(
    signatures: &[Signature],
    inputs: &[Tensor],
    limits: TensorLimits,
) -> Result<(), InferenceError> {
    check_names(signatures, inputs)?;
    let mut named = BTreeMap::new();
    for (signature, tensor) in matched(signatures, inputs) {
        check_datatype(signature, tensor)?;
        check_shape(signature, tensor, &mut named)?;
        check_limits(signature, tensor, limits)?;
        // Last, since it reads the data: what it may be asked to read is bounded by now.
        tensor.validate().map_err(|error| InferenceError::invalid(&tensor.name, reason_of(error)))?;
    }
    Ok(())
}

/// Checks that every output asked for exists.
///
/// # Errors
/// [`InferenceError::UnknownOutput`].
pub(crate) fn check_outputs(known: &[TensorSpec], requested: &[RequestedOutput]) -> Result<(), InferenceError> {
    match requested.iter().find(|wanted| known.iter().all(|output| output.name != wanted.name)) {
        None => Ok(()),
        Some(unknown) => Err(InferenceError::UnknownOutput { name: quote(&unknown.name) }),
    }
}

/// What the codec says about a tensor, without its name, which ours carry already.
pub(crate) fn reason_of(error: forebay_oip::OipError) -> String {
    match error {
        forebay_oip::OipError::Tensor { reason, .. } => reason,
        other => other.to_string(),
    }
}

fn matched<'a>(signatures: &'a [Signature], inputs: &'a [Tensor]) -> impl Iterator<Item = (&'a Signature, &'a Tensor)> {
    signatures
        .iter()
        .filter_map(|signature| inputs.iter().find(|tensor| tensor.name == signature.name).map(|t| (signature, t)))
}

fn check_names(signatures: &[Signature], inputs: &[Tensor]) -> Result<(), InferenceError> {
    for (place, tensor) in inputs.iter().enumerate() {
        if signatures.iter().all(|signature| signature.name != tensor.name) {
            return Err(InferenceError::invalid(&tensor.name, "the model has no such input"));
        }
        if inputs.iter().take(place).any(|earlier| earlier.name == tensor.name) {
            return Err(InferenceError::invalid(&tensor.name, "given twice"));
        }
    }
    match signatures.iter().find(|signature| inputs.iter().all(|tensor| tensor.name != signature.name)) {
        None => Ok(()),
        Some(missing) => Err(InferenceError::invalid(&missing.name, "missing")),
    }
}

fn check_datatype(signature: &Signature, tensor: &Tensor) -> Result<(), InferenceError> {
    if signature.datatype == tensor.datatype {
        return Ok(());
    }
    let reason = format!("expected {}, found {}", signature.datatype, tensor.datatype);
    Err(InferenceError::invalid(&tensor.name, reason))
}

fn check_shape<'a>(
    signature: &'a Signature,
    tensor: &'a Tensor,
    named: &mut BTreeMap<&'a str, (&'a str, u64)>,
) -> Result<(), InferenceError> {
    let refuse = |reason| Err(InferenceError::invalid(&tensor.name, reason));

    if signature.dimensions.len() != tensor.shape.len() {
        return refuse(format!("expected {} dimensions, found {}", signature.dimensions.len(), tensor.shape.len()));
    }
    for (place, (dimension, &found)) in signature.dimensions.iter().zip(&tensor.shape).enumerate() {
        match dimension {
            Dimension::Any => {}
            Dimension::Fixed(size) if *size == found => {}
            Dimension::Fixed(size) => {
                return refuse(format!("expected dimension {place} to be {size}, found {found}"));
            }
            Dimension::Named(name) => {
                let (other, size) = *named.entry(name).or_insert((&tensor.name, found));
                if size != found {
                    return refuse(format!(
                        "dimension {place} is {found}, but `{name}` is {size} already (in input `{other}`)"
                    ));
                }
            }
        }
    }
    Ok(())
}

fn check_limits(signature: &Signature, tensor: &Tensor, limits: TensorLimits) -> Result<(), InferenceError> {
    let most = limits.max_elements;
    if tensor.element_count().is_none_or(|count| count > most) {
        return Err(InferenceError::invalid(&tensor.name, format!("more than {most} elements")));
    }
    let open = matches!(signature.dimensions.first(), Some(Dimension::Named(_) | Dimension::Any));
    match tensor.shape.first() {
        Some(&batch) if open && batch > limits.max_batch => {
            let reason = format!("a batch of {batch}; the most is {}", limits.max_batch);
            Err(InferenceError::invalid(&tensor.name, reason))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
