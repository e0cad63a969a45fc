#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use forebay_plugin_sdk::body::Kind as PartKind;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::{collection, prop_oneof};
use serde_json::{Value, json};

use super::*;

fn config(value: &Value) -> Config {
    Config::parse(&value.to_string()).unwrap()
}

fn all() -> Config {
    config(&json!({"patterns": ["email", "phone", "card", "iban", "ipv4", "ipv6"]}))
}

/// A body as it goes on when it comes in these pieces.
fn in_pieces(config: &Config, media: &str, pieces: &[&[u8]]) -> String {
    let mut stream = Stream::of(Some(media));
    let mut out = Vec::new();
    for (i, piece) in pieces.iter().enumerate() {
        out.extend(stream.part(config, PartKind::Chunk, piece, i + 1 == pieces.len()).unwrap());
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn text(body: &str) -> String {
    in_pieces(&all(), "text/plain", &[body.as_bytes()])
}

#[test]
fn data_of_well_known_forms_is_found() {
    for (body, redacted) in [
        ("write to ada@example.com, please", "write to [email], please"),
        ("<ada.l+x@mail.example.co.uk>.", "<[email]>."),
        ("ada@localhost and @ada and a@b.c", "ada@localhost and @ada and a@b.c"),
        ("card 4111 1111 1111 1111 until 12/27", "card [card] until 12/27"),
        ("4111-1111-1111-1111", "[card]"),
        ("4111111111111112", "4111111111111112"),
        ("order 94111111111111111", "order 94111111111111111"),
        ("to DE89 3704 0044 0532 0130 00.", "to [iban]."),
        ("GB82WEST12345698765432", "[iban]"),
        ("GB29 NWBK 6016 1331 9268 19 today", "[iban] today"),
        ("DE89370400440532013001", "DE89370400440532013001"),
        ("call +49 (30) 123-4567 now", "call [phone] now"),
        ("call (212) 555-0123 or 212.555.0123", "call [phone] or [phone]"),
        ("12 + 12345 is 2026-11-24", "12 + 12345 is 2026-11-24"),
        ("from 192.0.2.7.", "from [ipv4]."),
        ("version 1.2.3.4.5 or 999.1.1.1", "version 1.2.3.4.5 or 999.1.1.1"),
        ("from 2001:db8::1 at 12:30:45", "from [ipv6] at 12:30:45"),
        ("std::a::b", "std::a::b"),
        ("caf\u{e9} ada@example.com \u{1f600}", "caf\u{e9} [email] \u{1f600}"),
    ] {
        assert_eq!(text(body), redacted, "{body}");
    }
}

#[test]
fn json_stays_json_and_only_its_strings_change() {
    let body = r#"{"to": "ada\u0040example.com", "n": 4111111111111111, "t": "a\"b\\c\n4111111111111111", "e": ["\ud83d\ude00", "\ud800"]}"#;
    let out = in_pieces(&all(), "application/json", &[body.as_bytes()]);
    assert_eq!(out, r#"{"to": "[email]", "n": 4111111111111111, "t": "a\"b\\c\n[card]", "e": ["😀", "\ud800"]}"#);
}

#[test]
fn custom_patterns_have_names_and_counts() {
    let config = config(
        &json!({"patterns": [], "custom": [{"name": "badge", "pattern": "B-[0-9]{4}\\b"}], "replacement": "<{name}>"}),
    );
    let mut stream = Stream::of(Some("text/plain"));
    let out = stream.part(&config, PartKind::Whole, b"B-1234 and B-12345 and B-9999", true).unwrap();
    assert_eq!(out, b"<badge> and B-12345 and <badge>");
    assert_eq!(stream.take_counts(), Counts::from([("badge".to_owned(), 2)]));
    assert!(stream.take_counts().is_empty());
}

#[test]
fn what_nobody_can_look_into_is_refused_unless_it_says_otherwise() {
    let mut stream = Stream::of(Some("application/octet-stream"));
    assert_eq!(stream.part(&all(), PartKind::Chunk, b"x", false), Err(Unreadable));
    assert_eq!(stream.part(&all(), PartKind::Chunk, b"", true), Ok(Vec::new()));
    let open = config(&json!({"other": "pass"}));
    assert_eq!(stream.part(&open, PartKind::Binary, b"x", false), Ok(b"x".to_vec()));
    assert!(!all().takes(Some("image/png")) && all().takes(Some("application/problem+json")) && open.takes(None));
}

fn delta(text: &str) -> String {
    format!("data: {}\n\n", json!({"choices": [{"delta": {"content": text}, "index": 0}]}))
}

fn content(events: &[u8]) -> String {
    let events = std::str::from_utf8(events).unwrap();
    let data = events
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str(data).ok());
    data.filter_map(|value: Value| Some(value.pointer("/choices/0/delta/content")?.as_str()?.to_owned())).collect()
}

#[test]
fn a_match_over_several_events_is_found() {
    let mut stream = Stream::of(Some("text/event-stream"));
    let mut out = Vec::new();
    for piece in ["write ", "to a", "da@exam", "ple.c", "om", " soon"] {
        out.extend(stream.part(&all(), PartKind::Event, delta(piece).as_bytes(), false).unwrap());
    }
    out.extend(stream.part(&all(), PartKind::Event, b"data: [DONE]\n\n", true).unwrap());
    assert_eq!(content(&out), "write to [email] soon");
    assert!(out.ends_with(b"data: [DONE]\n\n"));
    assert_eq!(out.windows(6).filter(|window| window == b"[DONE]").count(), 1);
}

#[test]
fn events_without_a_piece_are_redacted_alone() {
    let mut stream = Stream::of(Some("text/event-stream"));
    let mut push = |event: &str| {
        String::from_utf8(stream.part(&all(), PartKind::Event, event.as_bytes(), false).unwrap()).unwrap()
    };
    assert_eq!(push("event: a\ndata: mail ada@example.com\n\n"), "event: a\ndata: mail [email]\n\n");
    assert_eq!(
        push("data: {\"x\":\"ada@example.com\",\"n\":4111111111111111}\n\n"),
        "data: {\"x\":\"[email]\",\"n\":4111111111111111}\n\n"
    );
    assert_eq!(push(": ping\n\n"), ": ping\n\n");
}

#[test]
fn a_text_without_numbers_is_not_held_back_beyond_a_word() {
    let mut stream = Stream::of(Some("text/plain"));
    let first = stream.part(&all(), PartKind::Chunk, b"hello dear wor", false).unwrap();
    assert_eq!(first, b"hello dear ");
}

#[test]
fn mistakes_in_a_configuration_name_the_key() {
    for (text, key) in [
        (json!({"patterns": ["ssn"]}), "patterns[0]"),
        (json!({"patterns": []}), "patterns"),
        (json!({"replacement": "\""}), "replacement"),
        (json!({"custom": [{"name": "A", "pattern": "x"}]}), "custom[0].name"),
        (json!({"custom": [{"name": "a", "pattern": "["}]}), "custom[0].pattern"),
        (json!({"custom": [{"name": "a", "pattern": "x?"}]}), "custom[0].pattern"),
        (json!({"event_text": ["delta"]}), "event_text[0]"),
        (json!({"pattern": []}), "pattern"),
    ] {
        let error = Config::parse(&text.to_string()).expect_err(&text.to_string());
        assert!(error.contains(key), "{text}: {error}");
    }
}

/// Texts that are full of what is looked for, of its pieces and of what stands around it.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("ada@example.com".to_owned()),
        Just("4111 1111 1111 1111".to_owned()),
        Just("GB29 NWBK 6016 1331 9268 19".to_owned()),
        Just("+49 30 1234567".to_owned()),
        Just("(212) 555-0123".to_owned()),
        Just("2001:db8::1".to_owned()),
        Just("192.0.2.7".to_owned()),
        Just("a".repeat(300)),
        "[ a-z0-9@.:+()\"\\\\\\n-]{0,12}",
        "[\u{e9}\u{1f600} ]{0,3}",
    ];
    collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// A text cut at some places.
fn cut<'t>(bytes: &'t [u8], at: &[proptest::sample::Index]) -> Vec<&'t [u8]> {
    let mut places: Vec<usize> = at.iter().map(|index| index.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn where_a_text_is_cut_changes_nothing(body in texts(), at in collection::vec(any::<proptest::sample::Index>(), 0..12)) {
        let whole = in_pieces(&all(), "text/plain", &[body.as_bytes()]);
        prop_assert_eq!(in_pieces(&all(), "text/plain", &cut(body.as_bytes(), &at)), whole);
    }

    #[test]
    fn where_json_is_cut_changes_nothing_and_it_stays_json(
        strings in collection::vec(texts(), 1..3),
        at in collection::vec(any::<proptest::sample::Index>(), 0..12),
        escaped in any::<bool>(),
    ) {
        let mut body = json!({"s": strings, "n": [1.5, null]}).to_string();
        if escaped {
            body = body.replace('@', "\\u0040").replace('\u{1f600}', "\\ud83d\\ude00");
        }
        let whole = in_pieces(&all(), "application/json", &[body.as_bytes()]);
        prop_assert_eq!(&in_pieces(&all(), "application/json", &cut(body.as_bytes(), &at)), &whole);
        let value: Value = serde_json::from_str(&whole).unwrap();
        for (one, before) in value["s"].as_array().unwrap().iter().zip(&strings) {
            prop_assert_eq!(one.as_str().unwrap(), text(before));
        }
    }

    #[test]
    fn where_events_cut_a_text_changes_nothing(body in texts(), at in collection::vec(any::<proptest::sample::Index>(), 0..12)) {
        let chars: Vec<char> = body.chars().collect();
        let mut places: Vec<usize> = at.iter().map(|index| index.index(chars.len() + 1)).collect();
        places.extend([0, chars.len()]);
        places.sort_unstable();
        let mut stream = Stream::of(Some("text/event-stream"));
        let mut out = Vec::new();
        for pair in places.windows(2) {
            let piece: String = chars[pair[0]..pair[1]].iter().collect();
            out.extend(stream.part(&all(), PartKind::Event, delta(&piece).as_bytes(), false).unwrap());
        }
        out.extend(stream.part(&all(), PartKind::Event, b"data: [DONE]\n\n", true).unwrap());
        prop_assert_eq!(content(&out), text(&body));
    }

    #[test]
    fn any_bytes_go_through(pieces in collection::vec(any::<Vec<u8>>(), 1..4), json in any::<bool>()) {
        let config = config(&json!({"custom": [{"name": "never", "pattern": "\u{1}\u{2}\u{3}"}]}));
        let media = if json { "application/json" } else { "text/plain" };
        let mut stream = Stream::of(Some(media));
        let (mut out, all) = (Vec::new(), pieces.concat());
        for (i, piece) in pieces.iter().enumerate() {
            out.extend(stream.part(&config, PartKind::Chunk, piece, i + 1 == pieces.len()).unwrap());
        }
        prop_assert!(json || out == all || !stream.take_counts().is_empty());
    }
}
