#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use forebay_plugin_sdk::testing::{Message, allow_keys};

use super::*;

fn text() -> Field {
    Field::Input("text".to_owned())
}

fn embedding() -> Field {
    Field::Output("embedding".to_owned())
}

fn email() -> Field {
    Field::Json("/user/email".to_owned())
}

/// A message on a node that has the keys `region` and `client`.
fn message(model: Option<&str>, fields: &[(Field, Option<&str>)]) -> Message {
    allow_keys(&["region", "client"]);
    let empty = model.map_or_else(Message::json, Message::inference);
    fields.iter().fold(empty, |message, (field, key)| message.field(field.clone(), *key))
}

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
    let message = message(Some("minilm"), &[(text(), None)]);
    forward(&inference(), &message).unwrap();
    assert_eq!(message.sealed_with(&text()).as_deref(), Some("region"));
    assert_eq!(message.expected(), [("embedding".to_owned(), "region".to_owned())]);
}

#[test]
fn a_required_field_that_is_not_there_is_the_clients_mistake() {
    let refusal = forward(&inference(), &message(Some("minilm"), &[])).unwrap_err();
    assert_eq!((refusal.status, refusal.problem), (400, "bad-request"));
    for (text, model) in [
        (r#"{"inputs":[{"name":"text","key":"region"REQUIRED}]}"#, Some("minilm")),
        (r#"{"json":[{"pointer":"/user/email","key":"region"REQUIRED}]}"#, None),
    ] {
        let refused = |required| forward(&config(&text.replace("REQUIRED", required)), &message(model, &[])).is_err();
        assert!(refused(""), "{text}");
        assert!(!refused(r#","required":false"#), "{text}");
    }
}

#[test]
fn a_body_has_no_outputs_to_ask_for() {
    let config = config(r#"{"outputs":[{"name":"embedding","key":"region"}]}"#);
    assert_eq!(forward(&config, &message(None, &[(email(), None)])).unwrap_err().status, 500);
}

#[test]
fn an_answer_that_cannot_be_asked_for_sealed_stops_the_request() {
    // Another plugin has sealed an input before this one.
    let message = message(Some("minilm"), &[(text(), None), (Field::Input("other".to_owned()), Some("region"))]);
    assert_eq!(forward(&inference(), &message).unwrap_err().status, 500);
    assert_eq!(message.sealed_with(&text()), None);
}

#[test]
fn what_cannot_be_sealed_does_not_leave() {
    let config = config(r#"{"inputs":[{"name":"text","key":"lost"}]}"#);
    let refusal = forward(&config, &message(Some("minilm"), &[(text(), None)])).unwrap_err();
    assert_eq!(refusal.status, 500);
}

#[test]
fn what_the_client_sealed_goes_on_as_it_is() {
    let message = message(Some("minilm"), &[(text(), Some("own"))]);
    forward(&config(r#"{"inputs":[{"name":"text","key":"region"}]}"#), &message).unwrap();
    assert_eq!(message.sealed_with(&text()).as_deref(), Some("own"));
}

#[test]
fn outputs_are_opened_for_the_cache_and_sealed_again_for_the_client() {
    let message = message(Some("minilm"), &[(embedding(), Some("region"))]);
    give_back(&inference(), &message).unwrap();
    assert_eq!(message.sealed_with(&embedding()), None);
    respond(&inference(), &message).unwrap();
    assert_eq!(message.sealed_with(&embedding()).as_deref(), Some("client"));
}

#[test]
fn an_output_that_came_back_unsealed_or_changed_is_refused() {
    for sealed in [None, Some("other")] {
        let message = message(Some("minilm"), &[(embedding(), sealed)]);
        let refusal = give_back(&inference(), &message).unwrap_err();
        assert_eq!((refusal.status, refusal.problem), (502, "bad-gateway"));
    }
}

#[test]
fn other_models_are_left_alone() {
    let other = message(Some("ocr"), &[(text(), None)]);
    forward(&inference(), &other).unwrap();
    assert_eq!(other.sealed_with(&text()), None);
    let without = message(None, &[(text(), None)]);
    forward(&inference(), &without).unwrap();
    assert_eq!(without.sealed_with(&text()), None);
}

#[test]
fn json_fields_are_opened_kept_or_sealed_again() {
    for (answer, after_return, after_response) in [
        (r#""open""#, None, None),
        (r#""keep""#, Some("region"), Some("region")),
        (r#"{"reseal":"client"}"#, None, Some("client")),
    ] {
        let config = config(&format!(r#"{{"json":[{{"pointer":"/user/email","key":"region","answer":{answer}}}]}}"#));
        let message = message(None, &[(email(), None)]);
        forward(&config, &message).unwrap();
        assert_eq!(message.sealed_with(&email()).as_deref(), Some("region"));
        give_back(&config, &message).unwrap();
        assert_eq!(message.sealed_with(&email()).as_deref(), after_return);
        respond(&config, &message).unwrap();
        assert_eq!(message.sealed_with(&email()).as_deref(), after_response);
    }
}

#[test]
fn an_upstreams_own_value_may_be_in_the_clear() {
    let config = config(r#"{"json":[{"pointer":"/user/email","key":"region"}]}"#);
    give_back(&config, &message(None, &[(email(), None)])).unwrap();
    let changed = message(None, &[(email(), Some("other"))]);
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
        (
            r#"{"inputs":[{"name":"a","key":"b"}],"models":["a","mini*lm"]}"#,
            "models[1]: in `mini*lm`, `*` may only stand at the end",
        ),
        (r#"{"inputs":[{"name":"a","key":"b"}],"models":["**"]}"#, "models[0]"),
        (r#"{"inputs":[{"name":"a","key":"b"}],"models":[""]}"#, "models[0]"),
    ] {
        let error = Config::parse(text).expect_err(text);
        assert!(error.contains(key), "{text}: {error}");
    }
}
