//! What a request says about sealing as a whole, and what the JWE of a tensor is bound to by it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{TENANT, output_to_seal};
use crate::{OipError, Parameter, Parameters};

/// Parameter of a request that has sealed inputs or asks for sealed outputs: its nonce, 32 lowercase hexadecimal digits.
pub const NONCE: &str = "forebay_nonce";

/// What separates the parts of a context, and so does not stand in one.
const SEPARATORS: &AsciiSet = &CONTROLS.add(b'%').add(b'/').add(b',').add(b'=');

/// 128 random bits that no two requests share. It is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce([u8; 16]);

impl From<[u8; 16]> for Nonce {
    fn from(bytes: [u8; 16]) -> Self {
        Nonce(bytes)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Nonce {
    type Err = OipError;

    /// Reads a nonce in the one way that it is written.
    fn from_str(text: &str) -> Result<Self, OipError> {
        let wrong = || OipError::malformed("parameter `forebay_nonce` must be 32 lowercase hexadecimal digits");
        if text.len() != 32 || !text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong());
        }
        u128::from_str_radix(text, 16).map(|number| Nonce(number.to_be_bytes())).map_err(|_| wrong())
    }
}

/// The parameters of a request that say how it and its answer are sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Makes this request and its answer another pair than every other one.
    pub nonce: Nonce,
    /// Tenant for whom outputs are to be sealed; `None` if none are.
    pub tenant: Option<String>,
    /// Outputs that are to be sealed: the key's name by the output's.
    pub outputs: BTreeMap<String, String>,
}

impl Terms {
    /// Reads the terms of a request; `None` if it has no nonce and asks for nothing sealed.
    ///
    /// # Errors
    /// A part of them is missing or no string, or the nonce is not one.
    pub fn of(parameters: &Parameters) -> Result<Option<Self>, OipError> {
        let text = |name: &str| match parameters.get(name) {
            None => Ok(None),
            Some(Parameter::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(OipError::malformed(format!("parameter `{name}` must be a string"))),
        };
        let tenant = text(TENANT)?;
        let mut outputs = BTreeMap::new();
        for (name, value) in parameters {
            let Some(output) = output_to_seal(name) else { continue };
            let (Some(key), Some(_)) = (value.as_str(), tenant) else {
                return Err(OipError::tensor(
                    output,
                    "`forebay_seal` and `forebay_tenant` must both be given, as strings",
                ));
            };
            outputs.insert(output.to_owned(), key.to_owned());
        }
        match text(NONCE)? {
            Some(nonce) => Ok(Some(Terms { nonce: nonce.parse()?, tenant: tenant.map(str::to_owned), outputs })),
            None if outputs.is_empty() => Ok(None),
            None => Err(OipError::malformed("a request for sealed outputs must have the parameter `forebay_nonce`")),
        }
    }

    /// Reads the terms and takes them out of the parameters, where a model would not know them.
    ///
    /// # Errors
    /// As for `of`.
    pub fn take(parameters: &mut Parameters) -> Result<Option<Self>, OipError> {
        let terms = Terms::of(parameters)?;
        parameters.retain(|name, _| name != NONCE && name != TENANT && output_to_seal(name).is_none());
        Ok(terms)
    }
}

/// Which way a sealed tensor goes, and what it belongs to on that way. An answer can never be passed off as a question,
/// nor as the answer to another one, nor what was sealed for a client as what a region sent.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// An input, from the edge to the region. Bound to all that its request says about sealing: whoever drops the wish for
    /// a sealed output on the way makes the input one that does not open.
    Input(&'a Terms),
    /// An output, from the region to the edge: the answer to the request with this nonce.
    Output(Nonce),
    /// An output, from the edge to a client, who opens it alone and need not know of any request.
    Client,
}

impl Place<'_> {
    /// The first part of a context.
    pub(super) fn direction(&self) -> &'static str {
        match self {
            Place::Input(_) => "input",
            Place::Output(_) | Place::Client => "output",
        }
    }
}

/// Writes the last parts of a context, each with its `/` before it.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Client => Ok(()),
            Place::Output(nonce) => write!(f, "/{nonce}"),
            Place::Input(Terms { nonce, tenant, outputs }) => {
                write!(f, "/{nonce}/{}/", part(tenant.as_deref().unwrap_or_default()))?;
                for (index, (output, key)) in outputs.iter().enumerate() {
                    write!(f, "{}{}={}", if index == 0 { "" } else { "," }, part(output), part(key))?;
                }
                Ok(())
            }
        }
    }
}

/// A name as a part of a context: whatever is in it, it stays one part.
pub(super) fn part(name: &str) -> impl fmt::Display {
    utf8_percent_encode(name, SEPARATORS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::seal_output;
    use super::*;

    const DIGITS: &str = "000102030405060708090a0b0c0d0e0f";

    fn parameters(given: &[(&str, &str)]) -> Parameters {
        given.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
    }

    #[test]
    fn a_nonce_is_read_in_one_way() {
        let nonce = Nonce::from(std::array::from_fn(|index| u8::try_from(index).unwrap()));
        assert_eq!(nonce.to_string(), DIGITS);
        assert_eq!(DIGITS.parse::<Nonce>().unwrap(), nonce);
        let plus = format!("+{}", DIGITS.split_at(1).1);
        for text in ["", "00", &DIGITS.to_uppercase(), &format!("{DIGITS}0"), &plus] {
            assert!(text.parse::<Nonce>().is_err(), "{text}");
        }
    }

    #[test]
    fn terms_are_taken_out_and_the_rest_is_left() {
        let (y, z) = (seal_output("y"), seal_output("z"));
        let mut given = parameters(&[(&z, "b"), (&y, "a"), (TENANT, "acme"), (NONCE, DIGITS), ("own", "1")]);
        let terms = Terms::take(&mut given).unwrap().unwrap();
        assert_eq!(given, parameters(&[("own", "1")]));
        assert_eq!(terms.tenant.as_deref(), Some("acme"));
        assert_eq!(terms.outputs, [("y".to_owned(), "a".to_owned()), ("z".to_owned(), "b".to_owned())].into());
        assert_eq!(Terms::take(&mut given).unwrap(), None);
    }

    #[test]
    fn half_of_the_terms_is_refused() {
        let y = seal_output("y");
        for given in [
            &[(y.as_str(), "a"), (NONCE, DIGITS)][..],
            &[(&y, "a"), (TENANT, "acme")],
            &[(&y, "a"), (TENANT, "acme"), (NONCE, "1")],
        ] {
            assert!(Terms::of(&parameters(given)).is_err(), "{given:?}");
        }
        for name in [&y, TENANT, NONCE] {
            let mut given = parameters(&[(&y, "a"), (TENANT, "acme"), (NONCE, DIGITS)]);
            given.insert(name.to_owned(), 1.into());
            assert!(Terms::of(&given).is_err(), "{name}");
        }
        assert_eq!(Terms::of(&parameters(&[(TENANT, "acme")])).unwrap(), None);
        assert!(Terms::of(&parameters(&[(NONCE, DIGITS)])).unwrap().unwrap().outputs.is_empty());
    }

    #[test]
    fn no_two_terms_are_written_alike() {
        let terms = |tenant: &str, outputs: &[(&str, &str)]| Terms {
            nonce: DIGITS.parse().unwrap(),
            tenant: Some(tenant.to_owned()),
            outputs: outputs.iter().map(|(output, key)| ((*output).to_owned(), (*key).to_owned())).collect(),
        };
        let all = [
            terms("t", &[]),
            terms("t", &[("y", "a")]),
            terms("u", &[("y", "a")]),
            terms("t", &[("y", "b")]),
            terms("t", &[("y", "a"), ("z", "b")]),
            terms("t", &[("y", "a,z=b")]),
            terms("t", &[("y=a,z", "b")]),
            terms("t/y", &[]),
            terms("t%2Fy", &[]),
        ];
        let written: std::collections::BTreeSet<_> = all.iter().map(|terms| Place::Input(terms).to_string()).collect();
        assert_eq!(written.len(), all.len(), "{written:?}");
    }
}
