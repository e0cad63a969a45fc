//! The `parameters` object, which the protocol allows on requests, responses, tensors and requested outputs.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::bounded::Name;
use crate::limits::{MAX_OWN_PARAMETERS, MAX_PARAMETERS};
use crate::{BINARY_DATA, BINARY_DATA_OUTPUT, BINARY_DATA_SIZE};

/// What the names of parameters begin with that nodes of this project give each other.
const OWN_PREFIX: &str = "forebay_";

/// Value of a parameter. Objects, arrays and null are not parameters.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Parameter {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction or exponent; finite.
    Double(f64),
    /// Text.
    String(String),
}

/// Parameters by name.
pub type Parameters = BTreeMap<String, Parameter>;

impl Parameter {
    /// The value, if it is a truth value.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Parameter::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The value, if it is a whole number.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Parameter::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The value, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Parameter::String(value) => Some(value),
            _ => None,
        }
    }
}

impl From<bool> for Parameter {
    fn from(value: bool) -> Self {
        Parameter::Bool(value)
    }
}

impl From<i64> for Parameter {
    fn from(value: i64) -> Self {
        Parameter::Int(value)
    }
}

impl From<&str> for Parameter {
    fn from(value: &str) -> Self {
        Parameter::String(value.to_owned())
    }
}

impl From<String> for Parameter {
    fn from(value: String) -> Self {
        Parameter::String(value)
    }
}

impl<'de> Deserialize<'de> for Parameter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParameterVisitor)
    }
}

struct ParameterVisitor;

impl Visitor<'_> for ParameterVisitor {
    type Value = Parameter;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a parameter: a string, a number, true or false")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Parameter, E> {
        Ok(Parameter::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Parameter, E> {
        Ok(Parameter::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Parameter, E> {
        i64::try_from(value)
            .map(Parameter::Int)
            .map_err(|_| E::custom("a parameter is above the largest 64-bit integer"))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Parameter, E> {
        Ok(Parameter::Double(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Parameter, E> {
        Ok(Parameter::String(value.to_owned()))
    }
}

/// A `parameters` object as read: a name that comes twice is refused, since two readers could take different ones, and so
/// are more of them than anyone needs. Those that a node adds when it passes a message on do not count as the caller's.
#[derive(Default)]
pub(crate) struct ParametersJson(pub(crate) Parameters);

impl<'de> Deserialize<'de> for ParametersJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ParametersVisitor)
    }
}

struct ParametersVisitor;

impl<'de> Visitor<'de> for ParametersVisitor {
    type Value = ParametersJson;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of parameters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ParametersJson, A::Error> {
        let mut parameters = Parameters::new();
        let (mut own, mut others) = (0, 0);
        while let Some((Name(name), value)) = map.next_entry::<Name, Parameter>()? {
            let (count, most) =
                if is_own(&name) { (&mut own, MAX_OWN_PARAMETERS) } else { (&mut others, MAX_PARAMETERS) };
            *count += 1;
            if *count > most {
                return Err(A::Error::custom(format_args!("there are more than {most} parameters")));
            }
            if parameters.insert(name, value).is_some() {
                return Err(A::Error::custom("a parameter is given twice"));
            }
        }
        Ok(ParametersJson(parameters))
    }
}

fn is_own(name: &str) -> bool {
    name.starts_with(OWN_PREFIX) || [BINARY_DATA, BINARY_DATA_OUTPUT, BINARY_DATA_SIZE].contains(&name)
}
