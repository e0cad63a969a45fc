//! From what the file says to what the program believes. The only constructor of `Config`.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use forebay_config::{Check, Loaded, Mistakes, did_you_mean};

use super::file::{self, File};
use super::{Balance, Certificate, Config, Limits, Listen, Pop, Telemetry};

mod functions;
mod identity;
mod parts;
mod routes;
mod services;
mod trust;

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
        policy_instances: file.policy.instances,
        function_instances: reader.function_instances(file.policy.function_instances),
        policy_tenants: file.policy.tenants,
        policy_state: reader.policy_state(&file.policy),
        signers: reader.signers(&file.policy),
        balance: reader.balance(&file.balance),
        tokens: reader.tokens(&file.tokens, file.policy.state_dir.as_deref()),
        issuers: reader.each(&file.issuers, "issuers", Reader::issuer),
        keys: file.keys.iter().map(|key| (key.name.clone(), folder.join(&key.file))).collect(),
        plugins: reader.each(&file.plugins, "plugins", |r, at, plugin| r.plugin(at, plugin, &names, &file)),
        functions: reader.each(&file.functions, "functions", |r, at, function| r.function(at, function, &file.policy)),
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
    functions: BTreeSet<String>,
    regions: BTreeSet<String>,
    jurisdictions: BTreeSet<String>,
}

impl Names {
    fn collect(reader: &mut Reader<'_>, file: &File) -> Self {
        reader.unique(file.routes.iter().map(|r| &r.name), "routes");
        reader.unique(file.issuers.iter().map(|i| &i.issuer), "issuers");
        reader.tenants_apart(&file.issuers);
        reader.journals_apart(&file.plugins);
        Self {
            keys: reader.unique(file.keys.iter().map(|k| &k.name), "keys"),
            plugins: reader.unique(file.plugins.iter().map(|p| &p.name), "plugins"),
            functions: reader.unique(file.functions.iter().map(|f| &f.name), "functions"),
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
        Listen {
            address: listen.address,
            certificate,
            clients: self.clients(listen),
            origins: self.origins(&listen.origins),
        }
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
            answer_bytes: self.body_bytes("limits.answer_bytes", limits.answer_bytes, limits),
            websocket_message_bytes: self.nonzero("limits.websocket_message_bytes", limits.websocket_message_bytes),
            stream: self.millis("limits.stream_ms", limits.stream_ms),
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
}

fn telemetry(telemetry: &file::Telemetry) -> Telemetry {
    Telemetry { format: telemetry.format, filter: telemetry.filter.clone().unwrap_or_else(|| "info".into()) }
}

fn list(names: &BTreeSet<String>) -> String {
    if names.is_empty() { "none".into() } else { names.iter().cloned().collect::<Vec<_>>().join(", ") }
}
