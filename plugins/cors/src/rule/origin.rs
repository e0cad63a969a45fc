//! Origins as browsers write them (RFC 6454, section 6.2), and patterns for them.

/// Which origins are meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// `*`
    Any,
    /// One, byte for byte: browsers write them in one way.
    Exact(String),
    /// `https://*.example.com`: what comes before and after the labels that may vary.
    Below { scheme: String, suffix: String },
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text == "null" {
            return Ok(Self::Exact(text.to_owned()));
        }
        let (scheme, host) = text.split_once("://").ok_or("must be an origin such as https://app.example.com")?;
        let scheme_is_legal =
            !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b);
        let rest = host.strip_prefix("*.").unwrap_or(host);
        if !scheme_is_legal || rest.is_empty() || !rest.bytes().all(legal) {
            return Err(
                "must be an origin as browsers write it: scheme, lower-case host, port unless it is the usual one",
            );
        }
        if (scheme == "https" && host.ends_with(":443")) || (scheme == "http" && host.ends_with(":80")) {
            return Err("browsers leave out the usual port, so this would never match");
        }
        match host.strip_prefix("*.") {
            // One label would be all of a top-level domain.
            Some(suffix) if !suffix.contains('.') => Err("`*.` needs a domain of two labels at least"),
            Some(suffix) => Ok(Self::Below { scheme: format!("{scheme}://"), suffix: format!(".{suffix}") }),
            None => Ok(Self::Exact(text.to_owned())),
        }
    }

    pub(super) fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(text) => text == origin,
            Self::Below { scheme, suffix } => {
                let labels = origin.strip_prefix(scheme.as_str()).and_then(|host| host.strip_suffix(suffix.as_str()));
                let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
                labels.is_some_and(|labels| !labels.is_empty() && !labels.starts_with('.') && labels.bytes().all(legal))
            }
        }
    }
}
