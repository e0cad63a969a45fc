//! Whole bodies in the hands of plugins.

use bytes::Bytes;
use forebay_policy::{Failure, Outcome, Part, PartKind, Phase, Plugin, Side};

use super::calls::part;
use super::support::{ENGINE, of_acme, spec};

fn plugin(rules: &str) -> Plugin {
    let mut spec = spec("body", rules);
    spec.limits.deadline = std::time::Duration::from_secs(5);
    ENGINE.load(spec).unwrap()
}

fn whole(side: Side, text: &str) -> Part {
    part(PartKind::Whole, side, true, text.to_owned())
}

#[tokio::test]
async fn a_body_comes_back_as_the_hook_left_it() {
    let plugin = plugin("q:ping>pong|a:pong>done|a:gone>|q:secret>!refuse");
    assert_eq!(plugin.phases().iter().collect::<Vec<_>>(), [Phase::RequestBody, Phase::ResponseBody]);
    for (side, before, after) in [
        (Side::Request, "ping", "pong"),
        (Side::Response, "pong", "done"),
        (Side::Response, "gone", ""),
        (Side::Request, "nothing to do", "nothing to do"),
        (Side::Request, "", ""),
        (Side::Response, "secret", "secret"),
    ] {
        let ended = plugin.on_body(whole(side, before), &of_acme()).await;
        assert_eq!(ended, Ok(Outcome::Continue(Bytes::from(after))), "{before}");
    }
    let refused = plugin.on_body(whole(Side::Request, "a secret"), &of_acme()).await;
    assert!(matches!(refused, Ok(Outcome::Answer(answer)) if answer.status == 403));
}

#[tokio::test]
async fn a_body_that_is_not_changed_is_not_copied() {
    let bytes = Bytes::from(vec![b'x'; 1 << 20]);
    let again = part(PartKind::Whole, Side::Request, true, bytes.clone());
    let Ok(Outcome::Continue(after)) = plugin("q:ping>pong").on_body(again, &of_acme()).await else {
        panic!("refused")
    };
    assert_eq!(after.as_ptr(), bytes.as_ptr());
}

#[tokio::test]
async fn a_body_of_a_hook_that_fails_is_gone() {
    let plugin = plugin("q:ping>pong|q:bad>!trap");
    assert!(matches!(plugin.on_body(whole(Side::Request, "ping bad"), &of_acme()).await, Err(Failure::Trap(_))));
}

#[tokio::test]
async fn a_component_without_a_hook_for_parts_makes_no_stream() {
    let plugin = plugin("q:ping>pong");
    assert!(plugin.stream(Side::Request, of_acme()).await.unwrap().is_none());
}
