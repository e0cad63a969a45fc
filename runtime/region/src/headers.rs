//! Request headers that say how to read or account for a request, each read in one way.

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::error::RequestError;

/// The header's value as a decimal number. Absent is none; twice, signs and spaces are mistakes.
pub(crate) fn single_number(headers: &HeaderMap, name: &'static str) -> Result<Option<u64>, RequestError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let number = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match (number.and_then(|text| text.parse().ok()), values.next()) {
        (Some(number), None) => Ok(Some(number)),
        _ => Err(RequestError::BadRequest(format!("header `{name}` must be one whole number"))),
    }
}

/// Refuses bodies under a content coding. The lengths that the protocol speaks of are of the decoded body.
pub(crate) fn refuse_encodings(headers: &HeaderMap) -> Result<(), RequestError> {
    let identity = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().all(identity) { Ok(()) } else { Err(RequestError::Encoding) }
}

/// The trace that a request belongs to, by W3C Trace Context (`traceparent`, version 00 or later).
pub(crate) fn trace_id(headers: &HeaderMap) -> Option<String> {
    let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let valid = version.len() == 2 && hex(version) && trace.len() == 32 && hex(trace);
    valid.then(|| trace.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_number_comes_once() {
        assert_eq!(single_number(&headers("n", &["12"]), "n").unwrap(), Some(12));
        assert_eq!(single_number(&HeaderMap::new(), "n").unwrap(), None);
        assert!(single_number(&headers("n", &["1", "1"]), "n").is_err());
    }

    #[test]
    fn only_identity_is_no_encoding() {
        refuse_encodings(&HeaderMap::new()).unwrap();
        refuse_encodings(&headers("content-encoding", &["Identity"])).unwrap();
        assert!(refuse_encodings(&headers("content-encoding", &["gzip"])).is_err());
        assert!(refuse_encodings(&headers("content-encoding", &["identity", "br"])).is_err());
    }

    #[test]
    fn a_trace_is_believed_if_well_formed() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(trace_id(&headers("traceparent", &[&parent])).unwrap(), trace);
        for wrong in ["", "00", "00-short-x-01", &parent.to_uppercase()] {
            assert_eq!(trace_id(&headers("traceparent", &[wrong])), None);
        }
    }
}
