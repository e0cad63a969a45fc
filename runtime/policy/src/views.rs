//! What a plugin may ask about, as the caller of this crate sees it.
//!
//! The traits are the seam to the gateway: it knows HTTP, tokens, keys and tensors; this crate only passes
//! questions on. Calls come from inside a running guest, so an implementation must not block.

use std::any::Any;
use std::borrow::Cow;
use std::net::IpAddr;

/// The head of a request.
pub trait RequestView: Send + Sync {
    /// The method, as sent.
    fn method(&self) -> &str;
    /// The path without the query.
    fn path(&self) -> &str;
    /// The host asked for, without the port.
    fn host(&self) -> &str;
    /// What follows the `?`, undecoded.
    fn query(&self) -> Option<&str>;
    /// The combined value of a field (RFC 9110, section 5.2: repeated fields joined by `, `). `name` is in
    /// lower case.
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>>;
    /// The route's name.
    fn route(&self) -> &str;
    /// The model asked for, on an inference route.
    fn model(&self) -> Option<&str>;
    /// The route's dialect.
    fn dialect(&self) -> &str;
    /// The names of all fields, in lower case, sorted, each once.
    fn header_names(&self) -> Vec<String>;
    /// The address of the client's connection.
    fn peer(&self) -> IpAddr;
    /// The protocol of the client's connection: `HTTP/1.1`, `HTTP/2.0`.
    fn protocol(&self) -> &str;
    /// The trace (W3C Trace Context), 32 hexadecimal digits.
    fn trace_id(&self) -> &str;
    /// The legal areas to which plugins restricted the request before; `None` where none did. No plugin reads them: what
    /// is asked for it stays within them.
    fn jurisdictions(&self) -> Option<&[String]> {
        None
    }
}

/// The head of a response.
pub trait ResponseView: Send + Sync {
    /// The status code.
    fn status(&self) -> u16;
    /// As [`RequestView::header`].
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>>;
    /// As [`RequestView::header_names`].
    fn header_names(&self) -> Vec<String>;
}

/// Why there is no verified identity. Mirrors `identity.absence` in `wit/`, where each case is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Absence {
    Missing,
    Malformed,
    UnknownIssuer,
    UnknownKey,
    BadAlgorithm,
    BadSignature,
    Expired,
    NotYetValid,
    WrongAudience,
    MissingClaim,
    Revoked,
}

/// Who is asking.
pub trait IdentityView: Send + Sync {
    /// The verified claims as the text of one JSON object.
    ///
    /// # Errors
    /// Why there are none.
    fn claims(&self) -> Result<&str, Absence>;
    /// One verified claim by JSON Pointer (RFC 6901), as JSON text. Asked for on every request, so best kept.
    fn claim(&self, pointer: &str) -> Option<Cow<'_, str>>;
    /// The tenant derived from the identity.
    fn tenant(&self) -> Option<&str>;
}

/// A place in a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// An input tensor, by name.
    Input(String),
    /// An output tensor, by name.
    Output(String),
    /// A value in a JSON body, by JSON Pointer (RFC 6901).
    Json(String),
}

/// Why a field could not be sealed or opened. Mirrors `sealing.seal-error` in `wit/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SealFailure {
    /// The message has no such field.
    NoField,
    /// No key of that name, or none for this tenant.
    NoKey,
    /// Opening what is not sealed.
    NotSealed,
    /// Sealing what is sealed already.
    AlreadySealed,
    /// The sealed value does not verify for this tenant and place.
    Rejected,
    /// Not possible for this kind of message or in this phase.
    Unsupported,
}

/// An inference or a JSON body on its way, whose fields can be sealed. The implementation does the
/// cryptography; a plugin names fields and keys.
pub trait Message: Send {
    /// The model, when the message is an inference.
    fn model(&self) -> Option<&str>;
    /// Whether the field is there.
    fn has(&self, field: &Field) -> bool;
    /// Seals a field in place.
    ///
    /// # Errors
    /// Why it was left as it was.
    fn seal(&mut self, field: &Field, key: &str) -> Result<(), SealFailure>;
    /// Opens a field in place.
    ///
    /// # Errors
    /// Why it was left as it was.
    fn open(&mut self, field: &Field, key: &str) -> Result<(), SealFailure>;
    /// Asks for an output to be sealed by the region. Called in the forward phase only. An implementation may refuse it
    /// once an input is sealed.
    ///
    /// # Errors
    /// Why it cannot be asked for.
    fn expect_sealed(&mut self, output: &str, key: &str) -> Result<(), SealFailure>;
    /// The way back to the caller's own type.
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}
