//! Routes: what is served, and how. Deny unless allowed.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{Names, Reader};
use crate::config::file::{self, File};
use crate::config::{CacheRule, InferenceTarget, OriginTarget, Route, Scope, Target};

/// Longest freshness: a year, as HTTP has it.
const TTL_MAX_S: u64 = 31_536_000;

impl Reader<'_> {
    pub(super) fn route(&mut self, at: &str, route: &file::Route, names: &Names, file: &File) -> Option<Route> {
        self.all_known(&format!("{at}.policies"), &route.policies, &names.plugins, "plugin");
        self.access(at, route);
        if !route.path.starts_with('/') {
            self.check.mistake(format!("{at}.path"), "must start with `/`", None);
        }
        self.all_known(&format!("{at}.middleware"), &route.middleware, &names.functions, "function");
        self.websocket(at, route);
        let target = match route.dialect.as_deref() {
            Some("oip") => Target::Inference(self.inference(at, route, names, file)),
            Some("http") if route.function.is_some() => {
                self.no_inference(at, route);
                Target::Function(self.function_target(at, route, names, &file.functions)?)
            }
            Some("http") => Target::Origin(self.origin(at, route)?),
            Some(other) => {
                let message = format!("`{other}` is not a dialect");
                self.check.mistake(format!("{at}.dialect"), &message, Some("one of oip, http".into()));
                return None;
            }
            None => {
                self.check.mistake(format!("{at}.dialect"), "is missing", Some("one of oip, http".into()));
                return None;
            }
        };
        Some(Route {
            name: route.name.clone(),
            hosts: route.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            path: route.path.clone(),
            methods: self.methods(at, &route.methods),
            policies: route.policies.clone(),
            public: route.access.is_some(),
            target,
            middleware: route.middleware.clone(),
            request: match route.request_ms {
                Some(own) => self.millis(&format!("{at}.request_ms"), own),
                None => self.millis("limits.request_ms", file.limits.request_ms),
            },
            body_bytes: match route.body_bytes {
                Some(own) => self.body_bytes(&format!("{at}.body_bytes"), own, &file.limits),
                None => self.body_bytes("limits.body_bytes", file.limits.body_bytes, &file.limits),
            },
            response_headers: self.headers(at, &route.response_headers),
            server_timing: route.server_timing,
        })
    }

    /// A body that is larger than the room for all of them would never be taken.
    pub(super) fn body_bytes(&mut self, at: &str, bytes: usize, limits: &file::Limits) -> usize {
        if bytes > limits.buffered_bytes {
            self.check.mistake(at, "is more than `limits.buffered_bytes`, the room for all bodies", None);
        }
        self.nonzero(at, bytes)
    }

    pub(super) fn access(&mut self, at: &str, route: &file::Route) {
        match (route.access.as_deref(), route.policies.is_empty()) {
            (None, false) | (Some("public"), _) => {}
            (None, true) => self.check.mistake(
                at,
                "has no policy, so anybody could use it",
                Some("name its `policies`, or write `access = \"public\"` if that is meant".into()),
            ),
            (Some(_), _) => self.check.mistake(format!("{at}.access"), "can only be `public`", None),
        }
    }

    pub(super) fn methods(&mut self, at: &str, names: &[String]) -> Vec<Method> {
        let mut methods = Vec::new();
        for (index, name) in names.iter().enumerate() {
            match Method::from_str(name) {
                Ok(Method::TRACE | Method::CONNECT) => {
                    self.check.mistake(format!("{at}.methods[{index}]"), "is never passed on", None);
                }
                Ok(method) => methods.push(method),
                Err(_) => self.check.mistake(format!("{at}.methods[{index}]"), "is not an HTTP method", None),
            }
        }
        methods
    }

    pub(super) fn headers(&mut self, at: &str, texts: &BTreeMap<String, String>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in texts {
            match (HeaderName::from_str(name), HeaderValue::from_str(value)) {
                (Ok(name), Ok(value)) => drop(headers.insert(name, value)),
                _ => self.check.mistake(format!("{at}.response_headers.{name}"), "is not a legal header", None),
            }
        }
        headers
    }

    pub(super) fn inference(&mut self, at: &str, route: &file::Route, names: &Names, file: &File) -> InferenceTarget {
        for (key, given) in [
            ("origin", route.origin.is_some()),
            ("function", route.function.is_some()),
            ("middleware", !route.middleware.is_empty()),
        ] {
            if given {
                self.check.mistake(format!("{at}.{key}"), "belongs to dialect `http`", None);
            }
        }
        if !route.path.ends_with("/v2/") {
            let hint = "the protocol's own first segment is `v2`: `/v2/`, or `/eu/v2/`";
            self.check.mistake(format!("{at}.path"), "must end in `/v2/` on dialect `oip`", Some(hint.into()));
        }
        self.all_known(&format!("{at}.regions"), &route.regions, &names.regions, "region");
        self.all_known(
            &format!("{at}.jurisdictions"),
            &route.jurisdictions,
            &names.jurisdictions,
            "region's jurisdiction",
        );
        let cache = route.cache.as_ref().and_then(|cache| self.cache_rule(at, cache));
        if cache.is_some() && !route.jurisdictions.is_empty() && !route.jurisdictions.contains(&file.pop.jurisdiction) {
            let hint = format!(
                "this PoP says `pop.jurisdiction = \"{}\"`: a copy kept here would leave the route's areas",
                file.pop.jurisdiction
            );
            self.check.mistake(format!("{at}.cache"), "cannot be kept outside the route's jurisdictions", Some(hint));
        }
        if file.regions.is_empty() {
            self.check.mistake(at, "has no region to ask", Some("add a [[regions]] entry".into()));
        }
        InferenceTarget {
            models: route.models.clone(),
            regions: route.regions.clone(),
            jurisdictions: route.jurisdictions.clone(),
            cache,
        }
    }

    pub(super) fn cache_rule(&mut self, at: &str, cache: &file::RouteCache) -> Option<CacheRule> {
        let scope = match cache.scope.as_deref() {
            None | Some("tenant") => Scope::Tenant,
            Some("public") => Scope::Public,
            Some(other) => {
                let message = format!("`{other}` is not a scope");
                self.check.mistake(format!("{at}.cache.scope"), &message, Some("one of tenant, public".into()));
                return None;
            }
        };
        match cache.ttl_s {
            Some(ttl_s @ 1..=TTL_MAX_S) => Some(CacheRule { ttl: Duration::from_secs(ttl_s), scope }),
            _ => {
                let hint = "how many seconds an answer stays fresh";
                self.check.mistake(
                    format!("{at}.cache.ttl_s"),
                    "must be from 1 to 31536000, a year",
                    Some(hint.into()),
                );
                None
            }
        }
    }

    /// Only an origin can be asked for a WebSocket: functions know whole requests and answers.
    fn websocket(&mut self, at: &str, route: &file::Route) {
        let fits = route.dialect.as_deref() == Some("http") && route.function.is_none() && route.middleware.is_empty();
        if route.websocket && !fits {
            let hint = "functions cannot see messages: give WebSockets a route of their own";
            let message = "needs dialect `http` and an `origin` without functions";
            self.check.mistake(format!("{at}.websocket"), message, Some(hint.into()));
        }
    }

    /// What belongs to inferences does not stand on other routes.
    fn no_inference(&mut self, at: &str, route: &file::Route) {
        for (key, given) in [
            ("models", !route.models.is_empty()),
            ("regions", !route.regions.is_empty()),
            ("jurisdictions", !route.jurisdictions.is_empty()),
            ("cache", route.cache.is_some()),
        ] {
            if given {
                self.check.mistake(format!("{at}.{key}"), "belongs to dialect `oip`", None);
            }
        }
    }

    pub(super) fn origin(&mut self, at: &str, route: &file::Route) -> Option<OriginTarget> {
        self.no_inference(at, route);
        let Some(origin) = &route.origin else {
            let hint = "where requests go, such as https://host:port, or a `function`";
            self.check.mistake(format!("{at}.origin"), "is missing", Some(hint.into()));
            return None;
        };
        let url = self.base_url(&format!("{at}.origin"), origin)?;
        let (forward_authorization, websocket) = (route.forward_authorization, route.websocket);
        Some(OriginTarget { url, forward_authorization, websocket })
    }
}
