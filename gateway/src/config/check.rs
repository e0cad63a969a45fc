//! From what the file says to what the program believes. The only constructor of `Config`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use forebay_config::{Check, Loaded, Mistakes, did_you_mean};
use forebay_policy::Capability;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jsonwebtoken::Algorithm;
use url::{Host, Url};

use super::file::{self, File};
use super::{
    Balance, CacheRule, Certificate, Config, InferenceTarget, Issuer, JwksSource, Limits, Listen, OriginTarget, Plugin,
    Pop, Region, Route, Scope, Target, Telemetry,
};

/// Longest freshness: a year, as HTTP has it.
const TTL_MAX_S: u64 = 31_536_000;

/// Checks a loaded file; relative paths are taken from `folder`.
pub(super) fn check(loaded: Loaded<File>, folder: &Path) -> Result<Config, Mistakes> {
    let Loaded { value: file, source } = loaded;
    let mut reader = Reader { check: Check::new(&source), folder };
    let names = Names::collect(&mut reader, &file);
    let config = Config {
        listen: reader.listen(&file.listen),
        admin: reader.admin(&file.admin),
        limits: reader.limits(&file.limits),
        cache_memory_bytes: file.cache.memory_bytes,
        telemetry: telemetry(&file.telemetry),
        balance: reader.balance(&file.balance),
        issuers: reader.each(&file.issuers, "issuers", Reader::issuer),
        keys: file.keys.iter().map(|key| (key.name.clone(), folder.join(&key.file))).collect(),
        plugins: reader.each(&file.plugins, "plugins", |r, at, plugin| r.plugin(at, plugin, &names)),
        regions: reader.each(&file.regions, "regions", Reader::region),
        routes: reader.each(&file.routes, "routes", |r, at, route| r.route(at, route, &names, &file)),
        pop: Pop { name: file.pop.name, jurisdiction: Some(file.pop.jurisdiction).filter(|j| !j.is_empty()) },
    };
    reader.check.finish()?;
    Ok(config)
}

/// The names that other keys may refer to.
struct Names {
    keys: BTreeSet<String>,
    plugins: BTreeSet<String>,
    regions: BTreeSet<String>,
    jurisdictions: BTreeSet<String>,
}

impl Names {
    fn collect(reader: &mut Reader<'_>, file: &File) -> Self {
        reader.unique(file.routes.iter().map(|r| &r.name), "routes");
        reader.unique(file.issuers.iter().map(|i| &i.issuer), "issuers");
        reader.tenants_apart(&file.issuers);
        Self {
            keys: reader.unique(file.keys.iter().map(|k| &k.name), "keys"),
            plugins: reader.unique(file.plugins.iter().map(|p| &p.name), "plugins"),
            regions: reader.unique(file.regions.iter().map(|r| &r.name), "regions"),
            jurisdictions: file.regions.iter().map(|r| r.jurisdiction.clone()).collect(),
        }
    }
}

struct Reader<'a> {
    check: Check<'a>,
    folder: &'a Path,
}

impl Reader<'_> {
    fn each<T, U>(
        &mut self,
        items: &[T],
        table: &str,
        mut read: impl FnMut(&mut Self, &str, &T) -> Option<U>,
    ) -> Vec<U> {
        let mut read_all = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            read_all.extend(read(self, &format!("{table}[{index}]"), item));
        }
        read_all
    }

    fn unique<'n>(&mut self, names: impl Iterator<Item = &'n String>, table: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let key = if table == "issuers" { "issuer" } else { "name" };
        for (index, name) in names.enumerate() {
            let at = format!("{table}[{index}].{key}");
            if name.is_empty() {
                self.check.mistake(&at, "is missing", Some(format!("every entry of `{table}` needs one")));
            } else if !seen.insert(name.clone()) {
                self.check.mistake(&at, format!("`{name}` stands here twice"), None);
            }
        }
        seen
    }

    /// Two issuers must not be able to name the same tenant: its answers and keys would be both's.
    fn tenants_apart(&mut self, issuers: &[file::Issuer]) {
        for (index, issuer) in issuers.iter().enumerate() {
            let clash = issuers
                .iter()
                .enumerate()
                .find(|(other, them)| *other != index && issuer.tenant_prefix.starts_with(them.tenant_prefix.as_str()));
            if let Some((_, them)) = clash {
                let message = format!("cannot be told from the tenants of `{}`", them.issuer);
                let hint =
                    "give each of several issuers its own prefix, such as \"partner/\", none the beginning of another";
                self.check.mistake(format!("issuers[{index}].tenant_prefix"), message, Some(hint.into()));
            }
        }
    }

    fn known(&mut self, at: &str, name: &str, known: &BTreeSet<String>, what: &str) {
        if !known.contains(name) {
            let hint = did_you_mean(name, known.iter().map(String::as_str))
                .map(|near| format!("did you mean `{near}`?"))
                .or_else(|| Some(format!("known here: {}", list(known))));
            self.check.mistake(at, format!("no {what} is named `{name}`"), hint);
        }
    }

    fn all_known(&mut self, at: &str, names: &[String], known: &BTreeSet<String>, what: &str) {
        for (index, name) in names.iter().enumerate() {
            self.known(&format!("{at}[{index}]"), name, known, what);
        }
    }

    fn millis(&mut self, at: &str, value: u64) -> Duration {
        if value == 0 {
            self.check.mistake(at, "must be at least 1", None);
        }
        Duration::from_millis(value)
    }

    fn nonzero(&mut self, at: &str, value: usize) -> usize {
        if value == 0 {
            self.check.mistake(at, "must be at least 1", None);
        }
        value
    }

    fn listen(&mut self, listen: &file::Listen) -> Listen {
        let certificate = match (&listen.certificate, &listen.key, &listen.development_ca) {
            (Some(certificate), Some(key), None) => {
                Certificate::Files { certificate: self.folder.join(certificate), key: self.folder.join(key) }
            }
            (None, None, Some(folder)) => Certificate::Development(self.folder.join(folder)),
            _ => {
                let hint = "set `certificate` and `key`, or for development `development_ca = \"FOLDER\"` alone";
                self.check.mistake("listen", "needs one source of its certificate", Some(hint.into()));
                Certificate::Development(self.folder.to_path_buf())
            }
        };
        Listen { address: listen.address, certificate }
    }

    fn admin(&mut self, admin: &file::Admin) -> std::net::SocketAddr {
        if !admin.address.ip().is_loopback() {
            let hint = "the admin API has no login: bind it to 127.0.0.1 or [::1] and reach it through a tunnel";
            self.check.mistake("admin.address", "must be a loopback address", Some(hint.into()));
        }
        admin.address
    }

    fn limits(&mut self, limits: &file::Limits) -> Limits {
        Limits {
            listener: forebay_http::Limits {
                connections: self.nonzero("limits.connections", limits.connections),
                handshake: self.millis("limits.handshake_ms", limits.handshake_ms),
                header_read: self.millis("limits.header_read_ms", limits.header_read_ms),
                idle: self.millis("limits.idle_ms", limits.idle_ms),
                headers_count: self.nonzero("limits.headers", limits.headers),
                headers_bytes: self.header_bytes(limits.header_bytes),
                h2_streams: limits.http2_streams.max(1),
                drain: self.millis("limits.drain_ms", limits.drain_ms),
                ..forebay_http::Limits::default()
            },
            answer_bytes: self.nonzero("limits.answer_bytes", limits.answer_bytes),
            requests: self.nonzero("limits.requests", limits.requests),
            buffered_bytes: self.nonzero("limits.buffered_bytes", limits.buffered_bytes),
        }
    }

    fn header_bytes(&mut self, bytes: usize) -> usize {
        if bytes < 8 * 1024 {
            let hint = "tokens travel in headers; HTTP/1.1 is read through a buffer of this size";
            self.check.mistake("limits.header_bytes", "must be at least 8192", Some(hint.into()));
        }
        bytes
    }

    fn balance(&mut self, balance: &file::Balance) -> Balance {
        Balance {
            probe_interval: self.millis("balance.probe_interval_ms", balance.probe_interval_ms),
            probe_timeout: self.millis("balance.probe_timeout_ms", balance.probe_timeout_ms),
            eject_after: balance.eject_after.max(1),
            eject: self.millis("balance.eject_ms", balance.eject_ms),
            eject_max: self.millis("balance.eject_max_ms", balance.eject_max_ms),
            connect: self.millis("balance.connect_ms", balance.connect_ms),
            attempt: self.millis("balance.attempt_ms", balance.attempt_ms),
            retry_percent: balance.retry_percent,
            retry_burst: balance.retry_burst,
            latency_decay: self.millis("balance.latency_decay_ms", balance.latency_decay_ms),
        }
    }

    fn issuer(&mut self, at: &str, issuer: &file::Issuer) -> Option<Issuer> {
        if issuer.audiences.is_empty() {
            let hint = "a token made for another service must not open this one";
            self.check.mistake(format!("{at}.audiences"), "must name at least one audience", Some(hint.into()));
        }
        let tenant_claim = issuer.tenant_claim.clone().unwrap_or_else(|| "/tenant".into());
        if !tenant_claim.starts_with('/') {
            self.check.mistake(format!("{at}.tenant_claim"), "must be a JSON pointer such as `/tenant`", None);
        }
        Some(Issuer {
            issuer: issuer.issuer.clone(),
            audiences: issuer.audiences.clone(),
            algorithms: self.algorithms(at, &issuer.algorithms),
            jwks: self.jwks(at, issuer)?,
            leeway: Duration::from_secs(issuer.leeway_s.unwrap_or(30)),
            tenant_claim,
            tenant_prefix: issuer.tenant_prefix.clone(),
        })
    }

    fn algorithms(&mut self, at: &str, names: &[String]) -> Vec<Algorithm> {
        let at = format!("{at}.algorithms");
        if names.is_empty() {
            self.check.mistake(&at, "must name at least one of ES256, RS256, PS256, EdDSA", None);
        }
        let mut algorithms = Vec::new();
        for (index, name) in names.iter().enumerate() {
            match name.as_str() {
                "ES256" => algorithms.push(Algorithm::ES256),
                "RS256" => algorithms.push(Algorithm::RS256),
                "PS256" => algorithms.push(Algorithm::PS256),
                "EdDSA" => algorithms.push(Algorithm::EdDSA),
                _ => {
                    let hint = "one of ES256, RS256, PS256, EdDSA: shared secrets and unsigned tokens are not accepted";
                    self.check.mistake(
                        format!("{at}[{index}]"),
                        format!("`{name}` is not an accepted algorithm"),
                        Some(hint.into()),
                    );
                }
            }
        }
        algorithms
    }

    fn jwks(&mut self, at: &str, issuer: &file::Issuer) -> Option<JwksSource> {
        match (&issuer.jwks_file, &issuer.jwks_url) {
            (Some(file), None) => Some(JwksSource::File(self.folder.join(file))),
            (None, Some(url)) => {
                let at = format!("{at}.jwks_url");
                let url = self.url(&at, url)?;
                if url.scheme() != "https" {
                    self.check.mistake(&at, "must be an https address", None);
                }
                let refresh = Duration::from_millis(issuer.jwks_refresh_ms.unwrap_or(300_000).max(1_000));
                Some(JwksSource::Https { url, ca: issuer.jwks_ca.as_ref().map(|ca| self.folder.join(ca)), refresh })
            }
            _ => {
                self.check.mistake(at, "needs either `jwks_file` or `jwks_url`", None);
                None
            }
        }
    }

    fn plugin(&mut self, at: &str, plugin: &file::Plugin, names: &Names) -> Option<Plugin> {
        if plugin.component.as_os_str().is_empty() {
            self.check.mistake(format!("{at}.component"), "is missing", Some("path of a .wasm component".into()));
        }
        self.all_known(&format!("{at}.keys"), &plugin.keys, &names.keys, "key");
        let config = plugin.config.clone().unwrap_or_default();
        let config = match serde_json::to_string(&config) {
            Ok(text) => text,
            Err(error) => {
                self.check.mistake(format!("{at}.config"), format!("cannot be written as JSON: {error}"), None);
                return None;
            }
        };
        Some(Plugin {
            name: plugin.name.clone(),
            component: self.folder.join(&plugin.component),
            grants: self.grants(at, &plugin.grants),
            keys: plugin.keys.iter().cloned().collect(),
            config,
            deadline: plugin.deadline_ms.map(|ms| self.millis(&format!("{at}.deadline_ms"), ms)),
            memory_bytes: plugin.memory_bytes,
        })
    }

    fn grants(&mut self, at: &str, names: &[String]) -> BTreeSet<Capability> {
        let mut grants = BTreeSet::new();
        for (index, name) in names.iter().enumerate() {
            match Capability::from_str(name) {
                Ok(capability) => drop(grants.insert(capability)),
                Err(_) => self.check.mistake(
                    format!("{at}.grants[{index}]"),
                    format!("no capability is named `{name}`"),
                    Some("one of http, identity, sealing, log".into()),
                ),
            }
        }
        grants
    }

    fn region(&mut self, at: &str, region: &file::Region) -> Option<Region> {
        if region.jurisdiction.is_empty() {
            let hint = "the legal area the node stands in, such as `eu` or `us`";
            self.check.mistake(format!("{at}.jurisdiction"), "is missing", Some(hint.into()));
        }
        let identity = match (&region.certificate, &region.key) {
            (Some(certificate), Some(key)) => Some((self.folder.join(certificate), self.folder.join(key))),
            (None, None) => None,
            _ => {
                self.check.mistake(at, "`certificate` and `key` belong together", None);
                None
            }
        };
        Some(Region {
            name: region.name.clone(),
            url: self.base_url(&format!("{at}.url"), &region.url)?,
            jurisdiction: region.jurisdiction.clone(),
            penalty: Duration::from_millis(region.penalty_ms),
            ca: region.ca.as_ref().map(|ca| self.folder.join(ca)),
            identity,
        })
    }

    fn url(&mut self, at: &str, text: &str) -> Option<Url> {
        match Url::parse(text) {
            Ok(url) if url.has_host() => Some(url),
            Ok(_) => {
                self.check.mistake(at, "has no host", None);
                None
            }
            Err(error) => {
                self.check.mistake(at, format!("is not an address: {error}"), Some("such as https://host:port".into()));
                None
            }
        }
    }

    /// An address of scheme and host alone. Plain HTTP is for loopback.
    fn base_url(&mut self, at: &str, text: &str) -> Option<Url> {
        let url = self.url(at, text)?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => self.check.mistake(at, "must be https, since it leaves this machine", None),
            other => self.check.mistake(at, format!("scheme `{other}` is not http or https"), None),
        }
        if url.path() != "/" || url.query().is_some() || !url.username().is_empty() || url.password().is_some() {
            self.check.mistake(at, "must be a scheme, a host and a port alone", None);
        }
        Some(url)
    }

    fn route(&mut self, at: &str, route: &file::Route, names: &Names, file: &File) -> Option<Route> {
        self.all_known(&format!("{at}.policies"), &route.policies, &names.plugins, "plugin");
        self.access(at, route);
        if !route.path.starts_with('/') {
            self.check.mistake(format!("{at}.path"), "must start with `/`", None);
        }
        let target = match route.dialect.as_deref() {
            Some("oip") => Target::Inference(self.inference(at, route, names, file)),
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
            request: match route.request_ms {
                Some(own) => self.millis(&format!("{at}.request_ms"), own),
                None => self.millis("limits.request_ms", file.limits.request_ms),
            },
            body_bytes: match route.body_bytes {
                Some(own) => self.nonzero(&format!("{at}.body_bytes"), own),
                None => self.nonzero("limits.body_bytes", file.limits.body_bytes),
            },
            response_headers: self.headers(at, &route.response_headers),
        })
    }

    fn access(&mut self, at: &str, route: &file::Route) {
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

    fn methods(&mut self, at: &str, names: &[String]) -> Vec<Method> {
        let mut methods = Vec::new();
        for (index, name) in names.iter().enumerate() {
            match Method::from_str(name) {
                Ok(method) => methods.push(method),
                Err(_) => self.check.mistake(format!("{at}.methods[{index}]"), "is not an HTTP method", None),
            }
        }
        methods
    }

    fn headers(&mut self, at: &str, texts: &BTreeMap<String, String>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in texts {
            match (HeaderName::from_str(name), HeaderValue::from_str(value)) {
                (Ok(name), Ok(value)) => drop(headers.insert(name, value)),
                _ => self.check.mistake(format!("{at}.response_headers.{name}"), "is not a legal header", None),
            }
        }
        headers
    }

    fn inference(&mut self, at: &str, route: &file::Route, names: &Names, file: &File) -> InferenceTarget {
        if route.origin.is_some() {
            self.check.mistake(format!("{at}.origin"), "belongs to dialect `http`", None);
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

    fn cache_rule(&mut self, at: &str, cache: &file::RouteCache) -> Option<CacheRule> {
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

    fn origin(&mut self, at: &str, route: &file::Route) -> Option<OriginTarget> {
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
        let Some(origin) = &route.origin else {
            let hint = "where requests go, such as https://host:port";
            self.check.mistake(format!("{at}.origin"), "is missing", Some(hint.into()));
            return None;
        };
        let url = self.base_url(&format!("{at}.origin"), origin)?;
        Some(OriginTarget { url, forward_authorization: route.forward_authorization })
    }
}

fn telemetry(telemetry: &file::Telemetry) -> Telemetry {
    Telemetry { format: telemetry.format, filter: telemetry.filter.clone().unwrap_or_else(|| "info".into()) }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn list(names: &BTreeSet<String>) -> String {
    if names.is_empty() { "none".into() } else { names.iter().cloned().collect::<Vec<_>>().join(", ") }
}
