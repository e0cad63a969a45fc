//! Verdicts: what a hook returned, checked before anybody acts on it.

use http::{HeaderName, HeaderValue};

use crate::bindings::types;
use crate::edits::{Head, editable, legal_value};
use crate::error::Failure;

const MAX_DETAIL_BYTES: usize = 1024;
const MAX_HEADERS: usize = 16;
const MAX_HEADER_BYTES: usize = 8 * 1024;
const MAX_SLUG_BYTES: usize = 64;

/// What a hook decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// Go on with this: the edits, the message.
    Continue(T),
    /// Answer the client.
    Answer(Answer),
}

/// An answer in place of what would have come next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200 to 599, never 204, 205 or 304.
    pub status: u16,
    /// The slug of a problem type. Well-formed; whether the gateway has such a problem is the gateway's to
    /// check.
    pub problem: Option<String>,
    /// One sentence for the client, at most 1,024 bytes, without control characters.
    pub detail: String,
    /// Checked header fields, at most 16.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Checks a verdict: none means to go on.
///
/// # Errors
/// [`Failure::BadVerdict`] that says what is wrong with it.
pub(crate) fn check(verdict: types::Verdict) -> Result<Option<Answer>, Failure> {
    match verdict {
        types::Verdict::Continue => Ok(None),
        types::Verdict::Answer(answer) => check_answer(answer).map(Some).map_err(|why| Failure::bad_verdict(&why)),
    }
}

fn check_answer(answer: types::Answer) -> Result<Answer, String> {
    if !(200..=599).contains(&answer.status) || matches!(answer.status, 204 | 205 | 304) {
        return Err(format!("{} is not a status that a plugin may answer with", answer.status));
    }
    if answer.detail.len() > MAX_DETAIL_BYTES {
        return Err(format!("the detail has {} bytes, more than {MAX_DETAIL_BYTES}", answer.detail.len()));
    }
    if answer.detail.contains(char::is_control) {
        return Err("the detail has control characters".to_owned());
    }
    if answer.problem.as_deref().is_some_and(|slug| !is_slug(slug)) {
        return Err("the problem is not a slug".to_owned());
    }
    let headers = check_headers(&answer.headers)?;
    Ok(Answer { status: answer.status, problem: answer.problem, detail: answer.detail, headers })
}

fn check_headers(headers: &[types::Header]) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    if headers.len() > MAX_HEADERS {
        return Err(format!("the answer has {} header fields, more than {MAX_HEADERS}", headers.len()));
    }
    let bytes: usize = headers.iter().map(|h| h.name.len() + h.value.len()).sum();
    if bytes > MAX_HEADER_BYTES {
        return Err(format!("the answer's header fields have {bytes} bytes, more than {MAX_HEADER_BYTES}"));
    }
    headers
        .iter()
        .map(|header| {
            let name = editable(Head::Response, &header.name)?;
            let value = legal_value(&header.name, header.value.as_bytes())?;
            Ok((name, value))
        })
        .collect()
}

fn is_slug(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_SLUG_BYTES
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answer(status: u16) -> types::Answer {
        types::Answer { status, problem: Some("forbidden".to_owned()), detail: "no".to_owned(), headers: Vec::new() }
    }

    fn header(name: &str, value: &str) -> types::Header {
        types::Header { name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn statuses_without_a_body_and_outside_the_range_are_refused() {
        for status in [0, 100, 101, 199, 204, 205, 304, 600, 999, u16::MAX] {
            assert!(check_answer(answer(status)).is_err(), "{status}");
        }
        for status in [200, 302, 401, 403, 429, 503, 599] {
            assert_eq!(check_answer(answer(status)).unwrap().status, status);
        }
    }

    #[test]
    fn text_is_bounded_and_plain() {
        let long = types::Answer { detail: "x".repeat(MAX_DETAIL_BYTES + 1), ..answer(403) };
        let split = types::Answer { detail: "a\r\nb".to_owned(), ..answer(403) };
        let slug = types::Answer { problem: Some("../forbidden".to_owned()), ..answer(403) };
        for bad in [long, split, slug] {
            assert!(check_answer(bad).is_err());
        }
    }

    #[test]
    fn headers_are_checked_and_bounded() {
        let many = (0..=MAX_HEADERS).map(|i| header(&format!("x-{i}"), "v")).collect();
        let cases: [Vec<types::Header>; 4] = [
            many,
            vec![header("x-a", &"v".repeat(MAX_HEADER_BYTES))],
            vec![header("transfer-encoding", "chunked")],
            vec![header("x-a", "a\r\nset-cookie: b")],
        ];
        for headers in cases {
            assert!(check_answer(types::Answer { headers, ..answer(403) }).is_err());
        }
        let good = types::Answer { headers: vec![header("WWW-Authenticate", "Bearer realm=\"x\"")], ..answer(401) };
        assert_eq!(check_answer(good).unwrap().headers.first().unwrap().0, "www-authenticate");
    }
}
