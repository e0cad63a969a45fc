//! The closed list of problem types. Clients switch on them, so a type never changes its meaning.

use http::StatusCode;

const BASE: &str = "https://forebay.dev/problems/";

macro_rules! problem_types {
    ($($variant:ident $slug:literal $status:ident $title:literal $meaning:literal)*) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ProblemType {
            $(#[doc = $meaning] $variant,)*
        }

        impl ProblemType {
            /// Every type, in the order of the reference.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The last part of the type's URI.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug,)* }
            }

            /// The status code that responses of this type carry.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// A short summary that is the same for every occurrence (RFC 9457 section 3.1.3).
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// When this type is used, and what its reader can do.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

problem_types! {
    BadRequest "bad-request" BAD_REQUEST "Bad request"
        "The request is not valid HTTP, or not valid for this path."
    MalformedBody "malformed-body" BAD_REQUEST "Malformed body"
        "The body is not what its content type says, or lacks something that is required."
    InvalidTensor "invalid-tensor" BAD_REQUEST "Invalid tensor"
        "An input's name, data type, shape or size does not fit the model or its own data."
    SealedField "sealed-field" BAD_REQUEST "Sealed field cannot be opened"
        "A sealed field was made with another key, for another tenant or place, or was changed on the way."
    MissingCredentials "missing-credentials" UNAUTHORIZED "Credentials required"
        "The route needs a token and the request has none."
    InvalidToken "invalid-token" UNAUTHORIZED "Invalid token"
        "The token is expired, revoked, not for this audience, or not signed by a trusted issuer."
    Forbidden "forbidden" FORBIDDEN "Forbidden"
        "The caller is known and may not do this."
    NotFound "not-found" NOT_FOUND "Not found"
        "No route matches the host and path."
    ModelNotFound "model-not-found" NOT_FOUND "Model not found"
        "The model or this version of it does not exist, or is not visible to the caller."
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "Method not allowed"
        "The path exists and has no such method; the Allow field lists those it has."
    RequestTimeout "request-timeout" REQUEST_TIMEOUT "Request timeout"
        "The request's body did not arrive in time."
    BodyTooLarge "body-too-large" PAYLOAD_TOO_LARGE "Body too large"
        "The body is larger than the route allows."
    UnsupportedEncoding "unsupported-encoding" UNSUPPORTED_MEDIA_TYPE "Unsupported encoding"
        "The body's content coding or media type is not supported here."
    TooManyRequests "too-many-requests" TOO_MANY_REQUESTS "Too many requests"
        "The caller is over its rate; Retry-After says when to come back."
    HeadersTooLarge "headers-too-large" REQUEST_HEADER_FIELDS_TOO_LARGE "Headers too large"
        "The header section has too many fields or too many bytes."
    Internal "internal" INTERNAL_SERVER_ERROR "Internal error"
        "The node failed in a way that is its own fault."
    BadGateway "bad-gateway" BAD_GATEWAY "Bad gateway"
        "The upstream could not be reached, broke off, or answered with something that is not valid."
    PolicyFailed "policy-failed" SERVICE_UNAVAILABLE "Policy failed"
        "A policy plugin, a function or middleware failed, so the request was refused; the member `plugin` names it."
    KeysUnavailable "keys-unavailable" SERVICE_UNAVAILABLE "Issuer's keys unavailable"
        "The keys of the token's issuer could not be had, so no token of it can be checked; try again later."
    Overloaded "overloaded" SERVICE_UNAVAILABLE "Overloaded"
        "The node has more work than it can finish in time; try again later or elsewhere."
    QueueFull "queue-full" SERVICE_UNAVAILABLE "Queue full"
        "The model's queue is full; try again later."
    ModelNotReady "model-not-ready" SERVICE_UNAVAILABLE "Model not ready"
        "The model is known and not yet loaded and warm."
    NoRegion "no-region" SERVICE_UNAVAILABLE "No region available"
        "No region that may serve this request is healthy; it was not sent anywhere else."
    Draining "draining" SERVICE_UNAVAILABLE "Draining"
        "The node is shutting down; another one will answer."
    GpuUnavailable "gpu-unavailable" SERVICE_UNAVAILABLE "GPU unavailable"
        "The model requires a GPU and none could be obtained."
    DeadlineExceeded "deadline-exceeded" GATEWAY_TIMEOUT "Deadline exceeded"
        "The request's deadline passed, or would have passed before its work was done."
}

impl ProblemType {
    /// The type's URI, `https://forebay.dev/problems/{slug}`.
    #[must_use]
    pub fn uri(self) -> String {
        format!("{BASE}{}", self.slug())
    }

    /// The type with this slug.
    #[must_use]
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.slug() == slug)
    }

    /// The type with this URI.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        uri.strip_prefix(BASE).and_then(Self::from_slug)
    }

    /// The reference of all types as a Markdown table, for the documentation and the check that it is current.
    #[must_use]
    pub fn reference() -> String {
        let row = |kind: &Self| {
            format!("| `{}` | {} | {} | {} |\n", kind.slug(), kind.status().as_u16(), kind.title(), kind.meaning())
        };
        let rows: String = Self::ALL.iter().map(row).collect();
        format!("| Type | Status | Title | Meaning |\n| --- | --- | --- | --- |\n{rows}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::ProblemType;

    #[test]
    fn slugs_are_unique_and_lead_back() {
        let slugs: HashSet<_> = ProblemType::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), ProblemType::ALL.len());
        for kind in ProblemType::ALL {
            assert_eq!(ProblemType::from_uri(&kind.uri()), Some(*kind));
            assert!(kind.status().is_client_error() || kind.status().is_server_error());
        }
    }

    #[test]
    fn the_reference_lists_every_type_once() {
        assert_eq!(ProblemType::reference().lines().count(), ProblemType::ALL.len() + 2);
    }
}
