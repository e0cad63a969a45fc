//! A tensor in the protocol's raw layout, which is the one form that both encodings are turned into.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Datatype, OipError, Parameters};

/// Bytes of the length in front of each BYTES element.
const LENGTH_BYTES: usize = 4;

/// A named tensor.
///
/// `data` is always the raw layout: little-endian, row-major, no padding; BYTES elements are a 32-bit little-endian length
/// and the bytes. A tensor read from a raw body shares the body's memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Name of the input or output.
    pub name: String,
    /// Type of the elements.
    pub datatype: Datatype,
    /// Sizes of the dimensions, outermost first; empty for a scalar.
    pub shape: Vec<u64>,
    /// Parameters of this tensor. `binary_data_size` is never among them: it belongs to the encoding.
    pub parameters: Parameters,
    /// The elements.
    pub data: Bytes,
}

impl Tensor {
    /// A BYTES tensor of the elements given. An element of 4 GiB or more is cut to nothing and so fails `validate`.
    pub fn from_strings<'a>(
        name: impl Into<String>,
        shape: impl Into<Vec<u64>>,
        elements: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        let mut data = BytesMut::new();
        for element in elements {
            if let Ok(length) = u32::try_from(element.len()) {
                data.reserve(LENGTH_BYTES + element.len());
                data.put_u32_le(length);
                data.put_slice(element);
            }
        }
        Self::from_raw(name, Datatype::Bytes, shape, data.freeze())
    }

    /// An FP32 tensor of the elements given.
    pub fn from_f32(name: impl Into<String>, shape: impl Into<Vec<u64>>, elements: &[f32]) -> Self {
        let mut data = BytesMut::with_capacity(elements.len().saturating_mul(4));
        for element in elements {
            data.put_f32_le(*element);
        }
        Self::from_raw(name, Datatype::Fp32, shape, data.freeze())
    }

    /// A tensor of raw data, without parameters. Nothing is checked; see `validate`.
    pub fn from_raw(name: impl Into<String>, datatype: Datatype, shape: impl Into<Vec<u64>>, data: Bytes) -> Self {
        Tensor { name: name.into(), datatype, shape: shape.into(), parameters: Parameters::new(), data }
    }

    /// The product of the dimensions: 1 for a scalar, `None` if it does not fit 64 bits.
    pub fn element_count(&self) -> Option<u64> {
        self.shape.iter().try_fold(1_u64, |count, dimension| count.checked_mul(*dimension))
    }

    /// The elements of a BYTES tensor in order, borrowed from `data`.
    ///
    /// # Errors
    /// The tensor is not BYTES. A length that overruns the data comes as an error from the iterator, which then ends.
    pub fn bytes_elements(&self) -> Result<BytesElements<'_>, OipError> {
        if self.datatype == Datatype::Bytes {
            Ok(BytesElements { name: &self.name, rest: &self.data })
        } else {
            Err(OipError::tensor(&self.name, format!("expected BYTES, found {}", self.datatype)))
        }
    }

    /// Checks that the data is exactly what datatype and shape call for.
    ///
    /// # Errors
    /// `OipError::Tensor`, saying both counts.
    pub fn validate(&self) -> Result<(), OipError> {
        let count = self.checked_count()?;
        match self.datatype.size_bytes() {
            Some(size) => self.validate_fixed(count, size)?,
            None => self.validate_bytes(count)?,
        }
        if self.datatype == Datatype::Bool && self.data.iter().any(|byte| *byte > 1) {
            return Err(OipError::tensor(&self.name, "a BOOL element is neither 0 nor 1"));
        }
        Ok(())
    }

    pub(crate) fn checked_count(&self) -> Result<u64, OipError> {
        self.element_count().ok_or_else(|| {
            OipError::tensor(&self.name, format!("the dimensions of shape {:?} multiply to over 64 bits", self.shape))
        })
    }

    fn validate_fixed(&self, count: u64, size: usize) -> Result<(), OipError> {
        let expected = u128::from(count) * size as u128;
        if expected == self.data.len() as u128 {
            return Ok(());
        }
        let reason =
            format!("{} of shape {:?} takes {expected} bytes, found {}", self.datatype, self.shape, self.data.len());
        Err(OipError::tensor(&self.name, reason))
    }

    fn validate_bytes(&self, count: u64) -> Result<(), OipError> {
        let mut found = 0_u64;
        for element in self.bytes_elements()? {
            element?;
            found += 1;
        }
        if found == count {
            return Ok(());
        }
        let reason = format!("shape {:?} calls for {count} elements, found {found}", self.shape);
        Err(OipError::tensor(&self.name, reason))
    }
}

/// Iterator over the elements of a BYTES tensor.
#[derive(Clone, Debug)]
pub struct BytesElements<'a> {
    name: &'a str,
    rest: &'a [u8],
}

impl<'a> Iterator for BytesElements<'a> {
    type Item = Result<&'a [u8], OipError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = self.rest.split_first_chunk::<LENGTH_BYTES>().and_then(|(length, rest)| {
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            rest.split_at_checked(length)
        });
        match split {
            Some((element, rest)) => {
                self.rest = rest;
                Some(Ok(element))
            }
            None => {
                self.rest = &[];
                Some(Err(OipError::tensor(self.name, "an element's length runs past the end of the data")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn strings_read_back() {
        let tensor = Tensor::from_strings("t", [3], [&b"a"[..], b"", b"\xff\x00"]);
        tensor.validate().unwrap();
        let elements: Result<Vec<_>, _> = tensor.bytes_elements().unwrap().collect();
        assert_eq!(elements.unwrap(), [&b"a"[..], b"", b"\xff\x00"]);
    }

    #[test]
    fn wrong_sizes_are_refused_with_both_counts() {
        let mut tensor = Tensor::from_f32("x", [2, 2], &[1.0, 2.0, 3.0]);
        let error = tensor.validate().unwrap_err().to_string();
        assert_eq!(error, "tensor `x`: FP32 of shape [2, 2] takes 16 bytes, found 12");
        tensor.shape = vec![u64::MAX, 2];
        assert!(tensor.validate().unwrap_err().to_string().contains("over 64 bits"));
        tensor.shape = vec![u64::MAX];
        assert!(tensor.validate().is_err());
    }

    #[test]
    fn a_cut_bytes_tensor_is_refused() {
        let whole = Tensor::from_strings("t", [1], [&b"abc"[..]]);
        for end in 1..whole.data.len() {
            let cut = Tensor { data: whole.data.slice(..end), ..whole.clone() };
            assert!(cut.validate().is_err(), "{end}");
        }
    }

    #[test]
    fn a_bool_is_zero_or_one() {
        let mut tensor = Tensor::from_raw("b", Datatype::Bool, [2], Bytes::from_static(&[0, 1]));
        tensor.validate().unwrap();
        tensor.data = Bytes::from_static(&[0, 2]);
        assert!(tensor.validate().is_err());
    }

    #[test]
    fn a_scalar_has_one_element() {
        assert_eq!(Tensor::from_f32("x", [], &[1.0]).element_count(), Some(1));
        assert_eq!(Tensor::from_f32("x", [4, 0], &[]).element_count(), Some(0));
    }
}
