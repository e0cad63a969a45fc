//! W3C Trace Context: the caller's `traceparent` is carried on, or one is begun, so that edge and region logs join.

use http::{HeaderMap, HeaderValue};
use rand::Rng;

/// Header name (W3C Trace Context, section 3.2).
pub const TRACEPARENT: &str = "traceparent";

/// One request's place in a trace.
#[derive(Debug, Clone)]
pub struct Trace {
    trace_id: String,
    span_id: u64,
    flags: String,
}

impl Trace {
    /// Takes the caller's trace, where the header is well formed, under a new span of ours.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut random = rand::rng();
        let span_id = random.random::<u64>().max(1);
        match headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).and_then(parse) {
            Some((trace_id, flags)) => Self { trace_id, span_id, flags },
            None => Self { trace_id: format!("{:032x}", random.random::<u128>().max(1)), span_id, flags: "00".into() },
        }
    }

    /// 32 hex digits; also the request's identity in problem documents and logs.
    pub fn id(&self) -> &str {
        &self.trace_id
    }

    /// The value to send on.
    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("00-{}-{:016x}-{}", self.trace_id, self.span_id, self.flags)).ok()
    }
}

/// Trace id and flags of a well-formed header, version 00 or a later one read as 00.
fn parse(text: &str) -> Option<(String, String)> {
    let mut parts = text.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
    };
    let well_formed = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    let zero = trace.bytes().all(|byte| byte == b'0') || parent.bytes().all(|byte| byte == b'0');
    let exact = version != "00" || parts.next().is_none();
    (well_formed && !zero && exact).then(|| (trace.to_owned(), flags.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_callers_trace_is_carried_on() {
        let mut headers = HeaderMap::new();
        let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
        headers.insert(TRACEPARENT, format!("00-{trace_id}-00f067aa0ba902b7-01").parse().unwrap());
        let trace = Trace::of(&headers);
        assert_eq!(trace.id(), trace_id);
        let header = trace.header().unwrap();
        let sent = header.to_str().unwrap();
        assert!(sent.starts_with(&format!("00-{trace_id}-")) && sent.ends_with("-01"));
        assert!(!sent.contains("00f067aa0ba902b7"));
    }

    #[test]
    fn a_malformed_one_is_replaced() {
        for bad in [
            "",
            "00-0-0-0",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, bad.parse().unwrap());
            assert_eq!(Trace::of(&headers).id().len(), 32);
            assert_ne!(Trace::of(&headers).id(), Trace::of(&headers).id());
        }
    }
}
