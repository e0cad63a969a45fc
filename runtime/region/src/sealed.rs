//! Opens what the edge sealed and seals what it asks for. Plaintext exists from here to the model and back.
//!
//! How a sealed tensor looks is in `forebay_oip::sealed`, how a value is sealed in `forebay_seal`.

use bytes::Bytes;
use forebay_inference::InferenceError;
use forebay_oip::sealed::{self, Place, Terms};
use forebay_oip::{OipError, Tensor, TensorSpec};
use forebay_seal::{Keyring, SealError};

use crate::error::RequestError;

/// Puts in place of every sealed input what it stands for.
/// Tells how many there were.
pub(crate) fn open_inputs(
    keys: &Keyring,
    model: &str,
    terms: Option<&Terms>,
    inputs: &mut [Tensor],
) -> Result<usize, RequestError> {
    let mut opened = 0;
    for input in inputs {
        let Some(parsed) = sealed::parse(input).map_err(RequestError::Message)? else {
            continue;
        };
        let terms = terms.ok_or_else(|| unbound(parsed.name))?;
        let context = sealed::context(Place::Input(terms), model, parsed.name, parsed.datatype, &parsed.shape);
        let plaintext = keys
            .open(parsed.key, parsed.tenant, &context, parsed.jwe)
            .map_err(|error| RequestError::Sealed { tensor: parsed.name.to_owned(), error })?;
        *input = sealed::restore(input, &parsed, Bytes::from(plaintext)).map_err(RequestError::Message)?;
        opened += 1;
    }
    Ok(opened)
}

/// Seals the outputs that are wished so, and leaves the others.
pub(crate) fn seal_outputs(
    keys: &Keyring,
    model: &str,
    terms: Option<&Terms>,
    outputs: &mut [Tensor],
) -> Result<(), RequestError> {
    let Some(Terms { nonce, tenant, outputs: wishes }) = terms else {
        return Ok(());
    };
    for output in outputs {
        let Some(key) = wishes.get(&output.name) else {
            continue;
        };
        let tenant = tenant.as_deref().unwrap_or_default();
        let context = sealed::context(Place::Output(*nonce), model, &output.name, output.datatype, &output.shape);
        let jwe = keys
            .seal(key, tenant, &context, &output.data)
            .map_err(|error| RequestError::Sealed { tensor: output.name.clone(), error })?;
        *output = sealed::wrap(output, key, tenant, &jwe);
    }
    Ok(())
}

/// Refuses before the model runs what could not be sealed after it, and a wish for what the model does not have: whoever
/// misspelt it would take the output for sealed.
pub(crate) fn check_wishes(
    keys: &Keyring,
    terms: &Terms,
    outputs: impl FnOnce() -> Vec<TensorSpec>,
) -> Result<(), RequestError> {
    if terms.outputs.is_empty() {
        return Ok(());
    }
    let outputs = outputs();
    for (output, key) in &terms.outputs {
        if !outputs.iter().any(|spec| spec.name == *output) {
            return Err(InferenceError::UnknownOutput { name: output.clone() }.into());
        }
        if !keys.contains(key) {
            return Err(RequestError::Sealed { tensor: output.clone(), error: SealError::UnknownKey(key.clone()) });
        }
    }
    Ok(())
}

fn unbound(input: &str) -> RequestError {
    RequestError::Message(OipError::Tensor {
        tensor: input.to_owned(),
        reason: "a request with a sealed tensor must have the parameter `forebay_nonce`".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use forebay_oip::{Datatype, Parameters};

    const DIGITS: &str = "000102030405060708090a0b0c0d0e0f";

    fn keys() -> Keyring {
        let mut keys = Keyring::new();
        keys.insert("records", [7; 32]);
        keys
    }

    /// The terms of a request that has these wishes.
    fn terms(wishes: &[(&str, &str)]) -> Terms {
        let mut parameters: Parameters =
            wishes.iter().map(|(output, key)| (sealed::seal_output(output), (*key).into())).collect();
        parameters.insert(sealed::TENANT.into(), "acme".into());
        parameters.insert(sealed::NONCE.into(), DIGITS.into());
        Terms::take(&mut parameters).unwrap().unwrap()
    }

    /// What an edge sends for `tensor`.
    fn sealed_input(tensor: &Tensor, model: &str, terms: &Terms) -> Tensor {
        let context = sealed::context(Place::Input(terms), model, &tensor.name, tensor.datatype, &tensor.shape);
        let jwe = keys().seal("records", "acme", &context, &tensor.data).unwrap();
        sealed::wrap(tensor, "records", "acme", &jwe)
    }

    #[test]
    fn sealed_inputs_are_opened_and_others_left() {
        let (secret, open) = (Tensor::from_f32("x", [1, 2], &[1.0, 2.0]), Tensor::from_f32("z", [1], &[3.0]));
        let terms = terms(&[("y", "records")]);
        let mut inputs = [sealed_input(&secret, "m", &terms), open.clone()];
        assert_eq!(open_inputs(&keys(), "m", Some(&terms), &mut inputs).unwrap(), 1);
        assert_eq!(inputs, [secret, open]);
    }

    #[test]
    fn an_input_for_another_place_or_reading_does_not_open() {
        let secret = Tensor::from_f32("x", [1, 2], &[1.0, 2.0]);
        let terms = terms(&[]);
        let mut other_model = [sealed_input(&secret, "m", &terms)];
        let opened = open_inputs(&keys(), "n", Some(&terms), &mut other_model);
        assert!(matches!(opened, Err(RequestError::Sealed { .. })));
        for (name, value) in
            [(sealed::SHAPE, "2,1"), (sealed::DATATYPE, Datatype::Int32.as_str()), (sealed::TENANT, "b")]
        {
            let mut inputs = [sealed_input(&secret, "m", &terms)];
            let [input] = &mut inputs;
            input.parameters.insert(name.into(), value.into());
            let opened = open_inputs(&keys(), "m", Some(&terms), &mut inputs);
            assert!(matches!(opened, Err(RequestError::Sealed { .. })), "{name}");
        }
    }

    #[test]
    fn an_input_does_not_open_under_other_terms() {
        let secret = Tensor::from_f32("x", [1], &[1.0]);
        let asked = terms(&[("y", "records")]);
        let others = [
            terms(&[]),
            terms(&[("z", "records")]),
            terms(&[("y", "other")]),
            terms(&[("y", "records"), ("z", "records")]),
            Terms { tenant: Some("globex".into()), ..asked.clone() },
            Terms { nonce: [1; 16].into(), ..asked.clone() },
        ];
        for other in &others {
            let mut inputs = [sealed_input(&secret, "m", &asked)];
            let opened = open_inputs(&keys(), "m", Some(other), &mut inputs);
            assert!(matches!(opened, Err(RequestError::Sealed { .. })), "{other:?}");
        }
        let mut inputs = [sealed_input(&secret, "m", &asked)];
        assert!(matches!(open_inputs(&keys(), "m", None, &mut inputs), Err(RequestError::Message(_))));
    }

    #[test]
    fn outputs_come_sealed_as_wished() {
        let terms = terms(&[("y", "records")]);
        let plain = Tensor::from_f32("y", [2], &[1.0, 2.0]);
        let mut outputs = [plain.clone(), Tensor::from_f32("z", [1], &[3.0])];
        seal_outputs(&keys(), "m", Some(&terms), &mut outputs).unwrap();
        let [sealed_output, open] = outputs;
        assert_eq!(sealed::parse(&open).unwrap(), None);
        let parsed = sealed::parse(&sealed_output).unwrap().unwrap();
        let opened = keys().open("records", "acme", &format!("output/m/y/FP32/2/{DIGITS}"), parsed.jwe).unwrap();
        assert_eq!(opened, plain.data);
    }

    #[test]
    fn a_wish_that_cannot_be_kept_is_refused() {
        let spec = |name: &str| TensorSpec { name: name.to_owned(), datatype: Datatype::Fp32, shape: vec![-1] };
        let check = |wishes: &[(&str, &str)]| check_wishes(&keys(), &terms(wishes), || vec![spec("y"), spec("z")]);
        check(&[]).unwrap();
        check(&[("z", "records")]).unwrap();
        assert!(matches!(check(&[("z", "none")]), Err(RequestError::Sealed { .. })));
        let unknown = check(&[("embeding", "records")]);
        assert!(matches!(unknown, Err(RequestError::Inference(InferenceError::UnknownOutput { .. }))));
    }
}
