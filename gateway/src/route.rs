//! Stage `route`: host, path and method become a route. Pure; built once per configuration.

use std::sync::Arc;

use forebay_http::ProblemType;
use http::request::Parts;

use crate::config::Target;
use crate::error::Refusal;
use crate::policy::Chain;
use crate::upstream::proxy::Origin;

/// One route with what its requests need.
pub(crate) struct Route {
    pub(crate) config: crate::config::Route,
    pub(crate) chain: Chain,
    pub(crate) origin: Option<Origin>,
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
            Target::Origin(_) => path,
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
    /// 404 where no route has the host and path, 405 where one has but not for this method.
    pub(crate) fn find(&self, host: &str, head: &Parts) -> Result<Arc<Route>, Refusal> {
        let path = head.uri.path();
        let mut allowed: Vec<&str> = Vec::new();
        for route in self.routes.iter().filter(|route| has_host(route, host) && has_path(route, path)) {
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
