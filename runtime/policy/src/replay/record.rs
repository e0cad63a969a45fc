//! A decision as evidence: what a run read, in order, and what it decided.
//!
//! One JSON object, on one line. It holds values of a request, claims among them, so a recording is made only when
//! an operator asks for it, and whoever keeps it keeps what they hold. Bytes that are no UTF-8 are in base64.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::edits::{HeadEdit, HeadEdits};
use crate::facts::{Read, Value};
use crate::phase::Phase;
use crate::verdict::{Answer, Outcome};
use crate::views::Absence;

/// The version of the form. Another one is refused.
pub const RECORD_VERSION: u32 = 1;

/// One finished run of a pure hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// The plugin's name.
    pub plugin: String,
    /// The digest of its component and configuration.
    pub digest: String,
    /// The hook: `on-request` or `on-response`.
    pub phase: String,
    /// Everything it read from outside, in order.
    pub reads: Vec<RecordedRead>,
    /// What it decided.
    pub verdict: RecordedVerdict,
    /// The edits of the head that it made, in order. None with an answer.
    pub edits: Vec<RecordedEdit>,
}

/// One read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedRead {
    /// What was read: `path`, `header`, `claim`.
    pub read: String,
    /// The field's name or the claim's pointer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What was found.
    pub value: RecordedValue,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordedValue {
    /// There was no such thing.
    Nothing,
    /// A text.
    Text(String),
    /// Bytes that are no text.
    Base64(String),
    /// Names of fields.
    Names(Vec<String>),
    /// A status code.
    Status(u16),
    /// Yes or no.
    Flag(bool),
    /// Why there is no identity, as `identity.absence` in `wit/`.
    Absent(String),
}

/// A verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordedVerdict {
    /// Go on, with the edits.
    Continue,
    /// Answer the client.
    Answer(RecordedAnswer),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedAnswer {
    /// Status code.
    pub status: u16,
    /// The slug of a problem type.
    pub problem: Option<String>,
    /// One sentence for the client.
    pub detail: String,
    /// Header fields: name and value.
    pub headers: Vec<(String, RecordedValue)>,
}

/// An edit of a head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordedEdit {
    /// A field was set: name and value.
    Set(String, RecordedValue),
    /// A field was removed.
    Remove(String),
    /// Only regions in these legal areas may answer.
    Restrict(Vec<String>),
}

/// A record that says nothing that could be replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Not a record at all.
    #[error("not a record: {0}")]
    Malformed(String),
    /// Written by another version.
    #[error("the record has version {0}, this program reads version {RECORD_VERSION}")]
    Version(u32),
    /// A hook of which there are no records.
    #[error("`{0}` is not a hook that is recorded")]
    Phase(String),
    /// A read that this program does not know, or with a value that it cannot have.
    #[error("reads[{index}]: {why}")]
    Read {
        /// Which one, from 0.
        index: usize,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Record {
    /// The record of a run that ended with `outcome`.
    pub(crate) fn of(
        plugin: &str,
        digest: &str,
        phase: Phase,
        reads: &[(Read<'_>, Value<'_>)],
        outcome: &Outcome<HeadEdits>,
    ) -> Self {
        let (verdict, edits) = verdict(outcome);
        Self {
            version: RECORD_VERSION,
            plugin: plugin.to_owned(),
            digest: digest.to_owned(),
            phase: phase.hook().to_owned(),
            reads: reads.iter().map(|(read, value)| recorded(read, value)).collect(),
            verdict,
            edits,
        }
    }

    /// The record as one line of JSON, without the line's end.
    #[must_use]
    pub fn to_line(&self) -> String {
        // Nothing in it fails to serialise: no map, no number beyond JSON's.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a line.
    ///
    /// # Errors
    /// It is not a record of this version.
    pub fn from_line(line: &str) -> Result<Self, RecordError> {
        let record: Self = serde_json::from_str(line).map_err(|error| RecordError::Malformed(error.to_string()))?;
        if record.version == RECORD_VERSION { Ok(record) } else { Err(RecordError::Version(record.version)) }
    }

    /// The reads as the memo and the host know them.
    pub(super) fn parsed_reads(&self) -> Result<Vec<(Read<'static>, Value<'static>)>, RecordError> {
        let parse = |(index, one): (usize, &RecordedRead)| {
            let wrong = |why| RecordError::Read { index, why };
            let read = read(&one.read, &one.name).ok_or_else(|| wrong("no such read"))?;
            let value = value(&read, &one.value).ok_or_else(|| wrong("not a value of this read"))?;
            Ok((read, value))
        };
        self.reads.iter().enumerate().map(parse).collect()
    }
}

/// A verdict and its edits as a record has them.
pub(super) fn verdict(outcome: &Outcome<HeadEdits>) -> (RecordedVerdict, Vec<RecordedEdit>) {
    match outcome {
        Outcome::Continue(edits) => (RecordedVerdict::Continue, edits.iter().map(edit).collect()),
        Outcome::Answer(answer) => (RecordedVerdict::Answer(recorded_answer(answer)), Vec::new()),
    }
}

fn recorded_answer(answer: &Answer) -> RecordedAnswer {
    let header = |(name, value): &(HeaderName, HeaderValue)| (name.to_string(), bytes(value.as_bytes()));
    RecordedAnswer {
        status: answer.status,
        problem: answer.problem.clone(),
        detail: answer.detail.clone(),
        headers: answer.headers.iter().map(header).collect(),
    }
}

fn edit(edit: &HeadEdit) -> RecordedEdit {
    match edit {
        HeadEdit::Set(name, value) => RecordedEdit::Set(name.to_string(), bytes(value.as_bytes())),
        HeadEdit::Remove(name) => RecordedEdit::Remove(name.to_string()),
        HeadEdit::Restrict(areas) => RecordedEdit::Restrict(areas.clone()),
    }
}

pub(super) fn recorded(read: &Read<'_>, value: &Value<'_>) -> RecordedRead {
    let value = match value {
        Value::Nothing => RecordedValue::Nothing,
        Value::Bytes(found) => bytes(found),
        Value::Text(text) => RecordedValue::Text(text.clone().into_owned()),
        Value::Address(address) => RecordedValue::Text(address.to_string()),
        Value::Names(names) => RecordedValue::Names(names.lines().map(str::to_owned).collect()),
        Value::Number(status) => RecordedValue::Status(*status),
        Value::Flag(flag) => RecordedValue::Flag(*flag),
        Value::Absent(absence) => RecordedValue::Absent(name_of(*absence).to_owned()),
    };
    RecordedRead { read: kind(read).to_owned(), name: read.name().to_owned(), value }
}

fn bytes(bytes: &[u8]) -> RecordedValue {
    match std::str::from_utf8(bytes) {
        Ok(text) => RecordedValue::Text(text.to_owned()),
        Err(_) => RecordedValue::Base64(STANDARD.encode(bytes)),
    }
}

/// What `read` found. None: such a read cannot find that.
fn value(read: &Read<'_>, value: &RecordedValue) -> Option<Value<'static>> {
    let text = |text: &String| Some(Value::Text(Cow::Owned(text.clone())));
    match (read, value) {
        (Read::Header(_) | Read::ResponseHeader(_), RecordedValue::Nothing) => Some(Value::Nothing),
        (Read::Header(_) | Read::ResponseHeader(_), RecordedValue::Text(text)) => {
            Some(Value::Bytes(Cow::Owned(text.clone().into_bytes())))
        }
        (Read::Header(_) | Read::ResponseHeader(_), RecordedValue::Base64(text)) => {
            STANDARD.decode(text).ok().map(|bytes| Value::Bytes(Cow::Owned(bytes)))
        }
        (Read::HeaderNames | Read::ResponseHeaderNames, RecordedValue::Names(names)) => {
            Some(Value::Names(Cow::Owned(names.join("\n"))))
        }
        (Read::Status, RecordedValue::Status(status)) => Some(Value::Number(*status)),
        (Read::MessagePresent, RecordedValue::Flag(flag)) => Some(Value::Flag(*flag)),
        (Read::Verify, RecordedValue::Flag(true)) => Some(Value::Flag(true)),
        (Read::Verify | Read::Claims, RecordedValue::Absent(name)) => absence(name).map(Value::Absent),
        (Read::Query | Read::Model | Read::Claim(_) | Read::Tenant, RecordedValue::Nothing) => Some(Value::Nothing),
        (Read::Peer, RecordedValue::Text(text)) => text.parse().ok().map(Value::Address),
        (Read::Query | Read::Model | Read::Claim(_) | Read::Tenant | Read::Claims, RecordedValue::Text(found)) => {
            text(found)
        }
        (
            Read::Method | Read::Path | Read::Host | Read::Route | Read::Dialect | Read::Protocol | Read::TraceId,
            RecordedValue::Text(found),
        ) => text(found),
        _ => None,
    }
}

/// Reads without a name of their own.
const NAMELESS: [(Read<'static>, &str); 17] = [
    (Read::Method, "method"),
    (Read::Path, "path"),
    (Read::Host, "host"),
    (Read::Query, "query"),
    (Read::HeaderNames, "header-names"),
    (Read::Route, "route"),
    (Read::Model, "model"),
    (Read::Dialect, "dialect"),
    (Read::Peer, "peer"),
    (Read::Protocol, "protocol"),
    (Read::TraceId, "trace-id"),
    (Read::Status, "status"),
    (Read::ResponseHeaderNames, "response-header-names"),
    (Read::MessagePresent, "message-present"),
    (Read::Verify, "verify"),
    (Read::Claims, "claims"),
    (Read::Tenant, "tenant"),
];

fn kind(read: &Read<'_>) -> &'static str {
    match read {
        Read::Header(_) => "header",
        Read::ResponseHeader(_) => "response-header",
        Read::Claim(_) => "claim",
        other => NAMELESS.iter().find(|(read, _)| read == other).map_or("", |(_, kind)| kind),
    }
}

fn read(kind: &str, name: &str) -> Option<Read<'static>> {
    let own = || Cow::Owned(name.to_owned());
    match kind {
        "header" => Some(Read::Header(own())),
        "response-header" => Some(Read::ResponseHeader(own())),
        "claim" => Some(Read::Claim(own())),
        _ => NAMELESS.iter().find(|(_, known)| *known == kind && name.is_empty()).map(|(read, _)| read.clone()),
    }
}

const ABSENCES: [(Absence, &str); 11] = [
    (Absence::Missing, "missing"),
    (Absence::Malformed, "malformed"),
    (Absence::UnknownIssuer, "unknown-issuer"),
    (Absence::UnknownKey, "unknown-key"),
    (Absence::BadAlgorithm, "bad-algorithm"),
    (Absence::BadSignature, "bad-signature"),
    (Absence::Expired, "expired"),
    (Absence::NotYetValid, "not-yet-valid"),
    (Absence::WrongAudience, "wrong-audience"),
    (Absence::MissingClaim, "missing-claim"),
    (Absence::Revoked, "revoked"),
];

fn name_of(absence: Absence) -> &'static str {
    ABSENCES.iter().find(|(known, _)| *known == absence).map_or("missing", |(_, name)| name)
}

fn absence(name: &str) -> Option<Absence> {
    ABSENCES.iter().find(|(_, known)| *known == name).map(|(absence, _)| *absence)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    fn pair() -> impl Strategy<Value = (Read<'static>, Value<'static>)> {
        let text = || any::<String>().prop_map(|text| Value::Text(text.into()));
        let named = ("[a-z-]{1,8}", proptest::collection::vec(any::<u8>(), 0..9))
            .prop_map(|(name, bytes)| (Read::Header(name.into()), Value::Bytes(bytes.into())));
        let absent = (0..ABSENCES.len()).prop_map(|index| Value::Absent(ABSENCES.get(index).unwrap().0));
        let names =
            proptest::collection::vec("[a-z]{1,5}", 0..4).prop_map(|names| Value::Names(names.join("\n").into()));
        prop_oneof![
            named,
            text().prop_map(|value| (Read::Path, value)),
            (any::<String>(), text()).prop_map(|(pointer, value)| (Read::Claim(pointer.into()), value)),
            Just((Read::Query, Value::Nothing)),
            any::<[u8; 16]>().prop_map(|bytes| (Read::Peer, Value::Address(bytes.into()))),
            absent.prop_map(|value| (Read::Verify, value)),
            names.prop_map(|value| (Read::HeaderNames, value)),
            any::<u16>().prop_map(|status| (Read::Status, Value::Number(status))),
            any::<bool>().prop_map(|flag| (Read::MessagePresent, Value::Flag(flag))),
        ]
    }

    proptest! {
        #[test]
        fn a_line_reads_back_as_what_was_recorded(reads in proptest::collection::vec(pair(), 0..6), edited in any::<bool>()) {
            let mut edits = HeadEdits::default();
            if edited {
                edits.push(HeadEdit::Set("x-a".parse().unwrap(), HeaderValue::from_bytes(b"\xff").unwrap()));
                edits.push(HeadEdit::Remove("x-b".parse().unwrap()));
            }
            let record = Record::of("p", "d", Phase::Request, &reads, &Outcome::Continue(edits));
            let line = record.to_line();
            prop_assert_eq!(line.lines().count(), 1);
            let back = Record::from_line(&line).unwrap();
            prop_assert_eq!(back.parsed_reads().unwrap(), reads);
            prop_assert_eq!(back, record);
        }

        #[test]
        fn any_text_is_read_without_harm(text in any::<String>()) {
            let _ = Record::from_line(&text);
        }
    }

    #[test]
    fn every_read_has_a_kind_of_its_own() {
        for (known, kind_of_it) in NAMELESS {
            assert_eq!(kind(&known), kind_of_it);
            assert_eq!(read(kind_of_it, ""), Some(known));
            assert_eq!(read(kind_of_it, "x"), None);
        }
        assert_eq!(read("header", "x"), Some(Read::Header("x".into())));
        assert_eq!(read("nothing-known", ""), None);
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_place() {
        let line = |version: u32, read: &str| {
            format!(
                r#"{{"version":{version},"plugin":"p","digest":"d","phase":"on-request","reads":[{read}],"verdict":"continue","edits":[]}}"#
            )
        };
        assert_eq!(Record::from_line(&line(2, "")), Err(RecordError::Version(2)));
        assert!(matches!(Record::from_line("{}"), Err(RecordError::Malformed(_))));
        for bad in [
            r#"{"read":"none","value":"nothing"}"#,
            r#"{"read":"path","value":"nothing"}"#,
            r#"{"read":"path","value":{"base64":"/w=="}}"#,
            r#"{"read":"path","value":{"base64":"!"}}"#,
            r#"{"read":"verify","value":{"flag":false}}"#,
            r#"{"read":"verify","value":{"absent":"gone"}}"#,
        ] {
            let record = Record::from_line(&line(1, bad)).unwrap();
            assert!(matches!(record.parsed_reads(), Err(RecordError::Read { index: 0, .. })), "{bad}");
        }
    }
}
