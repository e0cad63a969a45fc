//! The `data` of a tensor in JSON, turned into the raw layout and back without a tree in between: this is the hot path of a
//! JSON inference.
//!
//! The nesting is known before reading: it is the number of brackets that the text begins with. So every level is read as
//! exactly what it must be, and data that is nested unevenly is refused where it departs.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use crate::{Datatype, DecodeLimits, OipError, Tensor};

/// Reads `json`, the text of a `data` member, into `tensor`, whose name, datatype and shape are set.
///
/// Flat data is row-major. Nested data must hold as many elements in all, and if it is nested as deep as the shape has
/// dimensions, as many at every level.
pub(crate) fn read_json(tensor: &mut Tensor, json: &str, limits: &DecodeLimits) -> Result<(), OipError> {
    let depth = depth_of(&tensor.name, json, limits)?;
    let count = tensor.checked_count()?;
    // An element and its comma take two characters, so more than this cannot come.
    let room = usize::try_from(count).unwrap_or(usize::MAX).min(json.len() / 2 + 1);
    let mut sink = Sink {
        shape: if depth > 1 && depth == tensor.shape.len() { &tensor.shape } else { &[] },
        expected: count,
        found: 0,
        fault: None,
        raw: Vec::with_capacity(room.saturating_mul(tensor.datatype.size_bytes().unwrap_or(4))),
    };
    let read = match tensor.datatype {
        Datatype::Bool => read_elements::<bool>(json, depth, &mut sink),
        Datatype::Uint8 => read_elements::<u8>(json, depth, &mut sink),
        Datatype::Uint16 => read_elements::<u16>(json, depth, &mut sink),
        Datatype::Uint32 => read_elements::<u32>(json, depth, &mut sink),
        Datatype::Uint64 => read_elements::<u64>(json, depth, &mut sink),
        Datatype::Int8 => read_elements::<i8>(json, depth, &mut sink),
        Datatype::Int16 => read_elements::<i16>(json, depth, &mut sink),
        Datatype::Int32 => read_elements::<i32>(json, depth, &mut sink),
        Datatype::Int64 => read_elements::<i64>(json, depth, &mut sink),
        Datatype::Fp32 => read_elements::<f32>(json, depth, &mut sink),
        Datatype::Fp64 => read_elements::<f64>(json, depth, &mut sink),
        Datatype::Bytes => read_elements::<Text>(json, depth, &mut sink),
        Datatype::Fp16 | Datatype::Bf16 => return Err(no_json_form(tensor)),
    };
    let Sink { found, fault, raw, .. } = sink;
    // The parser's own message is not passed on: it may quote an element, of any length.
    if read.is_err() {
        let reason = fault.unwrap_or_else(|| format!("element {found} is not {}", kind(tensor.datatype)));
        return Err(OipError::tensor(&tensor.name, reason));
    }
    if found != count {
        let reason = format!("shape {:?} calls for {count} elements, found {found}", tensor.shape);
        return Err(OipError::tensor(&tensor.name, reason));
    }
    tensor.data = Bytes::from(raw);
    Ok(())
}

/// The answer to FP16 and BF16 in JSON, in either direction.
pub(crate) fn no_json_form(tensor: &Tensor) -> OipError {
    let reason = format!("{} has no JSON form: use the binary tensor data extension", tensor.datatype);
    OipError::unencodable(&tensor.name, reason)
}

fn depth_of(name: &str, json: &str, limits: &DecodeLimits) -> Result<usize, OipError> {
    let opening =
        json.bytes().filter(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).take_while(|byte| *byte == b'[');
    match opening.take(limits.max_json_depth.saturating_add(1)).count() {
        0 => Err(OipError::tensor(name, "`data` must be an array")),
        depth if depth > limits.max_json_depth => Err(OipError::Limit {
            what: format!("the nesting of `data` of tensor `{}`", crate::error::quote(name)),
            limit: limits.max_json_depth,
        }),
        depth => Ok(depth),
    }
}

fn kind(datatype: Datatype) -> &'static str {
    match datatype {
        Datatype::Bool => "true or false",
        Datatype::Uint8 => "a whole number from 0 to 255 (UINT8)",
        Datatype::Uint16 => "a whole number from 0 to 65535 (UINT16)",
        Datatype::Uint32 => "a whole number from 0 to 2^32-1 (UINT32)",
        Datatype::Uint64 => "a whole number from 0 to 2^64-1 (UINT64)",
        Datatype::Int8 => "a whole number from -128 to 127 (INT8)",
        Datatype::Int16 => "a whole number from -32768 to 32767 (INT16)",
        Datatype::Int32 => "a whole number from -2^31 to 2^31-1 (INT32)",
        Datatype::Int64 => "a whole number from -2^63 to 2^63-1 (INT64)",
        Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 | Datatype::Fp64 => "a number in the range of the datatype",
        Datatype::Bytes => "a string",
    }
}

/// Where elements go, and what is known about them.
struct Sink<'a> {
    /// Sizes that each level must have, or empty if the nesting is not the shape's.
    shape: &'a [u64],
    expected: u64,
    found: u64,
    /// What is wrong, where it is not the element at `found`.
    fault: Option<String>,
    raw: Vec<u8>,
}

impl Sink<'_> {
    fn fail<E: Error>(&mut self, fault: String) -> E {
        self.fault = Some(fault);
        E::custom("refused")
    }
}

/// An element that can be read from JSON and appended to raw data.
trait Element {
    /// Reads the next element, if there is one.
    fn append_next<'de, A: SeqAccess<'de>>(elements: &mut A, raw: &mut Vec<u8>) -> Result<bool, A::Error>;
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Element for $number {
            fn append_next<'de, A: SeqAccess<'de>>(elements: &mut A, raw: &mut Vec<u8>) -> Result<bool, A::Error> {
                let Some(element) = elements.next_element::<$number>()? else { return Ok(false) };
                raw.extend_from_slice(&element.to_le_bytes());
                Ok(true)
            }
        }
    )*};
}
numbers!(u8, u16, u32, u64, i8, i16, i32, i64, f32, f64);

impl Element for bool {
    fn append_next<'de, A: SeqAccess<'de>>(elements: &mut A, raw: &mut Vec<u8>) -> Result<bool, A::Error> {
        let Some(element) = elements.next_element::<bool>()? else {
            return Ok(false);
        };
        raw.push(u8::from(element));
        Ok(true)
    }
}

/// Marks BYTES, whose elements are JSON strings.
struct Text;

impl Element for Text {
    fn append_next<'de, A: SeqAccess<'de>>(elements: &mut A, raw: &mut Vec<u8>) -> Result<bool, A::Error> {
        Ok(elements.next_element_seed(AppendText(raw))?.is_some())
    }
}

struct AppendText<'r>(&'r mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for AppendText<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for AppendText<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let length = u32::try_from(text.len()).map_err(|_| E::custom("a string of 4 GiB"))?;
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

fn read_elements<E: Element>(json: &str, depth: usize, sink: &mut Sink<'_>) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Level::<E> { above: 0, below: depth.saturating_sub(1), sink, element: PhantomData }
        .deserialize(&mut deserializer)?;
    deserializer.end()
}

/// One level of nesting: `above` levels contain it, `below` levels are in it.
struct Level<'s, 'a, E> {
    above: usize,
    below: usize,
    sink: &'s mut Sink<'a>,
    element: PhantomData<E>,
}

impl<'de, E: Element> DeserializeSeed<'de> for Level<'_, '_, E> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, E: Element> Visitor<'de> for Level<'_, '_, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Level { above, below, sink, .. } = self;
        let mut length = 0_u64;
        if below == 0 {
            while E::append_next(&mut elements, &mut sink.raw)? {
                length += 1;
                sink.found += 1;
                if sink.found > sink.expected {
                    return Err(sink.fail(format!("the shape calls for {} elements, found more", sink.expected)));
                }
            }
        } else {
            loop {
                let level = Level::<E> { above: above + 1, below: below - 1, sink: &mut *sink, element: PhantomData };
                if elements.next_element_seed(level)?.is_none() {
                    break;
                }
                length += 1;
            }
        }
        match sink.shape.get(above) {
            Some(dimension) if *dimension != length => {
                Err(sink
                    .fail(format!("dimension {above} of the shape is {dimension}, but an array there has {length}")))
            }
            _ => Ok(()),
        }
    }
}

/// Writes a tensor's elements as a flat JSON array. The tensor has been found valid and to have a JSON form.
pub(crate) struct DataJson<'a>(pub(crate) &'a Tensor);

impl Serialize for DataJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let data = &self.0.data;
        match self.0.datatype {
            Datatype::Bool => write(serializer, data, |[byte]: [u8; 1]| byte != 0),
            Datatype::Uint8 => write(serializer, data, u8::from_le_bytes),
            Datatype::Uint16 => write(serializer, data, u16::from_le_bytes),
            Datatype::Uint32 => write(serializer, data, u32::from_le_bytes),
            Datatype::Uint64 => write(serializer, data, u64::from_le_bytes),
            Datatype::Int8 => write(serializer, data, i8::from_le_bytes),
            Datatype::Int16 => write(serializer, data, i16::from_le_bytes),
            Datatype::Int32 => write(serializer, data, i32::from_le_bytes),
            Datatype::Int64 => write(serializer, data, i64::from_le_bytes),
            Datatype::Fp32 => write(serializer, data, f32::from_le_bytes),
            Datatype::Fp64 => write(serializer, data, f64::from_le_bytes),
            Datatype::Fp16 | Datatype::Bf16 => Err(serde::ser::Error::custom("no JSON form")),
            Datatype::Bytes => write_text(serializer, self.0),
        }
    }
}

fn write<S: Serializer, T: Serialize, const N: usize>(
    serializer: S,
    data: &[u8],
    element: impl Fn([u8; N]) -> T,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(data.as_chunks::<N>().0.iter().map(|bytes| element(*bytes)))
}

fn write_text<S: Serializer>(serializer: S, tensor: &Tensor) -> Result<S::Ok, S::Error> {
    use serde::ser::Error;
    let mut texts = serializer.serialize_seq(None)?;
    for element in tensor.bytes_elements().map_err(S::Error::custom)? {
        let text = str::from_utf8(element.map_err(S::Error::custom)?).map_err(S::Error::custom)?;
        texts.serialize_element(text)?;
    }
    texts.end()
}

/// Checks that `DataJson` can write this tensor without losing anything.
pub(crate) fn check_json_form(tensor: &Tensor) -> Result<(), OipError> {
    let lossy = match tensor.datatype {
        Datatype::Fp16 | Datatype::Bf16 => return Err(no_json_form(tensor)),
        Datatype::Fp32 => tensor.data.as_chunks().0.iter().any(|bytes| !f32::from_le_bytes(*bytes).is_finite()),
        Datatype::Fp64 => tensor.data.as_chunks().0.iter().any(|bytes| !f64::from_le_bytes(*bytes).is_finite()),
        Datatype::Bytes => {
            let mut lossy = false;
            for element in tensor.bytes_elements()? {
                lossy |= str::from_utf8(element?).is_err();
            }
            lossy
        }
        _ => false,
    };
    if lossy {
        let what = if tensor.datatype == Datatype::Bytes { "bytes that are not UTF-8" } else { "an infinity or NaN" };
        let reason = format!("it holds {what}, which JSON cannot express: use the binary tensor data extension");
        return Err(OipError::unencodable(&tensor.name, reason));
    }
    Ok(())
}
