//! Inputs that are a list of byte strings, one row of the batch each.

use forebay_oip::{Datatype, InferRequest, Tensor};

use crate::{InferenceError, signature::reason_of};

/// What rows a task takes.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    /// The one input's name.
    pub(super) input: String,
    pub(super) max_rows: u64,
    pub(super) max_row_bytes: usize,
}

impl Rows {
    /// Checks that the request has the one input, BYTES of shape [n] or [n, 1] with n from 1 to `max_rows`, and that
    /// no row is too long.
    pub(super) fn check(&self, request: &InferRequest) -> Result<(), InferenceError> {
        let tensor = self.only_input(request)?;
        let refuse = |reason: String| Err(InferenceError::invalid(&self.input, reason));

        if tensor.datatype != Datatype::Bytes {
            return refuse(format!("expected BYTES, found {}", tensor.datatype));
        }
        let rows = match *tensor.shape.as_slice() {
            [rows] | [rows, 1] => rows,
            _ => return refuse(format!("expected the shape [n] or [n, 1], found {:?}", tensor.shape)),
        };
        if !(1..=self.max_rows).contains(&rows) {
            return refuse(format!("a batch of {rows}; from 1 to {} are taken", self.max_rows));
        }
        tensor.validate().or_else(|error| refuse(reason_of(error)))?;
        match self.of(request)?.iter().position(|row| row.len() > self.max_row_bytes) {
            None => Ok(()),
            Some(place) => refuse(format!("element {place} has more than {} bytes", self.max_row_bytes)),
        }
    }

    /// The rows, in order.
    pub(super) fn of<'a>(&self, request: &'a InferRequest) -> Result<Vec<&'a [u8]>, InferenceError> {
        self.only_input(request)?
            .bytes_elements()
            .and_then(Iterator::collect)
            .map_err(|error| InferenceError::invalid(&self.input, reason_of(error)))
    }

    fn only_input<'a>(&self, request: &'a InferRequest) -> Result<&'a Tensor, InferenceError> {
        match request.inputs.as_slice() {
            [tensor] if tensor.name == self.input => Ok(tensor),
            [] => Err(InferenceError::invalid(&self.input, "missing")),
            tensors => Err(match tensors.iter().find(|tensor| tensor.name != self.input) {
                Some(unknown) => InferenceError::invalid(&unknown.name, "the model has no such input"),
                None => InferenceError::invalid(&self.input, "given twice"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;
    use forebay_oip::{Datatype, InferRequest, Tensor};

    use super::Rows;

    fn check(inputs: Vec<Tensor>) -> Result<(), String> {
        let rows = Rows { input: "text".to_owned(), max_rows: 2, max_row_bytes: 4 };
        let request = InferRequest { inputs, ..InferRequest::default() };
        rows.check(&request).map_err(|error| error.to_string())
    }

    fn texts(shape: &[u64], texts: &[&str]) -> Tensor {
        Tensor::from_strings("text", shape, texts.iter().map(|text| text.as_bytes()))
    }

    #[test]
    fn lists_and_columns_are_rows() {
        check(vec![texts(&[2], &["a", "b"])]).unwrap();
        check(vec![texts(&[2, 1], &["a", ""])]).unwrap();
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        let other = Tensor { name: "other".to_owned(), ..texts(&[1], &["a"]) };
        let numbers = Tensor::from_f32("text", [1], &[1.0]);
        let cut = Tensor::from_raw("text", Datatype::Bytes, [1], Bytes::from_static(&[9, 0, 0, 0, 1]));
        for (inputs, expected) in [
            (vec![], "input `text`: missing"),
            (vec![other.clone()], "input `other`: the model has no such input"),
            (vec![texts(&[1], &["a"]), other], "input `other`: the model has no such input"),
            (vec![texts(&[1], &["a"]), texts(&[1], &["a"])], "input `text`: given twice"),
            (vec![numbers], "input `text`: expected BYTES, found FP32"),
            (vec![texts(&[1, 2], &["a", "b"])], "input `text`: expected the shape [n] or [n, 1], found [1, 2]"),
            (vec![texts(&[], &["a"])], "input `text`: expected the shape [n] or [n, 1], found []"),
            (vec![texts(&[0], &[])], "input `text`: a batch of 0; from 1 to 2 are taken"),
            (vec![texts(&[3], &["a", "b", "c"])], "input `text`: a batch of 3; from 1 to 2 are taken"),
            (vec![texts(&[2], &["a", "abcde"])], "input `text`: element 1 has more than 4 bytes"),
            (vec![texts(&[2], &["a"])], "input `text`: shape [2] calls for 2 elements, found 1"),
            (vec![cut], "input `text`: an element's length runs past the end of the data"),
        ] {
            assert_eq!(check(inputs).unwrap_err(), expected);
        }
    }
}
