//! `field-seal` as built: sealed on the way out, open for the cache, sealed again for the client.

use std::sync::Arc;

use forebay_policy::{Field, Message, Outcome, Plugin};

use super::support::{Notes, Response, access, load, of_acme};

pub(crate) fn plugin() -> Plugin {
    load(
        "field-seal",
        r#"{"inputs":[{"name":"text","key":"region","required":true}],
            "outputs":[{"name":"embedding","key":"region","client":{"reseal":"client"}}]}"#,
    )
}

fn text() -> Field {
    Field::Input("text".to_owned())
}

fn embedding() -> Field {
    Field::Output("embedding".to_owned())
}

fn continued<T>(outcome: Outcome<T>) -> T {
    match outcome {
        Outcome::Continue(rest) => rest,
        Outcome::Answer(answer) => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn what_leaves_is_sealed_and_what_is_wanted_back_is_asked_for_sealed() {
    let message = Notes::boxed(&[(text(), None)]);
    let forwarded = Notes::of(continued(plugin().on_forward(message, &of_acme()).await.unwrap()));
    assert_eq!(forwarded.fields, [(text(), Some("region".to_owned()))]);
    assert_eq!(forwarded.expected, [("embedding".to_owned(), "region".to_owned())]);
}

#[tokio::test]
async fn what_came_back_is_opened_and_sealed_again_for_the_client() {
    let message = Notes::boxed(&[(embedding(), Some("region"))]);
    let returned = continued(plugin().on_return(message, &of_acme()).await.unwrap());
    let opened = Notes::of(returned);
    assert_eq!(opened.fields, [(embedding(), None)]);

    let message: Box<dyn Message> = Box::new(opened);
    let (edits, message) =
        continued(plugin().on_response(Arc::new(Response), Some(message), &of_acme()).await.unwrap());
    assert!(edits.is_empty());
    assert_eq!(Notes::of(message.unwrap()).fields, [(embedding(), Some("client".to_owned()))]);
}

#[tokio::test]
async fn a_required_field_that_is_not_there_is_answered() {
    let Ok(Outcome::Answer(answer)) = plugin().on_forward(Notes::boxed(&[]), &of_acme()).await else {
        panic!("let through")
    };
    assert_eq!((answer.status, answer.problem.as_deref()), (400, Some("bad-request")));
}

#[tokio::test]
async fn a_changed_output_is_the_regions_fault() {
    let message = Notes::boxed(&[(embedding(), Some("another"))]);
    let Ok(Outcome::Answer(answer)) = plugin().on_return(message, &of_acme()).await else { panic!("let through") };
    assert_eq!((answer.status, answer.problem.as_deref()), (502, Some("bad-gateway")));
}

#[tokio::test]
async fn a_phase_without_a_hook_passes_the_message_on() {
    let message = Notes::boxed(&[(text(), None)]);
    let passed = Notes::of(continued(access().on_forward(message, &of_acme()).await.unwrap()));
    assert_eq!(passed.fields, [(text(), None)]);
}
