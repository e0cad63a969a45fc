//! What a run may ask from outside, as one question with one answer.
//!
//! Every read of a pure interface goes through [`Facts::find`]: the host functions of a running guest, and the
//! memo's walk, which asks what a run would ask. So the two cannot differ in what they find.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::fields::readable;
use crate::views::{Absence, IdentityView, RequestView, ResponseView};

/// One attribute. Names of fields are in lower case; claims are named by JSON Pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Read<'n> {
    Method,
    Path,
    Host,
    Query,
    Header(Cow<'n, str>),
    HeaderNames,
    Route,
    Model,
    Dialect,
    Peer,
    Protocol,
    TraceId,
    Status,
    ResponseHeader(Cow<'n, str>),
    ResponseHeaderNames,
    /// Whether `on-response` got a message. A run is told without asking.
    MessagePresent,
    Verify,
    Claims,
    Claim(Cow<'n, str>),
    Tenant,
}

impl Read<'_> {
    /// The name of a field, the pointer of a claim, or nothing.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Header(name) | Self::ResponseHeader(name) | Self::Claim(name) => name,
            _ => "",
        }
    }

    /// The same question on its own.
    pub(crate) fn to_owned(&self) -> Read<'static> {
        let own = |name: &Cow<'_, str>| Cow::Owned(name.clone().into_owned());
        match self {
            Self::Header(name) => Read::Header(own(name)),
            Self::ResponseHeader(name) => Read::ResponseHeader(own(name)),
            Self::Claim(name) => Read::Claim(own(name)),
            Self::Method => Read::Method,
            Self::Path => Read::Path,
            Self::Host => Read::Host,
            Self::Query => Read::Query,
            Self::HeaderNames => Read::HeaderNames,
            Self::Route => Read::Route,
            Self::Model => Read::Model,
            Self::Dialect => Read::Dialect,
            Self::Peer => Read::Peer,
            Self::Protocol => Read::Protocol,
            Self::TraceId => Read::TraceId,
            Self::Status => Read::Status,
            Self::ResponseHeaderNames => Read::ResponseHeaderNames,
            Self::MessagePresent => Read::MessagePresent,
            Self::Verify => Read::Verify,
            Self::Claims => Read::Claims,
            Self::Tenant => Read::Tenant,
        }
    }
}

/// What a read found. Two are equal only when they are equal byte for byte and of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value<'v> {
    /// There is no such thing.
    Nothing,
    /// A text.
    Text(Cow<'v, str>),
    /// The value of a field.
    Bytes(Cow<'v, [u8]>),
    /// Names, each in lower case, in order and behind one another with a line feed between them.
    Names(Cow<'v, str>),
    /// A status code.
    Number(u16),
    /// A network address.
    Address(IpAddr),
    /// Yes or no.
    Flag(bool),
    /// There is no identity, for this reason.
    Absent(Absence),
}

impl<'v> Value<'v> {
    /// A text that is there.
    pub(crate) fn text(text: &'v str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// A text that may be there.
    pub(crate) fn maybe(text: Option<&'v str>) -> Self {
        text.map_or(Self::Nothing, Self::text)
    }

    /// How many bytes it holds.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Text(text) | Self::Names(text) => text.len(),
            Self::Address(_) => size_of::<IpAddr>(),
            Self::Nothing | Self::Number(_) | Self::Flag(_) | Self::Absent(_) => 0,
        }
    }

    /// As the guest gets it, where it is a text.
    pub(crate) fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.into_owned()),
            Self::Address(address) => Some(address.to_string()),
            _ => None,
        }
    }

    /// As the guest gets it, where it is the value of a field.
    pub(crate) fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Some(bytes.into_owned()),
            _ => None,
        }
    }

    /// As the guest gets them, where they are names.
    pub(crate) fn into_names(self) -> Vec<String> {
        match self {
            Self::Names(names) => names.lines().map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// As the guest gets it, where it is a status.
    pub(crate) fn into_number(self) -> Option<u16> {
        match self {
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The same value on its own.
    pub(crate) fn to_owned(&self) -> Value<'static> {
        match self {
            Self::Nothing => Value::Nothing,
            // Made anew rather than cloned: a joined value may have more room than it needs.
            Self::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.to_vec())),
            Self::Text(text) => Value::Text(Cow::Owned(text.as_ref().to_owned())),
            Self::Address(address) => Value::Address(*address),
            Self::Names(names) => Value::Names(Cow::Owned(names.as_ref().to_owned())),
            Self::Number(number) => Value::Number(*number),
            Self::Flag(flag) => Value::Flag(*flag),
            Self::Absent(absence) => Value::Absent(*absence),
        }
    }
}

/// Whoever can answer reads.
pub(crate) trait Find {
    /// What `read` finds, or none where it cannot be asked.
    fn find(&self, read: &Read<'_>) -> Option<Value<'_>>;
}

/// What a call is about.
#[derive(Clone, Copy, Default)]
pub(crate) struct Facts<'f> {
    pub(crate) request: Option<&'f dyn RequestView>,
    pub(crate) response: Option<&'f dyn ResponseView>,
    pub(crate) identity: Option<&'f dyn IdentityView>,
    /// Whether there is a message.
    pub(crate) message: bool,
}

impl<'f> Facts<'f> {
    /// What `read` finds, or none where there is no such thing to ask: no response, while there is only a request.
    pub(crate) fn find(&self, read: &Read<'_>) -> Option<Value<'f>> {
        Some(match read {
            Read::Method => Value::text(self.request?.method()),
            Read::Path => Value::text(self.request?.path()),
            Read::Host => Value::text(self.request?.host()),
            Read::Query => Value::maybe(self.request?.query()),
            Read::Header(name) => field(self.request?.header(name)),
            Read::HeaderNames => names(self.request?.header_names()),
            Read::Route => Value::text(self.request?.route()),
            Read::Model => Value::maybe(self.request?.model()),
            Read::Dialect => Value::text(self.request?.dialect()),
            Read::Peer => Value::Address(self.request?.peer()),
            Read::Protocol => Value::text(self.request?.protocol()),
            Read::TraceId => Value::text(self.request?.trace_id()),
            Read::Status => Value::Number(self.response?.status()),
            Read::ResponseHeader(name) => field(self.response?.header(name)),
            Read::ResponseHeaderNames => names(self.response?.header_names()),
            Read::MessagePresent => Value::Flag(self.message),
            Read::Verify => self.identity?.claims().map_or_else(Value::Absent, |_| Value::Flag(true)),
            Read::Claims => self.identity?.claims().map_or_else(Value::Absent, Value::text),
            Read::Claim(pointer) => self.identity?.claim(pointer).map_or(Value::Nothing, Value::Text),
            Read::Tenant => Value::maybe(self.identity?.tenant()),
        })
    }
}

impl Find for Facts<'_> {
    fn find(&self, read: &Read<'_>) -> Option<Value<'_>> {
        Facts::find(self, read)
    }
}

fn field(value: Option<Cow<'_, [u8]>>) -> Value<'_> {
    value.map_or(Value::Nothing, Value::Bytes)
}

/// The names of fields that a plugin may read.
fn names(names: Vec<String>) -> Value<'static> {
    let names: Vec<String> = names.into_iter().filter(|name| readable(name).is_some()).collect();
    Value::Names(Cow::Owned(names.join("\n")))
}
