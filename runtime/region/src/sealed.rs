//! Opens what the edge sealed and seals what it asks for. Plaintext exists from here to the model and back.
//!
//! How a sealed tensor looks is in `forebay_oip::sealed`, how a value is sealed in `forebay_seal`.

use std::collections::BTreeMap;

use bytes::Bytes;
use forebay_oip::sealed::{self, Direction};
use forebay_oip::{OipError, Parameter, Parameters, Tensor};
use forebay_seal::{Keyring, SealError};

use crate::error::RequestError;

/// Outputs to seal: the key's name and the tenant, by the output's name.
pub(crate) type Wishes = BTreeMap<String, Wish>;

/// Under which key an output is to be sealed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    key: String,
    tenant: String,
}

/// Puts in place of every sealed input what it stands for.
/// Tells how many there were.
pub(crate) fn open_inputs(keys: &Keyring, model: &str, inputs: &mut [Tensor]) -> Result<usize, RequestError> {
    let mut opened = 0;
    for input in inputs {
        let Some(parsed) = sealed::parse(input).map_err(RequestError::Message)? else {
            continue;
        };
        let context = sealed::context(Direction::Input, model, parsed.name, parsed.datatype, &parsed.shape);
        let plaintext = keys
            .open(parsed.key, parsed.tenant, &context, parsed.jwe)
            .map_err(|error| RequestError::Sealed { tensor: parsed.name.to_owned(), error })?;
        *input = sealed::restore(input, &parsed, Bytes::from(plaintext)).map_err(RequestError::Message)?;
        opened += 1;
    }
    Ok(opened)
}

/// Takes the wishes for sealing out of the request's parameters, where the model would not know them.
pub(crate) fn take_wishes(parameters: &mut Parameters) -> Result<Wishes, RequestError> {
    let mut wishes = Wishes::new();
    let names: Vec<String> = parameters.keys().filter(|name| sealed::output_to_seal(name).is_some()).cloned().collect();
    let tenant = parameters.remove(sealed::TENANT);
    for name in names {
        let output = sealed::output_to_seal(&name).unwrap_or_default().to_owned();
        match (parameters.remove(&name), &tenant) {
            (Some(Parameter::String(key)), Some(Parameter::String(tenant))) => {
                wishes.insert(output, Wish { key, tenant: tenant.clone() });
            }
            _ => return Err(incomplete(&output)),
        }
    }
    Ok(wishes)
}

/// Seals the outputs that are wished so, and leaves the others.
pub(crate) fn seal_outputs(
    keys: &Keyring,
    model: &str,
    wishes: &Wishes,
    outputs: &mut [Tensor],
) -> Result<(), RequestError> {
    for output in outputs {
        let Some(Wish { key, tenant }) = wishes.get(&output.name) else {
            continue;
        };
        let context = sealed::context(Direction::Output, model, &output.name, output.datatype, &output.shape);
        let jwe = keys
            .seal(key, tenant, &context, &output.data)
            .map_err(|error| RequestError::Sealed { tensor: output.name.clone(), error })?;
        *output = sealed::wrap(output, key, tenant, &jwe);
    }
    Ok(())
}

/// Refuses before the model runs what could not be sealed after it.
pub(crate) fn check_wishes(keys: &Keyring, wishes: &Wishes) -> Result<(), RequestError> {
    match wishes.iter().find(|(_, wish)| !keys.contains(&wish.key)) {
        None => Ok(()),
        Some((output, wish)) => {
            Err(RequestError::Sealed { tensor: output.clone(), error: SealError::UnknownKey(wish.key.clone()) })
        }
    }
}

fn incomplete(output: &str) -> RequestError {
    RequestError::Message(OipError::Tensor {
        tensor: output.to_owned(),
        reason: "`forebay_seal` and `forebay_tenant` must both be given, as strings".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use forebay_oip::Datatype;

    fn keys() -> Keyring {
        let mut keys = Keyring::new();
        keys.insert("records", [7; 32]);
        keys
    }

    /// What an edge sends for `tensor`.
    fn sealed_input(tensor: &Tensor, model: &str) -> Tensor {
        let context = sealed::context(Direction::Input, model, &tensor.name, tensor.datatype, &tensor.shape);
        let jwe = keys().seal("records", "acme", &context, &tensor.data).unwrap();
        sealed::wrap(tensor, "records", "acme", &jwe)
    }

    fn parameters(given: &[(&str, &str)]) -> Parameters {
        given.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
    }

    #[test]
    fn sealed_inputs_are_opened_and_others_left() {
        let (secret, open) = (Tensor::from_f32("x", [1, 2], &[1.0, 2.0]), Tensor::from_f32("z", [1], &[3.0]));
        let mut inputs = [sealed_input(&secret, "m"), open.clone()];
        assert_eq!(open_inputs(&keys(), "m", &mut inputs).unwrap(), 1);
        assert_eq!(inputs, [secret, open]);
    }

    #[test]
    fn an_input_for_another_place_or_reading_does_not_open() {
        let secret = Tensor::from_f32("x", [1, 2], &[1.0, 2.0]);
        let mut other_model = [sealed_input(&secret, "m")];
        assert!(matches!(open_inputs(&keys(), "n", &mut other_model), Err(RequestError::Sealed { .. })));
        for (name, value) in
            [(sealed::SHAPE, "2,1"), (sealed::DATATYPE, Datatype::Int32.as_str()), (sealed::TENANT, "b")]
        {
            let mut inputs = [sealed_input(&secret, "m")];
            let [input] = &mut inputs;
            input.parameters.insert(name.into(), value.into());
            assert!(matches!(open_inputs(&keys(), "m", &mut inputs), Err(RequestError::Sealed { .. })), "{name}");
        }
    }

    #[test]
    fn outputs_come_sealed_as_wished() {
        let wish = sealed::seal_output("y");
        let mut given = parameters(&[(&wish, "records"), (sealed::TENANT, "acme"), ("own", "1")]);
        let wishes = take_wishes(&mut given).unwrap();
        assert_eq!(given, parameters(&[("own", "1")]));
        check_wishes(&keys(), &wishes).unwrap();
        let plain = Tensor::from_f32("y", [2], &[1.0, 2.0]);
        let mut outputs = [plain.clone()];
        seal_outputs(&keys(), "m", &wishes, &mut outputs).unwrap();
        let [sealed_output] = outputs;
        let parsed = sealed::parse(&sealed_output).unwrap().unwrap();
        let opened = keys().open("records", "acme", "output/m/y/FP32/2", parsed.jwe).unwrap();
        assert_eq!(opened, plain.data);
    }

    #[test]
    fn half_a_wish_is_refused() {
        let wish = sealed::seal_output("y");
        assert!(take_wishes(&mut parameters(&[(&wish, "records")])).is_err());
        assert!(take_wishes(&mut parameters(&[(sealed::TENANT, "acme")])).unwrap().is_empty());
        let wishes = take_wishes(&mut parameters(&[(&wish, "none"), (sealed::TENANT, "acme")])).unwrap();
        assert!(check_wishes(&keys(), &wishes).is_err());
    }
}
