//! One record, and the line that it is written as.

use forebay_plugin_sdk::Request;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Event, hex};

/// The most characters of a name.
const NAME_CHARS: usize = 128;

/// What a record says, apart from its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Content {
    pub(super) time_ms: u64,
    pub(super) event: String,
    pub(super) trace: String,
    pub(super) route: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
}

impl Content {
    pub(super) fn of(request: &Request, tenant: Option<&str>, event: Event, time_ms: u64) -> Self {
        let (event, status) = match event {
            Event::Asked => ("asked", None),
            Event::Answered(status) => ("answered", Some(status)),
        };
        Self {
            time_ms,
            event: event.to_owned(),
            trace: request.trace_id(),
            route: clipped(&request.route()),
            model: request.model().as_deref().map(clipped),
            tenant: tenant.map(clipped),
            status,
        }
    }
}

/// Printable ASCII alone, and not too long: a record is read by people and by simple tools.
fn clipped(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && !matches!(c, '"' | '\\') { c } else { '?' };
    name.chars().map(plain).take(NAME_CHARS).collect()
}

/// A place in a chain: which chain, the how-manieth record, and the hash of the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) chain: String,
    pub(super) n: u64,
    pub(super) prev: String,
}

/// A record in its place.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// The text that is hashed.
    text: String,
    /// SHA-256 of that text.
    pub(super) hash: String,
}

impl Record {
    pub(super) fn new(place: &Place, content: &Content) -> Self {
        let text = serde_json::to_string(&Text::of(place, content)).unwrap_or_default();
        let hash = hash_of(&text);
        Self { text, hash }
    }

    /// The record with its hash and its MAC: one JSON object.
    pub(super) fn line(&self, mac: &str) -> String {
        let open = self.text.strip_suffix('}').unwrap_or(&self.text);
        format!("{open},\"hash\":\"{}\",\"mac\":\"{mac}\"}}", self.hash)
    }
}

/// The form that is hashed: its fields are always in this order.
#[derive(Serialize)]
struct Text<'a> {
    chain: &'a str,
    n: u64,
    #[serde(flatten)]
    content: &'a Content,
    prev: &'a str,
}

impl<'a> Text<'a> {
    fn of(place: &'a Place, content: &'a Content) -> Self {
        Self { chain: &place.chain, n: place.n, content, prev: &place.prev }
    }
}

pub(super) fn hash_of(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}
