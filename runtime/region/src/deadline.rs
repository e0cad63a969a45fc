//! When an inference must be done: the earliest of what the node, the edge and the caller say.
//!
//! Edges send the time that is left, not a time of day, since clocks differ.

use std::time::{Duration, Instant};

use forebay_oip::Parameters;
use http::HeaderMap;

use crate::error::RequestError;
use crate::headers::single_number;

/// Header: milliseconds that are left of the request's deadline.
pub(crate) const TIMEOUT_HEADER: &str = "forebay-timeout-ms";
/// Request parameter: microseconds that the caller waits; 0 means no wish.
const TIMEOUT_PARAMETER: &str = "timeout";

/// The deadline by the node's limit and the header.
pub(crate) fn from_headers(received: Instant, limit: Duration, headers: &HeaderMap) -> Result<Instant, RequestError> {
    let left = single_number(headers, TIMEOUT_HEADER)?;
    let left = left.map_or(limit, |milliseconds| limit.min(Duration::from_millis(milliseconds)));
    Ok(received + left)
}

/// `deadline`, or earlier if the request's parameters ask for it.
pub(crate) fn lowered(deadline: Instant, received: Instant, parameters: &Parameters) -> Result<Instant, RequestError> {
    let Some(parameter) = parameters.get(TIMEOUT_PARAMETER) else {
        return Ok(deadline);
    };
    let microseconds = parameter.as_int().and_then(|value| u64::try_from(value).ok());
    match microseconds {
        None => Err(RequestError::BadRequest("parameter `timeout` must be a whole number of microseconds".to_owned())),
        Some(0) => Ok(deadline),
        Some(microseconds) => {
            let asked = received.checked_add(Duration::from_micros(microseconds));
            Ok(asked.map_or(deadline, |asked| deadline.min(asked)))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use forebay_oip::Parameter;

    const LIMIT: Duration = Duration::from_secs(30);

    fn by_header(value: &str) -> Result<Duration, RequestError> {
        let received = Instant::now();
        let mut headers = HeaderMap::new();
        headers.insert(TIMEOUT_HEADER, value.parse().unwrap());
        from_headers(received, LIMIT, &headers).map(|deadline| deadline - received)
    }

    fn by_parameter(value: impl Into<Parameter>) -> Result<Duration, RequestError> {
        let received = Instant::now();
        let parameters = [(TIMEOUT_PARAMETER.to_owned(), value.into())].into();
        lowered(received + LIMIT, received, &parameters).map(|deadline| deadline - received)
    }

    #[test]
    fn a_header_lowers_and_never_raises() {
        assert_eq!(by_header("250").unwrap(), Duration::from_millis(250));
        assert_eq!(by_header("0").unwrap(), Duration::ZERO);
        assert_eq!(by_header("99999999").unwrap(), LIMIT);
        assert_eq!(by_header("18446744073709551615").unwrap(), LIMIT);
        for wrong in ["", "-1", "1.5", "+1", "1 ", "99999999999999999999"] {
            assert!(by_header(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_parameter_lowers_and_never_raises() {
        assert_eq!(by_parameter(100_000).unwrap(), Duration::from_millis(100));
        assert_eq!(by_parameter(0).unwrap(), LIMIT);
        assert_eq!(by_parameter(i64::MAX).unwrap(), LIMIT);
        assert!(by_parameter(-1).is_err());
        assert!(by_parameter("5").is_err());
    }
}
