//! Messages whose fields plugins can have sealed and opened. The cryptography happens here, in the host, with the
//! tenant's key; a plugin says which field and which key.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use forebay_oip::sealed::{self, Nonce, Place, Terms};
use forebay_oip::{InferRequest, InferResponse, Tensor};
use forebay_policy::{Field, Message, SealFailure};
use forebay_seal::{Keyring, SealError};

use super::json_body::JsonBody;

/// What a message holds.
pub(crate) enum Contents {
    /// An inference on its way out; its nonce is among its parameters.
    Request {
        /// Model name.
        model: String,
        /// The inference.
        request: InferRequest,
    },
    /// Its answer.
    Response {
        /// Model name.
        model: String,
        /// The nonce of the request that it answers, as long as outputs may be sealed for the edge.
        nonce: Option<Nonce>,
        /// The answer.
        response: InferResponse,
    },
    /// A JSON body of a proxied route.
    Json(JsonBody),
}

/// The keys that a plugin may name, and the tenant whose derived keys they stand for.
pub(crate) struct Keys {
    /// All keys of the node.
    pub(crate) keyring: Arc<Keyring>,
    /// Names that this plugin may use.
    pub(crate) allowed: Arc<BTreeSet<String>>,
    /// The caller's tenant; a caller without one has no keys.
    pub(crate) tenant: Option<String>,
}

impl Keys {
    /// The tenant, where this plugin may use the key for it.
    fn tenant(&self, key: &str) -> Result<&str, SealFailure> {
        self.tenant.as_deref().filter(|_| self.allowed.contains(key)).ok_or(SealFailure::NoKey)
    }

    fn seal(&self, key: &str, context: &str, plaintext: &[u8]) -> Result<String, SealFailure> {
        self.keyring.seal(key, self.tenant(key)?, context, plaintext).map_err(|error| failure(&error))
    }

    fn open(&self, key: &str, context: &str, jwe: &str) -> Result<Vec<u8>, SealFailure> {
        self.keyring.open(key, self.tenant(key)?, context, jwe).map_err(|error| failure(&error))
    }
}

/// Contents in the hands of one plugin.
pub(crate) struct Sealable {
    /// What it holds.
    pub(crate) contents: Contents,
    /// What it may be sealed with.
    pub(crate) keys: Keys,
    /// Whether anything was changed.
    pub(crate) touched: bool,
}

impl Message for Sealable {
    fn model(&self) -> Option<&str> {
        match &self.contents {
            Contents::Request { model, .. } | Contents::Response { model, .. } => Some(model),
            Contents::Json(_) => None,
        }
    }

    fn has(&self, field: &Field) -> bool {
        match (&self.contents, field) {
            (Contents::Request { request, .. }, Field::Input(name)) => request.inputs.iter().any(|t| t.name == *name),
            (Contents::Response { response, .. }, Field::Output(name)) => {
                response.outputs.iter().any(|t| t.name == *name)
            }
            (Contents::Json(body), Field::Json(pointer)) => body.get(pointer).is_some(),
            _ => false,
        }
    }

    fn seal(&mut self, field: &Field, key: &str) -> Result<(), SealFailure> {
        self.touched = true;
        let keys = &self.keys;
        match (&mut self.contents, field) {
            (Contents::Request { model, request }, Field::Input(name)) => {
                let terms = terms(request)?;
                seal_tensor(keys, Place::Input(&terms), model, find(&mut request.inputs, name)?, key)
            }
            // Who opens what is sealed on this side of the border is a client.
            (Contents::Response { model, response, .. }, Field::Output(name)) => {
                seal_tensor(keys, Place::Client, model, find(&mut response.outputs, name)?, key)
            }
            (Contents::Json(body), Field::Json(pointer)) => seal_json(keys, body, pointer, key),
            _ => Err(SealFailure::Unsupported),
        }
    }

    fn open(&mut self, field: &Field, key: &str) -> Result<(), SealFailure> {
        self.touched = true;
        let keys = &self.keys;
        match (&mut self.contents, field) {
            (Contents::Request { model, request }, Field::Input(name)) => {
                let terms = terms(request)?;
                open_tensor(keys, Place::Input(&terms), model, find(&mut request.inputs, name)?, key)
            }
            (Contents::Response { model, nonce, response }, Field::Output(name)) => {
                let place = nonce.map_or(Place::Client, Place::Output);
                open_tensor(keys, place, model, find(&mut response.outputs, name)?, key)
            }
            (Contents::Json(body), Field::Json(pointer)) => open_json(keys, body, pointer, key),
            _ => Err(SealFailure::Unsupported),
        }
    }

    fn expect_sealed(&mut self, output: &str, key: &str) -> Result<(), SealFailure> {
        let tenant = self.keys.tenant(key)?;
        let Contents::Request { request, .. } = &mut self.contents else {
            return Err(SealFailure::Unsupported);
        };
        // What is sealed is bound to the wishes that there were, and would not open among others.
        if request.inputs.iter().any(|input| input.parameters.contains_key(sealed::SEALED)) {
            return Err(SealFailure::Unsupported);
        }
        request.parameters.insert(sealed::seal_output(output), key.into());
        request.parameters.insert(sealed::TENANT.to_owned(), tenant.into());
        Ok(())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// What the inputs of a request are bound to. Without a nonce they cannot be sealed.
fn terms(request: &InferRequest) -> Result<Terms, SealFailure> {
    Terms::of(&request.parameters).ok().flatten().ok_or(SealFailure::Unsupported)
}

fn find<'t>(tensors: &'t mut [Tensor], name: &str) -> Result<&'t mut Tensor, SealFailure> {
    tensors.iter_mut().find(|tensor| tensor.name == name).ok_or(SealFailure::NoField)
}

fn seal_tensor(keys: &Keys, place: Place<'_>, model: &str, tensor: &mut Tensor, key: &str) -> Result<(), SealFailure> {
    if tensor.parameters.contains_key(sealed::SEALED) {
        return Err(SealFailure::AlreadySealed);
    }
    let context = sealed::context(place, model, &tensor.name, tensor.datatype, &tensor.shape);
    let jwe = keys.seal(key, &context, &tensor.data)?;
    *tensor = sealed::wrap(tensor, key, keys.tenant(key)?, &jwe);
    Ok(())
}

fn open_tensor(keys: &Keys, place: Place<'_>, model: &str, tensor: &mut Tensor, key: &str) -> Result<(), SealFailure> {
    let opened = {
        let parsed = sealed::parse(tensor).map_err(|_| SealFailure::Rejected)?.ok_or(SealFailure::NotSealed)?;
        if parsed.key != key || parsed.tenant != keys.tenant(key)? {
            return Err(SealFailure::Rejected);
        }
        let context = sealed::context(place, model, parsed.name, parsed.datatype, &parsed.shape);
        let plaintext = keys.open(key, &context, parsed.jwe)?;
        sealed::restore(tensor, &parsed, Bytes::from(plaintext)).map_err(|_| SealFailure::Rejected)?
    };
    *tensor = opened;
    Ok(())
}

/// A sealed JSON value is a string, the JWE; its context is its place.
fn json_context(pointer: &str) -> String {
    format!("json{pointer}")
}

fn seal_json(keys: &Keys, body: &mut JsonBody, pointer: &str, key: &str) -> Result<(), SealFailure> {
    let place = body.get(pointer).ok_or(SealFailure::NoField)?;
    let jwe = keys.seal(key, &json_context(pointer), place.as_bytes())?;
    // A compact JWE is base64url and dots: nothing in it needs an escape.
    if body.replace(pointer, &format!("\"{jwe}\"")) { Ok(()) } else { Err(SealFailure::NoField) }
}

fn open_json(keys: &Keys, body: &mut JsonBody, pointer: &str, key: &str) -> Result<(), SealFailure> {
    let place = body.get(pointer).ok_or(SealFailure::NoField)?;
    let jwe: String = serde_json::from_str(place).map_err(|_| SealFailure::NotSealed)?;
    let plaintext = keys.open(key, &json_context(pointer), &jwe)?;
    let plaintext = String::from_utf8(plaintext).map_err(|_| SealFailure::Rejected)?;
    if body.replace(pointer, &plaintext) { Ok(()) } else { Err(SealFailure::Rejected) }
}

fn failure(error: &SealError) -> SealFailure {
    match error {
        SealError::UnknownKey(_) => SealFailure::NoKey,
        SealError::Malformed(_) => SealFailure::NotSealed,
        _ => SealFailure::Rejected,
    }
}

#[cfg(test)]
mod tests;
