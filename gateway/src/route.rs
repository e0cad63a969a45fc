//! Stage `route`: host, path and method become a route. Pure; built once per configuration.

use std::sync::Arc;

use forebay_http::ProblemType;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::config::Target;
use crate::error::Refusal;
use crate::function::Stack;
use crate::policy::Chain;
use crate::telemetry::metrics::RouteMetrics;
use crate::upstream::proxy::Origin;

/// One route with what its requests need.
pub(crate) struct Route {
    pub(crate) config: crate::config::Route,
    pub(crate) chain: Arc<Chain>,
    pub(crate) origin: Option<Arc<Origin>>,
    /// Functions in an origin's place or in front of it.
    pub(crate) stack: Stack,
    pub(crate) metrics: RouteMetrics,
}

impl Route {
    /// Path below the route's prefix, beginning with `/`: what a dialect reads.
    pub(crate) fn inner_path<'p>(&self, path: &'p str) -> &'p str {
        match &self.config.target {
            // The prefix ends in the dialect's own first segment (`/v2/`), which belongs to the dialect.
            Target::Inference(_) => {
                let base = self.config.path.trim_end_matches('/').rfind('/').unwrap_or(0);
                path.get(base..).unwrap_or(path)
            }
            Target::Origin(_) | Target::Function(_) => path,
        }
    }
}

/// All routes, the most specific first.
pub(crate) struct RouteTable {
    routes: Vec<Arc<Route>>,
}

impl RouteTable {
    /// Orders the routes: longer paths first, then those that name hosts, then as written.
    pub(crate) fn new(mut routes: Vec<Arc<Route>>) -> Self {
        routes.sort_by_key(|route| (std::cmp::Reverse(route.config.path.len()), route.config.hosts.is_empty()));
        Self { routes }
    }

    /// The route of a request to `host`, a name in lower case without port.
    ///
    /// # Errors
    /// 404 where no route has the host and path, 405 where one has but not for this method, 400 for a path that could be
    /// read in two ways.
    pub(crate) fn find(&self, host: &str, head: &Parts) -> Result<Arc<Route>, Refusal> {
        let path = head.uri.path();
        one_reading(path)?;
        let mut fitting = self.routes.iter().filter(|route| has_host(route, host) && has_path(route, path)).peekable();
        let nearest = fitting.peek().map_or(0, |route| route.config.path.len());
        let mut allowed: Vec<&str> = Vec::new();
        // A less specific route must not answer what a more specific one refuses: it may be guarded less.
        for route in fitting.take_while(|route| route.config.path.len() == nearest) {
            if route.config.methods.is_empty() || route.config.methods.contains(&head.method) {
                return Ok(Arc::clone(route));
            }
            allowed.extend(route.config.methods.iter().map(http::Method::as_str));
        }
        Err(if allowed.is_empty() {
            Refusal::new(ProblemType::NotFound, "no route has this host and path")
        } else {
            Refusal::method_not_allowed(&allowed.join(", "))
        })
    }

    /// Every route.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter()
    }
}

fn has_host(route: &Route, host: &str) -> bool {
    route.config.hosts.is_empty() || route.config.hosts.iter().any(|wanted| wanted == host)
}

fn has_path(route: &Route, path: &str) -> bool {
    let wanted = route.config.path.as_str();
    match wanted.strip_suffix('/') {
        Some(stem) => path.starts_with(wanted) || path == stem,
        None => path == wanted,
    }
}

/// Refuses a path that whoever is behind us could read as another one: routes are found by the path as it is written, so
/// a second reading could get around the policies of a route (RFC 3986, sections 5.2.4 and 6.2.2).
fn one_reading(path: &str) -> Result<(), Refusal> {
    let refuse = |what: &str| Err(Refusal::new(ProblemType::BadRequest, format!("the path holds {what}")));
    if path.contains('\\') {
        return refuse("a backslash");
    }
    if path.contains("//") {
        return refuse("an empty segment");
    }
    let mut segments = path.split('/').map(|segment| percent_decode_str(segment).collect::<Vec<u8>>());
    if segments.any(|segment| matches!(segment.as_slice(), b"." | b"..")) {
        return refuse("a dot segment");
    }
    for escape in path.split('%').skip(1) {
        match escape.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            None => return refuse("a `%` without two hexadecimal digits"),
            Some(b'/' | b'\\' | 0) => return refuse("an escaped slash, backslash or NUL"),
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                return refuse("an escape of a character that needs none");
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_with_two_readings_are_refused() {
        for path in [
            "/a/../b",
            "/a/./b",
            "/..",
            "/a/%2e%2e/b",
            "/a/.%2E/b",
            "//a",
            "/a//b",
            "/a\\b",
            "/a%2fb",
            "/a%5Cb",
            "/%61",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%00",
        ] {
            assert!(one_reading(path).is_err(), "{path}");
        }
        for path in ["/", "/v2/models/a%20b/infer", "/a/...", "/a/..b", "/%C3%A4", "/a;b=c", "/a.b/"] {
            assert!(one_reading(path).is_ok(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(path in "\\PC*") {
            let _ = one_reading(&path);
        }
    }
}
