//! Asking an origin for a WebSocket (RFC 6455, section 4.1), over HTTP/1.1 and a connection of its own.

use forebay_http::{Body, ProblemType, Upgraded};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::timeout_at;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::proxy::{Answer, Origin, Passing};
use crate::error::Refusal;

/// The version of the protocol, the only one there is.
pub(crate) const VERSION: HeaderValue = HeaderValue::from_static("13");
/// What the connection becomes.
pub(crate) const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
/// That it becomes something else.
pub(crate) const TO_UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");

/// What an origin made of it.
pub(crate) enum Opened {
    /// A WebSocket; the head has no fields of the connection.
    Switched { headers: HeaderMap, io: Upgraded },
    /// Something else.
    Answered(Answer),
}

impl Origin {
    /// Asks for a WebSocket with the client's `key`. Without `extensions` the origin is offered none.
    ///
    /// # Errors
    /// 502 where the origin cannot be reached or answers what it was not asked, 504 at the deadline.
    pub(crate) async fn open(
        &self,
        passing: &Passing<'_>,
        key: &HeaderValue,
        extensions: bool,
    ) -> Result<Opened, Refusal> {
        let Some(client) = &self.sockets else {
            return Err(Refusal::new(ProblemType::Internal, "this route has no WebSockets"));
        };
        let mut request = self.request(passing, Body::empty())?;
        let headers = request.headers_mut();
        if !extensions {
            headers.remove(SEC_WEBSOCKET_EXTENSIONS);
        }
        headers.insert(CONNECTION, TO_UPGRADE);
        headers.insert(UPGRADE, WEBSOCKET);
        headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
        headers.insert(SEC_WEBSOCKET_KEY, key.clone());
        let mut response = match timeout_at(passing.deadline.into(), client.send(request)).await {
            Err(_) => return Err(Refusal::deadline("forward")),
            Ok(Err(error)) => {
                return Err(Refusal::new(ProblemType::BadGateway, "the origin could not be reached").because(error));
            }
            Ok(Ok(response)) => response,
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Opened::Answered(passing.answer(response)));
        }
        let disagrees = |cause: &str| {
            Refusal::new(ProblemType::BadGateway, "the origin answered what it was not asked").because(cause)
        };
        check(response.headers(), key, extensions).map_err(disagrees)?;
        let io = match timeout_at(passing.deadline.into(), hyper::upgrade::on(&mut response)).await {
            Err(_) => return Err(Refusal::deadline("forward")),
            Ok(io) => io.map_err(|error| disagrees(&error.to_string()))?,
        };
        let Answer { mut headers, .. } = passing.answer(response);
        headers.remove(SEC_WEBSOCKET_ACCEPT);
        Ok(Opened::Switched { headers, io: TokioIo::new(io) })
    }
}

/// What RFC 6455 wants of the answer (section 4.1, after the request's fields).
fn check(headers: &HeaderMap, key: &HeaderValue, extensions: bool) -> Result<(), &'static str> {
    let accept = headers.get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if !headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return Err("it switches to another protocol");
    }
    if accept != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err("its Sec-WebSocket-Accept does not fit the key");
    }
    if !extensions && headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        return Err("it uses extensions that it was not offered");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_answer_must_fit_the_question() {
        // The example of RFC 6455, section 1.3.
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        let mut headers = HeaderMap::new();
        headers.insert(UPGRADE, "WebSocket".parse().unwrap());
        assert!(check(&headers, &key, true).is_err());
        headers.insert(SEC_WEBSOCKET_ACCEPT, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".parse().unwrap());
        assert_eq!(check(&headers, &key, true), Ok(()));
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate".parse().unwrap());
        assert_eq!(check(&headers, &key, true), Ok(()));
        assert!(check(&headers, &key, false).is_err());
        headers.insert(UPGRADE, "h2c".parse().unwrap());
        assert!(check(&headers, &key, true).is_err());
    }
}
