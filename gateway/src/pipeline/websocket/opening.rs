//! The client's part of the opening handshake (RFC 6455, sections 4.1 and 4.2.1), read before the fields of its
//! connection are taken from the head.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forebay_http::{ProblemType, RequestBody, Upgrade};
use http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use http_body::Body as _;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::error::Refusal;
use crate::upstream::websocket::VERSION;

/// Bytes of the key's nonce.
const KEY_BYTES: usize = 16;

/// A request for a WebSocket.
pub(crate) struct Opening {
    upgrade: Upgrade,
    key: HeaderValue,
}

impl Opening {
    /// None: the request asks for none, and is one like any other.
    ///
    /// # Errors
    /// It asks in a wrong way.
    pub(crate) fn of(head: &mut Parts, body: &RequestBody) -> Result<Option<Self>, Refusal> {
        let Some(upgrade) = Upgrade::take(&mut head.extensions).filter(|_| wants(&head.headers)) else {
            return Ok(None);
        };
        if head.method != Method::GET || !body.is_end_stream() {
            return Err(Refusal::new(ProblemType::BadRequest, "a WebSocket is asked for with GET and without a body"));
        }
        let key = key(&head.headers)?.clone();
        Ok(Some(Self { upgrade, key }))
    }

    /// The client's key.
    pub(crate) fn key(&self) -> &HeaderValue {
        &self.key
    }

    /// What proves to the client that it was understood.
    ///
    /// # Errors
    /// None: base64 is a legal value.
    pub(crate) fn accept(&self) -> Result<HeaderValue, Refusal> {
        HeaderValue::try_from(derive_accept_key(self.key.as_bytes()))
            .map_err(|error| Refusal::new(ProblemType::Internal, "no answer to this key").because(error))
    }

    /// The connection.
    pub(crate) fn into_upgrade(self) -> Upgrade {
        self.upgrade
    }
}

fn wants(headers: &HeaderMap) -> bool {
    has_token(headers, &UPGRADE, "websocket") && has_token(headers, &CONNECTION, "upgrade")
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|one| one.trim().eq_ignore_ascii_case(token))
}

/// The key, where version and key are as they must be.
fn key(headers: &HeaderMap) -> Result<&HeaderValue, Refusal> {
    let refuse = |detail| Refusal::new(ProblemType::BadRequest, detail);
    if only(headers, &SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
        return Err(refuse("this is not version 13 of WebSocket").header(SEC_WEBSOCKET_VERSION, VERSION));
    }
    let key = only(headers, &SEC_WEBSOCKET_KEY);
    let is_good = |key: &&HeaderValue| STANDARD.decode(key.as_bytes()).is_ok_and(|nonce| nonce.len() == KEY_BYTES);
    key.filter(is_good).ok_or_else(|| refuse("Sec-WebSocket-Key must be 16 bytes in base64, once"))
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn both_fields_must_ask() {
        assert!(wants(&headers(&[("upgrade", "h2c, WebSocket"), ("connection", "keep-alive, Upgrade")])));
        assert!(!wants(&headers(&[("upgrade", "websocket")])));
        assert!(!wants(&headers(&[("upgrade", "websocket"), ("connection", "close")])));
        assert!(!wants(&headers(&[("upgrade", "h2c"), ("connection", "upgrade")])));
    }

    #[test]
    fn version_and_key_are_given_once_and_well() {
        let good = [("sec-websocket-version", "13"), ("sec-websocket-key", KEY)];
        assert_eq!(key(&headers(&good)).unwrap(), KEY);
        for bad in [
            &[("sec-websocket-key", KEY)][..],
            &[("sec-websocket-version", "8"), ("sec-websocket-key", KEY)],
            &[("sec-websocket-version", "13")],
            &[("sec-websocket-version", "13"), ("sec-websocket-key", "dGhl")],
            &[("sec-websocket-version", "13"), ("sec-websocket-key", "no base64")],
            &[("sec-websocket-version", "13"), ("sec-websocket-key", KEY), ("sec-websocket-key", KEY)],
        ] {
            assert_eq!(key(&headers(bad)).unwrap_err().reason(), "bad-request", "{bad:?}");
        }
    }
}
