//! A request, a response and an identity that consist of what was recorded of them. Whatever was not is nothing.

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::facts::{Read, Value};
use crate::trace::Reads;
use crate::views::{Absence, Field, IdentityView, Message, RequestView, ResponseView, SealFailure};

/// The recorded values by their reads.
pub(super) struct World(HashMap<Read<'static>, Value<'static>>);

impl World {
    pub(super) fn of(reads: &Reads) -> Self {
        Self(reads.iter().cloned().collect())
    }

    /// Whether `on-response` got a message.
    pub(super) fn has_message(&self) -> bool {
        self.get(&Read::MessagePresent) == Some(&Value::Flag(true))
    }

    fn get(&self, read: &Read<'_>) -> Option<&Value<'static>> {
        self.0.get(&read.to_owned())
    }

    fn text(&self, read: &Read<'_>) -> Option<&str> {
        match self.get(read)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn bytes(&self, read: &Read<'_>) -> Option<Cow<'_, [u8]>> {
        match self.get(read)? {
            Value::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
            _ => None,
        }
    }

    fn names(&self, read: &Read<'_>) -> Vec<String> {
        match self.get(read) {
            Some(Value::Names(names)) => names.lines().map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }
}

impl RequestView for World {
    fn method(&self) -> &str {
        self.text(&Read::Method).unwrap_or_default()
    }
    fn path(&self) -> &str {
        self.text(&Read::Path).unwrap_or_default()
    }
    fn host(&self) -> &str {
        self.text(&Read::Host).unwrap_or_default()
    }
    fn query(&self) -> Option<&str> {
        self.text(&Read::Query)
    }
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.bytes(&Read::Header(Cow::Borrowed(name)))
    }
    fn route(&self) -> &str {
        self.text(&Read::Route).unwrap_or_default()
    }
    fn model(&self) -> Option<&str> {
        self.text(&Read::Model)
    }
    fn dialect(&self) -> &str {
        self.text(&Read::Dialect).unwrap_or_default()
    }
    fn header_names(&self) -> Vec<String> {
        self.names(&Read::HeaderNames)
    }
    fn peer(&self) -> IpAddr {
        match self.get(&Read::Peer) {
            Some(Value::Address(address)) => *address,
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        }
    }
    fn protocol(&self) -> &str {
        self.text(&Read::Protocol).unwrap_or_default()
    }
    fn trace_id(&self) -> &str {
        self.text(&Read::TraceId).unwrap_or_default()
    }
}

impl ResponseView for World {
    fn status(&self) -> u16 {
        match self.get(&Read::Status) {
            Some(Value::Number(status)) => *status,
            _ => 0,
        }
    }
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.bytes(&Read::ResponseHeader(Cow::Borrowed(name)))
    }
    fn header_names(&self) -> Vec<String> {
        self.names(&Read::ResponseHeaderNames)
    }
}

impl IdentityView for World {
    fn claims(&self) -> Result<&str, Absence> {
        let absent = |value: Option<&Value<'_>>| match value {
            Some(Value::Absent(absence)) => Some(*absence),
            _ => None,
        };
        if let Some(text) = self.text(&Read::Claims) {
            return Ok(text);
        }
        match absent(self.get(&Read::Claims)).or_else(|| absent(self.get(&Read::Verify))) {
            Some(absence) => Err(absence),
            None => Ok(""),
        }
    }
    fn claim(&self, pointer: &str) -> Option<Cow<'_, str>> {
        self.text(&Read::Claim(Cow::Borrowed(pointer))).map(Cow::Borrowed)
    }
    fn tenant(&self) -> Option<&str> {
        self.text(&Read::Tenant)
    }
}

/// A message of which nothing is known but that it was there. A pure plugin can ask no more of it.
pub(super) struct NoMessage;

impl Message for NoMessage {
    fn model(&self) -> Option<&str> {
        None
    }
    fn has(&self, _: &Field) -> bool {
        false
    }
    fn seal(&mut self, _: &Field, _: &str) -> Result<(), SealFailure> {
        Err(SealFailure::Unsupported)
    }
    fn open(&mut self, _: &Field, _: &str) -> Result<(), SealFailure> {
        Err(SealFailure::Unsupported)
    }
    fn expect_sealed(&mut self, _: &str, _: &str) -> Result<(), SealFailure> {
        Err(SealFailure::Unsupported)
    }
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
