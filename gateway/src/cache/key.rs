//! What makes two inferences the same question: SHA-256 over a canonical form in which every field has its length
//! before it, so that no two different questions read alike. The client chooses no part of it but the question.

use forebay_oip::{InferRequest, Parameter, Parameters, Tensor};
use ring::digest::{Context, SHA256};

/// Changes whenever the canonical form does.
const FORM: &[u8] = b"forebay/answer/1";

/// Parameters that shape how an answer travels or when it is due, not what it is.
const NOT_IN_KEY: [&str; 4] = ["binary_data", "binary_data_output", "binary_data_size", "timeout"];

/// A question's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key([u8; 32]);

/// Everything beside the request that an answer depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// The tenant whose answers these are; `None`: everybody's.
    pub tenant: Option<&'a str>,
    /// Model name.
    pub model: &'a str,
    /// Version the caller asked for, if any.
    pub version: Option<&'a str>,
    /// Content digest of the model that would answer.
    pub digest: &'a str,
    /// Legal areas the answer may come from; empty: any.
    pub jurisdictions: &'a [String],
    /// Regions the answer may come from; empty: any.
    pub(crate) regions: &'a [String],
    /// Digest of the policies that shape question and answer.
    pub policies: &'a [u8],
}

impl Key {
    /// The key of `request` in `scope`.
    pub(crate) fn of(scope: &Scope<'_>, request: &InferRequest) -> Self {
        let mut form = Form(Context::new(&SHA256));
        form.field(FORM);
        form.option(scope.tenant);
        form.field(scope.model.as_bytes());
        form.option(scope.version);
        form.field(scope.digest.as_bytes());
        form.field(scope.policies);
        form.list(scope.jurisdictions);
        form.list(scope.regions);
        form.inputs(request);
        form.outputs(request);
        form.parameters(&request.parameters);
        let mut key = [0; 32];
        key.copy_from_slice(form.0.finish().as_ref());
        Self(key)
    }
}

struct Form(Context);

impl Form {
    fn count(&mut self, count: usize) {
        self.0.update(&(count as u64).to_le_bytes());
    }

    fn field(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.update(bytes);
    }

    fn list(&mut self, texts: &[String]) {
        self.count(texts.len());
        for text in texts {
            self.field(text.as_bytes());
        }
    }

    fn option(&mut self, text: Option<&str>) {
        match text {
            None => self.0.update(&[0]),
            Some(text) => {
                self.0.update(&[1]);
                self.field(text.as_bytes());
            }
        }
    }

    /// Inputs by name: the order in which a caller writes them says nothing.
    fn inputs(&mut self, request: &InferRequest) {
        let mut inputs: Vec<&Tensor> = request.inputs.iter().collect();
        inputs.sort_by(|a, b| a.name.cmp(&b.name));
        self.count(inputs.len());
        for input in inputs {
            self.field(input.name.as_bytes());
            self.field(input.datatype.as_str().as_bytes());
            self.count(input.shape.len());
            for dimension in &input.shape {
                self.0.update(&dimension.to_le_bytes());
            }
            self.field(&input.data);
            self.parameters(&input.parameters);
        }
    }

    /// Outputs in the caller's order, since the answer keeps it.
    fn outputs(&mut self, request: &InferRequest) {
        self.count(request.outputs.len());
        for output in &request.outputs {
            self.field(output.name.as_bytes());
            self.parameters(&output.parameters);
        }
    }

    fn parameters(&mut self, parameters: &Parameters) {
        let kept = || parameters.iter().filter(|(name, _)| !NOT_IN_KEY.contains(&name.as_str()));
        self.count(kept().count());
        for (name, value) in kept() {
            self.field(name.as_bytes());
            match value {
                Parameter::Bool(value) => self.field(&[0, u8::from(*value)]),
                Parameter::Int(value) => {
                    self.0.update(&[1]);
                    self.field(&value.to_le_bytes());
                }
                Parameter::Double(value) => {
                    self.0.update(&[2]);
                    self.field(&value.to_bits().to_le_bytes());
                }
                Parameter::String(value) => {
                    self.0.update(&[3]);
                    self.field(value.as_bytes());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use bytes::Bytes;
    use forebay_oip::{Datatype, RequestedOutput};
    use proptest::prelude::*;

    use super::*;

    const ACME: Scope<'_> = Scope {
        tenant: Some("acme"),
        model: "minilm",
        version: None,
        digest: "d1",
        jurisdictions: &[],
        regions: &[],
        policies: b"p1",
    };

    fn request(inputs: Vec<Tensor>) -> InferRequest {
        InferRequest { id: None, parameters: Parameters::new(), inputs, outputs: Vec::new() }
    }

    fn tensor(name: &str, datatype: Datatype, shape: &[u64], data: &'static [u8]) -> Tensor {
        Tensor::from_raw(name, datatype, shape.to_vec(), Bytes::from_static(data))
    }

    #[test]
    fn what_shapes_the_answer_is_in_the_key() {
        let base = request(vec![tensor("x", Datatype::Int8, &[2, 2], &[1, 2, 3, 4])]);
        let mut others = Vec::new();
        for (datatype, shape) in [(Datatype::Uint8, &[2, 2][..]), (Datatype::Int8, &[4, 1]), (Datatype::Fp32, &[1])] {
            others.push(request(vec![tensor("x", datatype, shape, &[1, 2, 3, 4])]));
        }
        others.push(request(vec![tensor("y", Datatype::Int8, &[2, 2], &[1, 2, 3, 4])]));
        let mut asked = base.clone();
        asked.outputs.push(RequestedOutput { name: "z".into(), parameters: Parameters::new() });
        others.push(asked);
        let mut tuned = base.clone();
        tuned.parameters.insert("temperature".into(), Parameter::Double(0.5));
        others.push(tuned);
        let key = Key::of(&ACME, &base);
        assert!(others.iter().all(|other| Key::of(&ACME, other) != key));
    }

    #[test]
    fn what_only_shapes_its_way_is_not() {
        let base = request(vec![tensor("x", Datatype::Int8, &[1], &[1])]);
        let mut same = base.clone();
        same.id = Some("7".into());
        same.parameters.insert("binary_data_output".into(), Parameter::Bool(true));
        same.parameters.insert("timeout".into(), Parameter::Int(5));
        assert_eq!(Key::of(&ACME, &base), Key::of(&ACME, &same));
    }

    #[test]
    fn the_order_of_inputs_says_nothing() {
        let (a, b) = (tensor("a", Datatype::Int8, &[1], &[1]), tensor("b", Datatype::Int8, &[1], &[2]));
        let (one, two) = (request(vec![a.clone(), b.clone()]), request(vec![b, a]));
        assert_eq!(Key::of(&ACME, &one), Key::of(&ACME, &two));
    }

    #[test]
    fn every_part_of_the_scope_separates() {
        let request = request(vec![tensor("x", Datatype::Int8, &[1], &[1])]);
        let eu = ["eu".to_owned()];
        let scopes = [
            ACME,
            Scope { tenant: None, ..ACME },
            Scope { tenant: Some("globex"), ..ACME },
            Scope { model: "other", ..ACME },
            Scope { version: Some("1"), ..ACME },
            Scope { digest: "d2", ..ACME },
            Scope { jurisdictions: &eu, ..ACME },
            Scope { regions: &eu, ..ACME },
            Scope { policies: b"p2", ..ACME },
        ];
        let keys: std::collections::HashSet<Key> = scopes.iter().map(|scope| Key::of(scope, &request)).collect();
        assert_eq!(keys.len(), scopes.len());
    }

    proptest! {
        /// Moving bytes between neighbouring fields never gives the same key.
        #[test]
        fn fields_never_run_into_each_other(text in "[a-c]{1,12}", at in 0usize..12, other in 0usize..12) {
            let split = |at: usize| {
                let (tenant, model) = text.split_at(at.min(text.len()));
                Key::of(&Scope { tenant: Some(tenant), model, ..ACME }, &request(Vec::new()))
            };
            let (at, other) = (at.min(text.len()), other.min(text.len()));
            prop_assert_eq!(split(at) == split(other), at == other);
        }
    }
}
