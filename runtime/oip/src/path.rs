//! The protocol's REST paths, read and written.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but RFC 3986's unreserved characters is escaped in a segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a path asks for. Methods are GET, and POST for `Infer`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `/v2`
    ServerMetadata,
    /// `/v2/health/live`
    Live,
    /// `/v2/health/ready`
    Ready,
    /// `/v2/models/{model}[/versions/{version}]`
    ModelMetadata {
        /// Name of the model, decoded.
        model: String,
        /// Version, decoded; `None` leaves the choice to the server.
        version: Option<String>,
    },
    /// `/v2/models/{model}[/versions/{version}]/ready`
    ModelReady {
        /// Name of the model, decoded.
        model: String,
        /// Version, decoded; `None` leaves the choice to the server.
        version: Option<String>,
    },
    /// `/v2/models/{model}[/versions/{version}]/infer`
    Infer {
        /// Name of the model, decoded.
        model: String,
        /// Version, decoded; `None` leaves the choice to the server.
        version: Option<String>,
    },
}

/// Reads a path, without its query. `None` for a path that is not the protocol's, a trailing slash included.
///
/// Names are percent-decoded. One that decodes to a slash, a control character, `.` or `..`, or not to UTF-8, is no name.
pub fn parse(path: &str) -> Option<Operation> {
    // The longest path of the protocol has seven segments behind the leading slash.
    let segments: Vec<&str> = path.strip_prefix('/')?.splitn(8, '/').collect();
    match segments.as_slice() {
        ["v2"] => Some(Operation::ServerMetadata),
        ["v2", "health", "live"] => Some(Operation::Live),
        ["v2", "health", "ready"] => Some(Operation::Ready),
        ["v2", "models", model, "versions", version, action @ ..] => of_model(model, Some(version), action),
        ["v2", "models", model, action @ ..] => of_model(model, None, action),
        _ => None,
    }
}

fn of_model(model: &str, version: Option<&str>, action: &[&str]) -> Option<Operation> {
    let model = name(model)?;
    let version = match version {
        Some(version) => Some(name(version)?),
        None => None,
    };
    match action {
        [] => Some(Operation::ModelMetadata { model, version }),
        ["ready"] => Some(Operation::ModelReady { model, version }),
        ["infer"] => Some(Operation::Infer { model, version }),
        _ => None,
    }
}

fn name(segment: &str) -> Option<String> {
    let name = percent_decode_str(segment).decode_utf8().ok()?;
    let usable = !matches!(&*name, "" | "." | "..") && !name.contains(|c: char| c == '/' || c.is_control());
    usable.then(|| name.into_owned())
}

/// The path, with names escaped so that `parse` reads the same operation back.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (model, version, action) = match self {
            Operation::ServerMetadata => return f.write_str("/v2"),
            Operation::Live => return f.write_str("/v2/health/live"),
            Operation::Ready => return f.write_str("/v2/health/ready"),
            Operation::ModelMetadata { model, version } => (model, version, ""),
            Operation::ModelReady { model, version } => (model, version, "/ready"),
            Operation::Infer { model, version } => (model, version, "/infer"),
        };
        write!(f, "/v2/models/{}", utf8_percent_encode(model, SEGMENT))?;
        if let Some(version) = version {
            write!(f, "/versions/{}", utf8_percent_encode(version, SEGMENT))?;
        }
        f.write_str(action)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_protocols_paths() {
        let infer = Operation::Infer { model: "m".into(), version: None };
        assert_eq!(parse("/v2/models/m/infer"), Some(infer));
        let versioned = Operation::ModelReady { model: "m".into(), version: Some("1".into()) };
        assert_eq!(parse("/v2/models/m/versions/1/ready"), Some(versioned));
        let metadata = Operation::ModelMetadata { model: "a b".into(), version: None };
        assert_eq!(parse("/v2/models/a%20b"), Some(metadata));
        assert_eq!(parse("/v2"), Some(Operation::ServerMetadata));
        assert_eq!(parse("/v2/health/live"), Some(Operation::Live));
    }

    #[test]
    fn other_paths() {
        let others = [
            "",
            "/",
            "v2",
            "/v2/",
            "/v2/models",
            "/v2/models/",
            "/v2/models//infer",
            "/v2/models/m/",
            "/v2/models/m/infer/",
            "/v2/models/m/versions",
            "/v2/models/m/versions/",
            "/v2/models/m/versions//infer",
            "/v2/models/a%2fb/infer",
            "/v2/models/%2e%2e/infer",
            "/v2/models/%ff/infer",
            "/v2/models/a%00/infer",
            "/V2",
            "/v2/models/m/generate",
            "/v2/models/m/versions/1/infer/x",
        ];
        for path in others {
            assert_eq!(parse(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(path in any::<String>()) {
            let _ = parse(&path);
        }

        #[test]
        fn written_paths_read_back(model in "[^/\\p{Cc}]{3,12}", version in proptest::option::of("[^/\\p{Cc}]{3,5}")) {
            for operation in [
                Operation::Infer { model: model.clone(), version: version.clone() },
                Operation::ModelMetadata { model, version },
            ] {
                prop_assert_eq!(parse(&operation.to_string()), Some(operation));
            }
        }
    }
}
