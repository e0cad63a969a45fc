//! How a tensor travels whose contents only the region may see.
//!
//! It keeps its name and becomes a BYTES tensor of shape `[1]` with one element, a JWE; parameters say what it was. The
//! sealing itself is not done here: this module knows names and shapes, no keys.
//!
//! # On the wire
//! A sealed tensor is BYTES of shape `[1]`, its element the JWE (compact form, RFC 7516) of the plaintext's raw layout, and
//! its parameters are `forebay_sealed` (the key's name), `forebay_tenant`, `forebay_datatype` and `forebay_shape`.
//!
//! Parameters of the request, its `Terms`: `forebay_seal.{output}` (the key's name) for each output that is to come back
//! sealed, `forebay_tenant` for whom, and `forebay_nonce`, which a request must have that does either. They travel in the
//! clear; what makes them hold is the JWE's context, which both ends make up by themselves:
//!
//! ```text
//! an input, edge to region    input/{model}/{name}/{datatype}/{shape}/{nonce}/{tenant}/{output}={key},{output}={key}
//! an output, region to edge   output/{model}/{name}/{datatype}/{shape}/{nonce}
//! an output, edge to client   output/{model}/{name}/{datatype}/{shape}
//! ```
//!
//! Outputs are in the order of their names' bytes; with none there is nothing after the last `/`. In names, `%`, `/`, `,`,
//! `=`, controls and what is not ASCII are percent-encoded.
//!
//! So nobody in between can change what a plaintext is read as, have an answer sent in the clear or for another tenant by
//! changing the request's parameters while its inputs still open, or answer one request with the answer to another.

use std::fmt;

use bytes::Bytes;

use crate::{Datatype, OipError, Parameter, Parameters, Tensor};

mod terms;

pub use terms::{NONCE, Nonce, Place, Terms};

/// Parameter of a sealed tensor: the name of the key.
pub const SEALED: &str = "forebay_sealed";
/// Parameter of a sealed tensor, and of a request for sealed outputs: the tenant whose key it is.
pub const TENANT: &str = "forebay_tenant";
/// Parameter of a sealed tensor: the datatype of the plaintext.
pub const DATATYPE: &str = "forebay_datatype";
/// Parameter of a sealed tensor: the shape of the plaintext, `2,3`; empty for a scalar.
pub const SHAPE: &str = "forebay_shape";
/// What the name of a parameter begins with that asks for an output to come back sealed.
const SEAL: &str = "forebay_seal.";

/// Name of the request parameter that asks for `output` to come back sealed; its value is the name of the key. It is the
/// request's parameter and not the output's, since a request that names no output asks for all of them.
pub fn seal_output(output: &str) -> String {
    format!("{SEAL}{output}")
}

/// The output that a parameter of a request asks to seal; `None` for any other parameter.
pub fn output_to_seal(parameter: &str) -> Option<&str> {
    parameter.strip_prefix(SEAL)
}

/// What a sealed tensor says about itself. None of it is to be believed before the JWE has opened in `context`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedTensor<'a> {
    /// Name of the tensor.
    pub name: &'a str,
    /// Name of the key.
    pub key: &'a str,
    /// Tenant whose key it is.
    pub tenant: &'a str,
    /// Datatype of the plaintext.
    pub datatype: Datatype,
    /// Shape of the plaintext.
    pub shape: Vec<u64>,
    /// The JWE, in compact form.
    pub jwe: &'a str,
}

/// The context that the JWE of a tensor is bound to, as the module's head has it.
pub fn context(place: Place<'_>, model: &str, name: &str, datatype: Datatype, shape: &[u64]) -> String {
    let (direction, model, name) = (place.direction(), terms::part(model), terms::part(name));
    format!("{direction}/{model}/{name}/{datatype}/{}{place}", Dimensions(shape))
}

/// The sealed form of `tensor`, given its JWE. Its own parameters are kept.
pub fn wrap(tensor: &Tensor, key: &str, tenant: &str, jwe: &str) -> Tensor {
    let mut sealed = Tensor::from_strings(&*tensor.name, [1], [jwe.as_bytes()]);
    sealed.parameters.clone_from(&tensor.parameters);
    sealed.parameters.insert(SEALED.to_owned(), key.into());
    sealed.parameters.insert(TENANT.to_owned(), tenant.into());
    sealed.parameters.insert(DATATYPE.to_owned(), tensor.datatype.as_str().into());
    sealed.parameters.insert(SHAPE.to_owned(), Dimensions(&tensor.shape).to_string().into());
    sealed
}

/// Reads the sealed form; `None` if the tensor is not sealed.
///
/// # Errors
/// The tensor says that it is sealed, but is not what `wrap` makes.
pub fn parse(tensor: &Tensor) -> Result<Option<SealedTensor<'_>>, OipError> {
    let Some(key) = tensor.parameters.get(SEALED) else {
        return Ok(None);
    };
    let wrong = |reason: &str| OipError::tensor(&tensor.name, reason);
    let text = |name: &str| tensor.parameters.get(name).and_then(Parameter::as_str);
    let datatype = text(DATATYPE).and_then(|name| name.parse().ok());
    let shape = text(SHAPE).and_then(dimensions);
    Ok(Some(SealedTensor {
        name: &tensor.name,
        key: key.as_str().ok_or_else(|| wrong("parameter `forebay_sealed` must be a string"))?,
        tenant: text(TENANT).ok_or_else(|| wrong("parameter `forebay_tenant` must be a string"))?,
        datatype: datatype.ok_or_else(|| wrong("parameter `forebay_datatype` must name a datatype"))?,
        shape: shape.ok_or_else(|| wrong("parameter `forebay_shape` must be dimensions, such as 2,3"))?,
        jwe: only_element(tensor).ok_or_else(|| wrong("a sealed tensor must be BYTES of shape [1] with a JWE"))?,
    }))
}

/// The tensor that a sealed one stood for, given the opened plaintext.
///
/// # Errors
/// The plaintext is not what its datatype and shape call for.
pub fn restore(sealed: &Tensor, parsed: &SealedTensor<'_>, plaintext: Bytes) -> Result<Tensor, OipError> {
    let mut parameters: Parameters = sealed.parameters.clone();
    for name in [SEALED, TENANT, DATATYPE, SHAPE] {
        parameters.remove(name);
    }
    let tensor = Tensor {
        name: sealed.name.clone(),
        datatype: parsed.datatype,
        shape: parsed.shape.clone(),
        parameters,
        data: plaintext,
    };
    tensor.validate()?;
    Ok(tensor)
}

fn only_element(tensor: &Tensor) -> Option<&str> {
    let mut elements = tensor.bytes_elements().ok()?;
    let element = elements.next()?.ok()?;
    (elements.next().is_none() && tensor.shape == [1]).then_some(str::from_utf8(element).ok()?)
}

struct Dimensions<'a>(&'a [u64]);

impl fmt::Display for Dimensions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, dimension) in self.0.iter().enumerate() {
            write!(f, "{}{dimension}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Reads dimensions in the one way that they are written.
fn dimensions(text: &str) -> Option<Vec<u64>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let shape = text.split(',').map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
    (Dimensions(&shape).to_string() == text).then_some(shape)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_tensor_comes_back_as_it_was() {
        let mut tensor = Tensor::from_f32("x", [2, 1], &[1.0, 2.0]);
        tensor.parameters.insert("own".into(), 1.into());
        let sealed = wrap(&tensor, "records", "acme", "a.b.c");
        sealed.validate().unwrap();
        let parsed = parse(&sealed).unwrap().unwrap();
        assert_eq!((parsed.key, parsed.tenant, parsed.jwe), ("records", "acme", "a.b.c"));
        assert_eq!(restore(&sealed, &parsed, tensor.data.clone()).unwrap(), tensor);
        assert!(restore(&sealed, &parsed, Bytes::from_static(b"short")).is_err());
        assert_eq!(parse(&tensor).unwrap(), None);
    }

    #[test]
    fn half_sealed_tensors_are_refused() {
        let sealed = wrap(&Tensor::from_f32("x", [1], &[1.0]), "records", "acme", "a.b.c");
        for name in [TENANT, DATATYPE, SHAPE] {
            let mut without = sealed.clone();
            without.parameters.remove(name);
            assert!(parse(&without).is_err(), "{name}");
        }
        let mut two = Tensor::from_strings("x", [2], [&b"a"[..], b"b"]);
        two.parameters = sealed.parameters;
        assert!(parse(&two).is_err());
    }

    #[test]
    fn a_context_binds_place_datatype_and_shape() {
        let nonce = Nonce::from([0xab; 16]);
        let digits = "ab".repeat(16);
        let mut terms = Terms { nonce, tenant: None, outputs: [].into() };
        let input = |terms: &Terms| context(Place::Input(terms), "m", "x", Datatype::Fp32, &[2, 3]);
        assert_eq!(input(&terms), format!("input/m/x/FP32/2,3/{digits}//"));
        terms.tenant = Some("acme".into());
        terms.outputs = [("z".into(), "k".into()), ("y".into(), "k".into())].into();
        assert_eq!(input(&terms), format!("input/m/x/FP32/2,3/{digits}/acme/y=k,z=k"));
        let output = |place| context(place, "m", "y", Datatype::Bytes, &[]);
        assert_eq!(output(Place::Output(nonce)), format!("output/m/y/BYTES//{digits}"));
        assert_eq!(output(Place::Client), "output/m/y/BYTES/");
    }

    #[test]
    fn names_in_a_context_stay_apart() {
        let of = |model: &str, name: &str| context(Place::Client, model, name, Datatype::Bool, &[1]);
        assert_eq!(of("a/b", "50%"), "output/a%2Fb/50%25/BOOL/1");
        assert_ne!(of("a/b", "c"), of("a", "b/c"));
    }

    #[test]
    fn dimensions_are_read_in_one_way() {
        assert_eq!(dimensions(""), Some(vec![]));
        assert_eq!(dimensions("2,3"), Some(vec![2, 3]));
        for text in [",", "2,", "+2", "02", " 2", "-1", "x"] {
            assert_eq!(dimensions(text), None, "{text}");
        }
    }
}
