//! Stages `policy: request` and `policy: response`, what comes between them, and the two crossings of the PoP's border.
//!
//! A chain runs a route's plugins in order. Each hook gets a fresh sandbox; any failure refuses the request and names
//! the plugin. What plugins ask about is answered by `view` and `message`, what they have done by `services`: they see
//! claims, never tokens, and name keys, never hold them.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use forebay_http::ProblemType;
use forebay_oip::{InferRequest, InferResponse};
use forebay_policy::Plugin;
use forebay_policy::signature::Verified;

pub(crate) mod body;
mod chain;
pub(crate) mod json_body;
pub(crate) mod lifecycle;
pub(crate) mod load;
pub(crate) mod message;
pub(crate) mod services;
pub(crate) mod shadow;
pub(crate) mod store;
mod strict_json;
pub(crate) mod view;

use crate::config;
use crate::error::Refusal;
use lifecycle::Alarm;
use message::Contents;
use shadow::Shadow;

pub(crate) use chain::Chain;

/// A plugin and the keys it may name.
pub(crate) struct Policy {
    /// The loaded component.
    pub(crate) plugin: Plugin,
    /// Names of keys.
    pub(crate) keys: Arc<BTreeSet<String>>,
    /// What its signer says of it; None where plugins need no signature.
    pub(crate) verified: Option<Verified>,
    /// A candidate for its place.
    pub(crate) shadow: Option<Arc<Shadow>>,
    /// Rung when it is in quarantine.
    pub(crate) alarm: Alarm,
    /// What the configuration said of it when it was loaded.
    pub(crate) entry: Arc<config::Plugin>,
}

impl Policy {
    /// Rings as soon as the plugin is in quarantine, and not only when that meets a request.
    fn ring_if_quarantined(&self) {
        if self.plugin.is_quarantined() {
            self.alarm.ring(&self.plugin);
        }
    }
}

/// Contents as an inference again.
///
/// # Errors
/// They are something else, which would be our own mistake: the request is refused.
pub(crate) fn into_request(contents: Contents) -> Result<InferRequest, Refusal> {
    match contents {
        Contents::Request { request, .. } => Ok(request),
        _ => Err(lost()),
    }
}

/// Contents as an answer again.
///
/// # Errors
/// As for `into_request`.
pub(crate) fn into_response(contents: Contents) -> Result<InferResponse, Refusal> {
    match contents {
        Contents::Response { response, .. } => Ok(response),
        _ => Err(lost()),
    }
}

/// Contents as the bytes of a JSON body again.
///
/// # Errors
/// As for `into_request`.
pub(crate) fn into_json(contents: Contents) -> Result<Bytes, Refusal> {
    match contents {
        Contents::Json(body) => Ok(body.into_bytes()),
        _ => Err(lost()),
    }
}

fn lost() -> Refusal {
    Refusal::new(ProblemType::Internal, "this request could not be processed").because("message changed its kind")
}
