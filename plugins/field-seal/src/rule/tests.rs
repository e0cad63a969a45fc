#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::*;

/// A message as the host would keep it: for each field the key that it is sealed with, if it is. As in the host,
/// outputs are an inference's, and can be asked for until an input is sealed.
#[derive(Default)]
struct Message {
    model: Option<&'static str>,
    fields: RefCell<BTreeMap<String, Option<String>>>,
    expected: RefCell<Vec<(String, String)>>,
    keys: &'static [&'static str],
}

impl Message {
    fn new(model: Option<&'static str>, fields: &[(Field<'_>, Option<&str>)]) -> Self {
        let fields = fields.iter().map(|(field, key)| (field.to_string(), key.map(str::to_owned))).collect();
        Self { model, fields: RefCell::new(fields), keys: &["region", "client"], ..Self::default() }
    }

    fn sealed_with(&self, field: Field<'_>) -> Option<String> {
        self.fields.borrow().get(&field.to_string()).cloned().flatten()
    }

    fn known(&self, key: &str) -> Result<(), SealError> {
        if self.keys.contains(&key) { Ok(()) } else { Err(SealError::NoKey) }
    }
}

impl Sealable for Message {
    fn model(&self) -> Option<String> {
        self.model.map(str::to_owned)
    }

    fn has(&self, field: &Field<'_>) -> bool {
        self.fields.borrow().contains_key(&field.to_string())
    }

    fn seal(&self, field: &Field<'_>, key: &str) -> Result<(), SealError> {
        self.known(key)?;
        match self.fields.borrow_mut().get_mut(&field.to_string()) {
            None => Err(SealError::NoField),
            Some(Some(_)) => Err(SealError::AlreadySealed),
            Some(sealed) => {
                *sealed = Some(key.to_owned());
                Ok(())
            }
        }
    }

    fn open(&self, field: &Field<'_>, key: &str) -> Result<(), SealError> {
        self.known(key)?;
        match self.fields.borrow_mut().get_mut(&field.to_string()) {
            None => Err(SealError::NoField),
            Some(None) => Err(SealError::NotSealed),
            Some(Some(other)) if other != key => Err(SealError::Rejected),
            Some(sealed) => {
                *sealed = None;
                Ok(())
            }
        }
    }

    fn expect_sealed(&self, output: &str, key: &str) -> Result<(), SealError> {
        self.known(key)?;
        if self.model.is_none() || self.fields.borrow().values().any(Option::is_some) {
            return Err(SealError::Unsupported);
        }
        self.expected.borrow_mut().push((output.to_owned(), key.to_owned()));
        Ok(())
    }
}

const TEXT: Field<'_> = Field::Input("text");
const EMBEDDING: Field<'_> = Field::Output("embedding");
const EMAIL: Field<'_> = Field::Json("/user/email");

fn config(text: &str) -> Config {
    Config::parse(text).unwrap()
}

fn inference() -> Config {
    config(
        r#"{"models":["mini*"],"inputs":[{"name":"text","key":"region","required":true}],
            "outputs":[{"name":"embedding","key":"region","client":{"reseal":"client"}}]}"#,
    )
}

#[test]
fn inputs_leave_sealed_and_outputs_are_asked_for_sealed() {
    let message = Message::new(Some("minilm"), &[(TEXT, None)]);
    forward(&inference(), &message).unwrap();
    assert_eq!(message.sealed_with(TEXT).as_deref(), Some("region"));
    assert_eq!(*message.expected.borrow(), [("embedding".to_owned(), "region".to_owned())]);
}

#[test]
fn a_required_field_that_is_not_there_is_the_clients_mistake() {
    let refusal = forward(&inference(), &Message::new(Some("minilm"), &[])).unwrap_err();
    assert_eq!((refusal.status, refusal.problem), (400, "bad-request"));
    for (text, model) in [
        (r#"{"inputs":[{"name":"text","key":"region"REQUIRED}]}"#, Some("minilm")),
        (r#"{"json":[{"pointer":"/user/email","key":"region"REQUIRED}]}"#, None),
    ] {
        let refused =
            |required| forward(&config(&text.replace("REQUIRED", required)), &Message::new(model, &[])).is_err();
        assert!(refused(""), "{text}");
        assert!(!refused(r#","required":false"#), "{text}");
    }
}

#[test]
fn a_body_has_no_outputs_to_ask_for() {
    let config = config(r#"{"outputs":[{"name":"embedding","key":"region"}]}"#);
    assert_eq!(forward(&config, &Message::new(None, &[(EMAIL, None)])).unwrap_err().status, 500);
}

#[test]
fn an_answer_that_cannot_be_asked_for_sealed_stops_the_request() {
    // Another plugin has sealed an input before this one.
    let message = Message::new(Some("minilm"), &[(TEXT, None), (Field::Input("other"), Some("region"))]);
    assert_eq!(forward(&inference(), &message).unwrap_err().status, 500);
    assert_eq!(message.sealed_with(TEXT), None);
}

#[test]
fn what_cannot_be_sealed_does_not_leave() {
    let config = config(r#"{"inputs":[{"name":"text","key":"lost"}]}"#);
    let refusal = forward(&config, &Message::new(Some("minilm"), &[(TEXT, None)])).unwrap_err();
    assert_eq!(refusal.status, 500);
}

#[test]
fn what_the_client_sealed_goes_on_as_it_is() {
    let message = Message::new(Some("minilm"), &[(TEXT, Some("own"))]);
    forward(&config(r#"{"inputs":[{"name":"text","key":"region"}]}"#), &message).unwrap();
    assert_eq!(message.sealed_with(TEXT).as_deref(), Some("own"));
}

#[test]
fn outputs_are_opened_for_the_cache_and_sealed_again_for_the_client() {
    let message = Message::new(Some("minilm"), &[(EMBEDDING, Some("region"))]);
    give_back(&inference(), &message).unwrap();
    assert_eq!(message.sealed_with(EMBEDDING), None);
    respond(&inference(), &message).unwrap();
    assert_eq!(message.sealed_with(EMBEDDING).as_deref(), Some("client"));
}

#[test]
fn an_output_that_came_back_unsealed_or_changed_is_refused() {
    for sealed in [None, Some("other")] {
        let message = Message::new(Some("minilm"), &[(EMBEDDING, sealed)]);
        let refusal = give_back(&inference(), &message).unwrap_err();
        assert_eq!((refusal.status, refusal.problem), (502, "bad-gateway"));
    }
}

#[test]
fn other_models_are_left_alone() {
    let message = Message::new(Some("ocr"), &[(TEXT, None)]);
    forward(&inference(), &message).unwrap();
    assert_eq!(message.sealed_with(TEXT), None);
    let without = Message::new(None, &[(TEXT, None)]);
    forward(&inference(), &without).unwrap();
    assert_eq!(without.sealed_with(TEXT), None);
}

#[test]
fn json_fields_are_opened_kept_or_sealed_again() {
    for (answer, after_return, after_response) in [
        (r#""open""#, None, None),
        (r#""keep""#, Some("region"), Some("region")),
        (r#"{"reseal":"client"}"#, None, Some("client")),
    ] {
        let config = config(&format!(r#"{{"json":[{{"pointer":"/user/email","key":"region","answer":{answer}}}]}}"#));
        let message = Message::new(None, &[(EMAIL, None)]);
        forward(&config, &message).unwrap();
        assert_eq!(message.sealed_with(EMAIL).as_deref(), Some("region"));
        give_back(&config, &message).unwrap();
        assert_eq!(message.sealed_with(EMAIL).as_deref(), after_return);
        respond(&config, &message).unwrap();
        assert_eq!(message.sealed_with(EMAIL).as_deref(), after_response);
    }
}

#[test]
fn an_upstreams_own_value_may_be_in_the_clear() {
    let config = config(r#"{"json":[{"pointer":"/user/email","key":"region"}]}"#);
    give_back(&config, &Message::new(None, &[(EMAIL, None)])).unwrap();
    let changed = Message::new(None, &[(EMAIL, Some("other"))]);
    assert_eq!(give_back(&config, &changed).unwrap_err().status, 502);
}

#[test]
fn mistakes_in_a_configuration_name_the_key() {
    for (text, key) in [
        (r#"{}"#, "inputs"),
        (r#"{"inputs":[{"name":"text"}]}"#, "inputs[0]"),
        (r#"{"inputs":[{"name":"text","keys":"region"}]}"#, "inputs[0].keys"),
        (r#"{"inputs":[{"name":"","key":"region"}]}"#, "inputs[0].name"),
        (r#"{"outputs":[{"name":"a","key":"b","client":"keep"}]}"#, "outputs[0].client"),
        (r#"{"outputs":[{"name":"a","key":"b","client":{"reseal":""}}]}"#, "outputs[0].client.reseal"),
        (r#"{"json":[{"pointer":"user","key":"b"}]}"#, "json[0].pointer"),
        (r#"{"json":[{"pointer":"/a~2","key":"b"}]}"#, "json[0].pointer"),
        (r#"{"inputs":[{"name":"a","key":"b"}],"models":[]}"#, "models"),
        (r#"{"inputs":[{"name":"a","key":"b"}],"models":["a","mini*lm"]}"#, "models[1]: `*` may only stand at the end"),
        (r#"{"inputs":[{"name":"a","key":"b"}],"models":["**"]}"#, "models[0]"),
        (r#"{"inputs":[{"name":"a","key":"b"}],"models":[""]}"#, "models[0]"),
    ] {
        let error = Config::parse(text).expect_err(text);
        assert!(error.contains(key), "{text}: {error}");
    }
}
