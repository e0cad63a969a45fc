//! What a request shows of itself: one access token, as a bearer's (RFC 6750) or with a proof (RFC 9449).

use forebay_policy::Absence;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Longest token that is looked at.
const TOKEN_MAX_BYTES: usize = 8 * 1024;

/// How a token was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// `Bearer`: whoever has it may use it.
    Bearer,
    /// `DPoP`: with a proof that its key is at hand.
    Dpop,
}

/// A token as it was shown; nothing of it is believed yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Credential<'a> {
    pub(super) scheme: Scheme,
    pub(super) token: &'a str,
}

/// The one token of a request. Two `Authorization` headers are two readings, so neither counts.
pub(super) fn shown(headers: &HeaderMap) -> Result<Credential<'_>, Absence> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Absence::Missing)?;
    if values.next().is_some() {
        return Err(Absence::Malformed);
    }
    let text = value.to_str().map_err(|_| Absence::Malformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(Absence::Malformed)?;
    let scheme = match scheme {
        bearer if bearer.eq_ignore_ascii_case("bearer") => Scheme::Bearer,
        dpop if dpop.eq_ignore_ascii_case("dpop") => Scheme::Dpop,
        _ => return Err(Absence::Missing),
    };
    let token = token.trim_matches(' ');
    if token.is_empty() || token.len() > TOKEN_MAX_BYTES || token.bytes().filter(|byte| *byte == b'.').count() != 2 {
        return Err(Absence::Malformed);
    }
    Ok(Credential { scheme, token })
}

/// The scheme that a request names, whatever follows it.
pub(super) fn scheme(headers: &HeaderMap) -> Option<Scheme> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    match value.split(' ').next()? {
        bearer if bearer.eq_ignore_ascii_case("bearer") => Some(Scheme::Bearer),
        dpop if dpop.eq_ignore_ascii_case("dpop") => Some(Scheme::Dpop),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn one_token_or_none() {
        for (text, scheme) in [
            ("Bearer a.b.c", Scheme::Bearer),
            ("bearer  a.b.c", Scheme::Bearer),
            ("DPoP a.b.c", Scheme::Dpop),
            ("dpop a.b.c", Scheme::Dpop),
        ] {
            let shown = headers(&[text]);
            assert_eq!(super::shown(&shown), Ok(Credential { scheme, token: "a.b.c" }));
            assert_eq!(super::scheme(&shown), Some(scheme));
        }
        assert_eq!(shown(&headers(&[])), Err(Absence::Missing));
        assert_eq!(shown(&headers(&["Basic dXNlcjpwYXNz"])), Err(Absence::Missing));
        assert_eq!(scheme(&headers(&["Basic dXNlcjpwYXNz"])), None);
        for malformed in [
            &["Bearer"][..],
            &["Bearer a.b"],
            &["Bearer a.b.c", "Bearer a.b.c"],
            &["DPoP a.b.c", "Bearer a.b.c"],
            &["Bearer a.b.c.d"],
            &["DPoP "],
        ] {
            assert_eq!(shown(&headers(malformed)), Err(Absence::Malformed), "{malformed:?}");
        }
        let long = format!("Bearer {}.b.c", "a".repeat(TOKEN_MAX_BYTES));
        assert_eq!(shown(&headers(&[&long])), Err(Absence::Malformed));
    }
}
