#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use forebay_plugin_sdk::assert_verdict;
use forebay_plugin_sdk::journal::JournalError;
use forebay_plugin_sdk::key_value::{self, StoreError};
use forebay_plugin_sdk::testing::{self, Request};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::*;

fn config() -> Config {
    testing::allow_keys(&["audit"]);
    Config::parse(r#"{"key":"audit"}"#).unwrap()
}

fn request() -> Request {
    Request::post("/x").route("oip").model("minilm").tenant("acme")
}

fn lines() -> Vec<String> {
    testing::records()
}

fn check(lines: &[String]) -> Result<usize, Fault> {
    verify(lines.iter().map(String::as_str))
}

fn written(count: usize) -> Vec<String> {
    testing::reset();
    let config = config();
    for i in 0..count {
        let event = if i % 2 == 0 { Event::Asked } else { Event::Answered(200) };
        assert_verdict!(write(&config, &request(), event), continue);
    }
    lines()
}

#[test]
fn records_form_one_chain() {
    let lines = written(1_200);
    assert_eq!(check(&lines), Ok(1_200));
    for part in [r#""n":1,"#, r#""event":"answered""#, r#""status":200"#, r#""tenant":"acme""#, r#""mac":""#] {
        assert!(lines[1].contains(part), "{part}: {}", lines[1]);
    }
}

#[test]
fn names_are_cut_and_made_plain() {
    let (config, long) = (config(), "\"n\u{e9}".repeat(100));
    let request = Request::post("/x").route(&long).model(&long).tenant(&long);
    assert_verdict!(write(&config, &request, Event::Answered(200)), continue);
    assert!(lines()[0].len() <= 1_024 && lines()[0].contains("?n??n?"), "{}", lines()[0]);
    assert_eq!(check(&lines()), Ok(1));
}

#[test]
fn a_change_a_gap_and_a_swap_are_seen() {
    let lines = written(6);
    let mut changed = lines.clone();
    changed[2] = changed[2].replace("acme", "evil");
    assert_eq!(check(&changed), Err(Fault::Changed(2)));
    let mut missing = lines.clone();
    missing.remove(3);
    assert!(matches!(check(&missing), Err(Fault::Missing(_, 4))));
    let mut twice = lines.clone();
    twice.push(lines[1].clone());
    assert_eq!(check(&twice), Err(Fault::Twice(6)));
    assert_eq!(check(&lines[2..]), Ok(4));
    let mut turned = lines;
    turned.reverse();
    assert_eq!(check(&turned), Ok(6));
}

#[test]
fn a_head_that_lags_behind_never_forks_the_chain() {
    let config = config();
    for i in 0..100 {
        let head = key_value::get("head").unwrap();
        assert_verdict!(write(&config, &request(), Event::Asked), continue);
        // Another instance read the end before this one moved it, and sets it back.
        if let (true, Some(head)) = (i % 3 == 0, head) {
            key_value::set("head", &head, 60).unwrap();
        }
    }
    assert_eq!(check(&lines()), Ok(100));
}

#[test]
fn after_a_day_of_silence_a_new_chain_begins() {
    let config = config();
    assert_verdict!(write(&config, &request(), Event::Asked), continue);
    testing::advance_ms(86_400_000);
    assert_verdict!(write(&config, &request(), Event::Asked), continue);
    assert_eq!(check(&lines()), Ok(2));
    assert!(lines().iter().all(|line| line.contains(r#""n":0,"#)));
}

#[test]
fn what_cannot_be_recorded_is_refused_unless_it_says_otherwise() {
    let closed = config();
    let open = Config::parse(r#"{"key":"audit","on_full":"allow"}"#).unwrap();
    testing::fail_key_value(Some(StoreError::Full));
    assert_verdict!(write(&closed, &request(), Event::Asked), answer 503 "policy-failed");
    assert_verdict!(write(&open, &request(), Event::Asked), continue);
    testing::fail_key_value(None);
    for error in [JournalError::Full, JournalError::Unavailable] {
        testing::fail_journal(Some(error));
        assert_verdict!(write(&closed, &request(), Event::Asked), answer 503 "policy-failed");
        assert_verdict!(write(&open, &request(), Event::Asked), continue);
    }
    testing::fail_journal(None);
    // What will never be right is never allowed.
    testing::allow_keys(&[]);
    assert_verdict!(write(&open, &request(), Event::Asked), answer 503 "policy-failed");
}

#[test]
fn records_without_room_are_written_later_and_the_chain_has_no_gap() {
    let config = config();
    assert_verdict!(write(&config, &request(), Event::Asked), continue);
    for round in 0..3 {
        testing::fail_journal(Some(JournalError::Full));
        // The first takes a place; the others see that it waits, and take none.
        for _ in 0..100 {
            assert_verdict!(write(&config, &request(), Event::Asked), answer 503 "policy-failed");
        }
        testing::fail_journal(None);
        assert_verdict!(write(&config, &request(), Event::Answered(503)), continue);
        assert_eq!(check(&lines()), Ok(3 + 2 * round));
    }
}

#[test]
fn whoever_came_at_once_is_written_later_too() {
    let config = config();
    testing::fail_journal(Some(JournalError::Unavailable));
    for _ in 0..64 {
        assert_verdict!(write(&config, &request(), Event::Asked), answer 503 "policy-failed");
        // The next one looked before this one said that it waits.
        key_value::delete("late").unwrap();
    }
    key_value::set("late", b"", 60).unwrap();
    testing::fail_journal(None);
    // While another request writes them, nothing is put before them.
    assert!(key_value::set_if_absent("late-writing", b"", 1).unwrap());
    assert_verdict!(write(&config, &request(), Event::Asked), answer 503 "policy-failed");
    testing::advance_ms(1_000);
    assert_verdict!(write(&config, &request(), Event::Asked), continue);
    assert_eq!(check(&lines()), Ok(65));
}

#[test]
fn mistakes_in_a_configuration_name_the_key() {
    for (text, key) in [("{}", "key"), (r#"{"key":""}"#, "key"), (r#"{"key":"a","on_full":"x"}"#, "on_full")] {
        assert!(Config::parse(text).unwrap_err().contains(key), "{text}");
    }
}

proptest! {
    #[test]
    fn no_byte_of_a_record_can_be_changed(at in any::<proptest::sample::Index>(), byte in 0x20_u8..0x7f) {
        let lines = written(3);
        let mut bytes = lines[1].clone().into_bytes();
        let at = at.index(bytes.len());
        let same = bytes[at] == byte;
        bytes[at] = byte;
        let text = String::from_utf8(bytes).unwrap();
        let after = verify([lines[0].as_str(), text.as_str(), lines[2].as_str()]);
        // The MAC is not checked here: that needs the key.
        let in_mac = at >= lines[1].find(r#""mac":""#).unwrap();
        if same { prop_assert_eq!(after, Ok(3)) } else { prop_assert!(in_mac || after.is_err()) }
    }

    #[test]
    fn verify_takes_any_text(text in any::<String>()) {
        prop_assert!(verify([text.as_str()]).is_err());
    }
}
