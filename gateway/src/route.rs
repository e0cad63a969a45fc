//! Stage `route`: host, path and method become a route. Pure; built once per configuration.

use std::sync::Arc;

use forebay_http::ProblemType;
use http::Method;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::config::Target;
use crate::error::Refusal;
use crate::function::Stack;
use crate::policy::Chain;
use crate::telemetry::metrics::RouteMetrics;
use crate::upstream::proxy::Origin;

/// What is passed to nobody: it would be an echo of the fields that only whoever is behind may see, or a tunnel past every
/// policy (RFC 9110, sections 9.3.6 and 9.3.8).
const NEVER: [Method; 2] = [Method::TRACE, Method::CONNECT];
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

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
        routes.sort_by_key(|route| specificity(route));
        Self { routes }
    }

    /// The route of a request to `host`, a name in lower case without port.
    ///
    /// # Errors
    /// 404 where no route has the host and path, 405 where one has but not for this method, and for TRACE and CONNECT
    /// anywhere, 400 for a path that could be read in two ways.
    pub(crate) fn find(&self, host: &str, head: &Parts) -> Result<Arc<Route>, Refusal> {
        if NEVER.contains(&head.method) {
            return Err(Refusal::method_not_allowed(METHODS));
        }
        let path = head.uri.path();
        one_reading(path)?;
        let mut fitting = self.routes.iter().filter(|route| has_host(route, host) && has_path(route, path)).peekable();
        let nearest = fitting.peek().map(|route| specificity(route));
        let mut allowed: Vec<&str> = Vec::new();
        // A less specific route must not answer what a more specific one refuses: it may be guarded less.
        for route in fitting.take_while(|route| Some(specificity(route)) == nearest) {
            if route.config.methods.is_empty() || route.config.methods.contains(&head.method) {
                return Ok(Arc::clone(route));
            }
            allowed.extend(route.config.methods.iter().map(Method::as_str));
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

/// Less is more specific.
fn specificity(route: &Route) -> (std::cmp::Reverse<usize>, bool) {
    (std::cmp::Reverse(route.config.path.len()), route.config.hosts.is_empty())
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
/// a second reading could get around the policies of a route (RFC 3986, sections 5.2.4 and 6.2.2). Some servers cut what
/// follows a `;` off a segment before they look (section 3.3 leaves it to them).
fn one_reading(path: &str) -> Result<(), Refusal> {
    let refuse = |what: &str| Err(Refusal::new(ProblemType::BadRequest, format!("the path holds {what}")));
    if path.contains('\\') {
        return refuse("a backslash");
    }
    if path.contains(';') {
        return refuse("a `;`, which must be escaped");
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
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;
    use crate::telemetry::metrics::Metrics;

    /// Routes with these names and keys, all to the same origin.
    fn table(routes: &[(&str, &str)]) -> RouteTable {
        let mut text = "listen = { address = \"127.0.0.1:0\", development_ca = \".\" }\n".to_owned();
        for (name, keys) in routes {
            text += &format!(
                "[[routes]]\nname = {name:?}\ndialect = \"http\"\norigin = \"http://127.0.0.1:1\"\naccess = \"public\"\n{keys}\n"
            );
        }
        let metrics = Arc::new(Metrics::default());
        let route = |config: crate::config::Route| Route {
            metrics: metrics.route(&config.name),
            chain: Arc::new(Chain::new(Vec::new(), Arc::default(), Arc::clone(&metrics))),
            origin: None,
            stack: Stack::default(),
            config,
        };
        let config = Config::parse("forebay.toml", &text, Path::new("/tmp")).unwrap();
        RouteTable::new(config.routes.into_iter().map(|config| Arc::new(route(config))).collect())
    }

    /// The route of a request, or why there is none.
    fn find(table: &RouteTable, method: &str, host: &str, path: &str) -> Result<String, &'static str> {
        let (head, ()) = http::Request::builder().method(method).uri(path).body(()).unwrap().into_parts();
        table.find(host, &head).map(|route| route.config.name.clone()).map_err(|refusal| refusal.reason())
    }

    #[test]
    fn a_less_specific_route_never_answers_what_a_more_specific_one_refuses() {
        let table = table(&[
            ("everybody", "path = \"/admin/\""),
            ("guarded", "path = \"/admin/\"\nhosts = [\"a.test\"]\nmethods = [\"GET\"]"),
            ("also", "path = \"/admin/\"\nhosts = [\"a.test\"]\nmethods = [\"PUT\"]"),
            ("all", "path = \"/\""),
        ]);
        assert_eq!(find(&table, "GET", "a.test", "/admin/x").unwrap(), "guarded");
        assert_eq!(find(&table, "PUT", "a.test", "/admin/x").unwrap(), "also");
        assert_eq!(find(&table, "POST", "a.test", "/admin/x"), Err("method-not-allowed"));
        assert_eq!(find(&table, "POST", "b.test", "/admin/x").unwrap(), "everybody");
        assert_eq!(find(&table, "POST", "a.test", "/").unwrap(), "all");
        assert_eq!(find(&table, "TRACE", "a.test", "/"), Err("method-not-allowed"));
        assert_eq!(find(&table, "GET", "a.test", "/admin;x/"), Err("bad-request"));
    }

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
            "/admin;x/",
            "/a/..;/b",
        ] {
            assert!(one_reading(path).is_err(), "{path}");
        }
        for path in ["/", "/v2/models/a%20b/infer", "/a/...", "/a/..b", "/%C3%A4", "/a%3Bb=c", "/a.b/"] {
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
