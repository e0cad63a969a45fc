//! Why a request was refused, and the one place where a refusal becomes a response.
//!
//! A `Refusal` says who is to blame, what the client may read and what only the log may say. Every stage of the
//! pipeline returns one; nothing else in this crate chooses a status for a failure.

use std::time::Duration;

use forebay_http::{BodyError, Problem, ProblemType, ResponseBody};
use forebay_oip::OipError;
use forebay_policy::Answer;
use forebay_wasi_http::Failure;
use http::header::{ALLOW, CACHE_CONTROL};
use http::{HeaderName, HeaderValue, Response, StatusCode};

/// For what no cache may keep.
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A request that ends here, with its status. Boxed: the good path carries a pointer.
#[derive(Debug)]
pub(crate) struct Refusal(Box<Facts>);

#[derive(Debug)]
struct Facts {
    kind: ProblemType,
    /// For the client. Never a token, a key, a body or an address inside the network.
    detail: String,
    /// For the log alone.
    cause: Option<String>,
    retry_after: Option<Duration>,
    headers: Vec<(HeaderName, HeaderValue)>,
    status: Option<StatusCode>,
    plugin: Option<String>,
    /// No document: a plugin answers with a head alone.
    bare: bool,
}

impl Refusal {
    /// A refusal of this kind; `detail` is what the client reads.
    pub(crate) fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self(Box::new(Facts {
            kind,
            detail: detail.into(),
            cause: None,
            retry_after: None,
            headers: Vec::new(),
            status: None,
            plugin: None,
            bare: false,
        }))
    }

    /// Adds what only the log may say.
    #[must_use]
    pub(crate) fn because(mut self, cause: impl std::fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// Adds `Retry-After`.
    #[must_use]
    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Adds a field of the response.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// The path has other methods, `allowed` (RFC 9110, section 15.5.6).
    pub(crate) fn method_not_allowed(allowed: &str) -> Self {
        let mut refusal = Self::new(ProblemType::MethodNotAllowed, format!("this path takes {allowed}"));
        refusal.0.headers.extend(HeaderValue::from_str(allowed).ok().map(|value| (ALLOW, value)));
        refusal
    }

    /// A plugin failed: the request is refused, closed, and the plugin is named.
    pub(crate) fn policy_failed(plugin: &str, reason: &str) -> Self {
        let detail = format!("policy `{plugin}` could not decide about this request");
        let mut refusal = Self::new(ProblemType::PolicyFailed, detail).because(reason);
        refusal.0.plugin = Some(plugin.to_owned());
        refusal
    }

    /// A function or a middleware failed: the request is refused, closed, and it is named.
    pub(crate) fn function_failed(function: &str, failure: &Failure) -> Self {
        let refusal = match failure {
            Failure::PoolExhausted => {
                let detail = format!("function `{function}` has as many requests in work as it may");
                Self::new(ProblemType::Overloaded, detail).retry_after(Duration::from_secs(1))
            }
            Failure::NoAnswer => Self::deadline("forward"),
            _ => {
                let detail = format!("function `{function}` could not answer this request");
                Self::new(ProblemType::PolicyFailed, detail)
            }
        };
        let mut refusal = refusal.because(failure);
        refusal.0.plugin = Some(function.to_owned());
        refusal
    }

    /// A plugin decided to answer itself.
    pub(crate) fn by_policy(plugin: &str, answer: Answer) -> Self {
        let kind = match answer.problem.as_deref().map(ProblemType::from_slug) {
            Some(Some(kind)) => kind,
            Some(None) => return Self::policy_failed(plugin, "unknown-problem"),
            None => ProblemType::Forbidden,
        };
        let mut refusal = Self::new(kind, answer.detail);
        refusal.0.bare = answer.problem.is_none();
        refusal.0.headers = answer.headers;
        refusal.0.status = StatusCode::from_u16(answer.status).ok();
        refusal.0.plugin = Some(plugin.to_owned());
        refusal
    }

    /// The deadline passed in this stage.
    pub(crate) fn deadline(stage: &str) -> Self {
        Self::new(ProblemType::DeadlineExceeded, format!("the request's deadline passed in stage `{stage}`"))
    }

    /// The problem type, as metrics and the access log name it.
    pub(crate) fn reason(&self) -> &'static str {
        self.0.kind.slug()
    }

    /// Whether a plugin decided so, rather than failed.
    pub(crate) fn is_decision(&self) -> bool {
        self.0.status.is_some()
    }

    /// Whether it is about who asks.
    pub(crate) fn is_about_identity(&self) -> bool {
        use ProblemType::{InvalidToken, KeysUnavailable, MissingCredentials};
        matches!(self.0.kind, InvalidToken | KeysUnavailable | MissingCredentials)
    }

    /// What only the log may say.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// What a client of a stream that was cut reads in its last event.
    pub(crate) fn summary(&self) -> serde_json::Value {
        serde_json::json!({ "type": self.0.kind.uri(), "title": self.0.kind.title(), "detail": self.0.detail })
    }

    /// The response: a problem document, or nothing but a head where a plugin wanted it so.
    pub(crate) fn into_response(self, instance: &str) -> Response<ResponseBody> {
        let facts = *self.0;
        if facts.bare {
            let mut response = Response::new(ResponseBody::empty());
            *response.status_mut() = facts.status.unwrap_or_else(|| facts.kind.status());
            response.headers_mut().extend(facts.headers);
            // An answer to one request, which no cache may give to another unless the plugin says so.
            response.headers_mut().entry(CACHE_CONTROL).or_insert(NO_STORE);
            return response;
        }
        let mut problem = Problem::new(facts.kind).detail(facts.detail).instance(instance);
        if let Some(status) = facts.status {
            problem = problem.status(status);
        }
        if let Some(plugin) = facts.plugin {
            problem = problem.with("plugin", plugin);
        }
        if let Some(after) = facts.retry_after {
            problem = problem.retry_after(after);
        }
        for (name, value) in facts.headers {
            problem = problem.header(name, value.to_str().unwrap_or_default());
        }
        problem.into_response()
    }
}

/// What a caller sent could not be read as an inference.
impl From<OipError> for Refusal {
    fn from(error: OipError) -> Self {
        let kind = match error {
            OipError::Malformed(_) => ProblemType::MalformedBody,
            OipError::Limit { .. } => ProblemType::BodyTooLarge,
            OipError::Tensor { .. } | OipError::Unencodable { .. } => ProblemType::InvalidTensor,
        };
        Self::new(kind, error.to_string())
    }
}

/// A body that did not come, or not within its bounds.
impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit_bytes } => {
                Self::new(ProblemType::BodyTooLarge, format!("the body is longer than {limit_bytes} bytes"))
            }
            BodyError::TimedOut => Self::new(ProblemType::RequestTimeout, "the body did not come in time"),
            BodyError::Broken(cause) => {
                Self::new(ProblemType::MalformedBody, "the body broke off before its end").because(cause)
            }
        }
    }
}

/// Why another version of a plugin was not put in the place of the present one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LifecycleError {
    /// No plugin of that name serves.
    #[error("no plugin has this name; `forebay status` lists them")]
    NoPlugin,
    /// There is nothing to promote.
    #[error("the plugin has no candidate: set `shadow` in its entry and reload")]
    NoCandidate,
    /// There is nothing to go back to.
    #[error("no other version of the plugin served well since this node started")]
    NothingBefore,
    /// The version does not load.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// What keeps a node from starting, or a reload from being taken.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration file is wrong.
    #[error("{0}")]
    Config(#[from] forebay_config::Mistakes),
    /// A file that the configuration names could not be used.
    #[error("{key}: {path}: {reason}")]
    File {
        /// Key path in the configuration.
        key: String,
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A plugin was refused.
    #[error("plugins: `{name}`: {reason}")]
    Plugin {
        /// The plugin's name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A function or a middleware was refused.
    #[error("functions: `{name}`: {reason}")]
    Function {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A sealing key cannot be used.
    #[error("keys: {0}")]
    Key(String),
    /// Nobody guards a route.
    #[error(
        "routes: `{0}`: none of its policies looks at requests, so anybody could use it: add one, or write `access = \"public\"`"
    )]
    Unguarded(String),
    /// A plugin would be got around.
    #[error(
        "routes: `{route}`: policy `{plugin}` looks into bodies and would not see the messages of a WebSocket: give those a route of their own"
    )]
    Blind {
        /// The route's name.
        route: String,
        /// The plugin's name.
        plugin: String,
    },
    /// The policy runtime could not start.
    #[error("policy runtime: {0}")]
    Policy(String),
    /// A listener or TLS set-up failed.
    #[error("{0}")]
    Http(#[from] forebay_http::HttpError),
    /// The operating system refused something.
    #[error("{what}: {reason}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        reason: std::io::Error,
    },
}
