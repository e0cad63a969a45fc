//! Functions and middleware: components for `wasi:http`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;

use forebay_wasi_http::{Grant, Origin};

use super::{Names, Reader};
use crate::config::file;
use crate::config::{Function, FunctionTarget, Trust};

const GRANTS: &str = "of wasi-http, clocks, random, stdio";
/// Requests that may be inside functions at once; the instances live in what the policy runtime leaves of the mappings.
const INSTANCES_MAX: u32 = 1_000;

impl Reader<'_> {
    pub(super) fn function_instances(&mut self, instances: u32) -> u32 {
        if !(1..=INSTANCES_MAX).contains(&instances) {
            self.check.mistake("policy.function_instances", "must be from 1 to 1000", None);
        }
        instances
    }

    pub(super) fn function(&mut self, at: &str, function: &file::Function, policy: &file::Policy) -> Option<Function> {
        let pool = policy.function_instances;
        if function.component.as_os_str().is_empty() {
            self.check.mistake(format!("{at}.component"), "is missing", Some("path of a .wasm component".into()));
        }
        if function.instances.is_some_and(|own| own == 0 || own > pool) {
            let message = format!("must be from 1 to `policy.function_instances`, {pool}");
            self.check.mistake(format!("{at}.instances"), message, None);
        }
        for (key, value) in [("memory_bytes", function.memory_bytes), ("body_bytes", function.body_bytes)] {
            if value == Some(0) {
                self.check.mistake(format!("{at}.{key}"), "must be at least 1", None);
            }
        }
        let grants = self.function_grants(at, &function.grants);
        let origins = self.function_origins(at, &function.origins, grants.contains(&Grant::WasiHttp));
        Some(Function {
            name: function.name.clone(),
            component: self.folder.join(&function.component),
            trust: self.function_trust(at, function, policy),
            grants,
            origins,
            outbound_ca: self.function_ca(at, function),
            env: function.env.clone(),
            deadline: function.deadline_ms.map(|ms| self.millis(&format!("{at}.deadline_ms"), ms)),
            lifetime: function.lifetime_ms.map(|ms| self.millis(&format!("{at}.lifetime_ms"), ms)),
            memory_bytes: function.memory_bytes,
            body_bytes: function.body_bytes,
            instances: function.instances,
            quarantine_after: function.quarantine_after,
        })
    }

    /// Functions are signed as plugins are.
    fn function_trust(&mut self, at: &str, function: &file::Function, policy: &file::Policy) -> Trust {
        let as_plugin = file::Plugin {
            name: function.name.clone(),
            sha256: function.sha256.clone(),
            version: function.version.clone(),
            signed_name: function.signed_name.clone(),
            allow_downgrade: function.allow_downgrade,
            ..file::Plugin::default()
        };
        self.trust(at, &as_plugin, policy)
    }

    fn function_ca(&mut self, at: &str, function: &file::Function) -> Option<PathBuf> {
        let ca = function.outbound_ca.as_ref()?;
        if function.origins.is_empty() {
            let hint = "name its `origins`, or take it out";
            self.check.mistake(format!("{at}.outbound_ca"), "has no effect", Some(hint.into()));
        }
        Some(self.folder.join(ca))
    }

    fn function_grants(&mut self, at: &str, names: &[String]) -> BTreeSet<Grant> {
        let mut grants = BTreeSet::new();
        for (index, name) in names.iter().enumerate() {
            match Grant::from_str(name) {
                Ok(grant) => drop(grants.insert(grant)),
                Err(_) => {
                    let message = format!("no grant is named `{name}`");
                    self.check.mistake(format!("{at}.grants[{index}]"), message, Some(GRANTS.into()));
                }
            }
        }
        grants
    }

    fn function_origins(&mut self, at: &str, texts: &[String], granted: bool) -> Vec<Origin> {
        if granted == texts.is_empty() {
            let message = "belongs with the grant `wasi-http`: neither is of use without the other";
            self.check.mistake(format!("{at}.origins"), message, None);
        }
        let mut origins = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let at = format!("{at}.origins[{index}]");
            if self.base_url(&at, text).is_none() {
                continue;
            }
            match Origin::from_str(text) {
                Ok(origin) => origins.push(origin),
                Err(_) => self.check.mistake(&at, "is not an origin", Some("such as https://host:port".into())),
            }
        }
        origins
    }

    /// The function that answers a route in an origin's place.
    pub(super) fn function_target(
        &mut self,
        at: &str,
        route: &file::Route,
        names: &Names,
        functions: &[file::Function],
    ) -> Option<FunctionTarget> {
        let name = route.function.as_ref()?;
        self.known(&format!("{at}.function"), name, &names.functions, "function");
        if route.origin.is_some() {
            let hint = "a function that asks others lists them in its own `origins`";
            self.check.mistake(format!("{at}.origin"), "cannot stand beside `function`", Some(hint.into()));
        }
        let is_here = |one: &&file::Function| one.name == *name || route.middleware.contains(&one.name);
        let reaches_out = functions.iter().filter(is_here).any(|one| !one.origins.is_empty());
        Some(FunctionTarget { name: name.clone(), forward_authorization: route.forward_authorization, reaches_out })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::path::Path;

    use crate::Config;
    use crate::config::Target;

    fn parse(policy: &str, function: &str, route: &str) -> Result<Config, String> {
        let text = format!(
            "listen = {{ development_ca = \".\" }}\n[policy]\n{policy}\n\
             [[functions]]\nname = \"inner\"\ncomponent = \"a.wasm\"\n{function}\n\
             [[functions]]\nname = \"asks\"\ncomponent = \"b.wasm\"\ngrants = [\"wasi-http\"]\n\
             origins = [\"https://api.test\"]\noutbound_ca = \"ca.pem\"\n\
             [[functions]]\nname = \"quiet\"\ncomponent = \"c.wasm\"\n\
             [[routes]]\nname = \"r\"\npath = \"/\"\ndialect = \"http\"\nfunction = \"inner\"\naccess = \"public\"\n{route}\n"
        );
        Config::parse("x.toml", &text, Path::new("/etc/forebay")).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn a_route_reaches_out_with_its_function_and_with_its_middleware() {
        for (function, route, expected) in [
            ("", "", false),
            ("", "middleware = [\"quiet\"]", false),
            ("", "middleware = [\"quiet\", \"asks\"]", true),
            ("grants = [\"wasi-http\"]\norigins = [\"https://api.test\"]", "", true),
        ] {
            let config = parse("", function, route).unwrap();
            let Some(Target::Function(target)) = config.routes.first().map(|route| &route.target) else { panic!() };
            assert_eq!(target.reaches_out, expected, "{function} {route}");
        }
    }

    #[test]
    fn functions_are_pinned_and_signed_as_plugins_are() {
        let policy = "state_dir = 's'\nsigners = ['p.pub']";
        let config = parse(policy, "version = '1.2.0'\nallow_downgrade = true\nsigned_name = 'greeter'", "").unwrap();
        let trust = &config.functions.first().unwrap().trust;
        assert_eq!((trust.signed_name.as_str(), trust.allow_downgrade), ("greeter", true));
        assert_eq!(config.functions.last().unwrap().trust.signed_name, "quiet");
        for (policy, function, at) in [
            ("", "version = '1.2.0'", "functions[0].version"),
            ("", "signed_name = 'b'", "functions[0].signed_name"),
            (policy, "version = 'one'", "functions[0].version"),
            ("", "sha256 = 'abc'", "functions[0].sha256"),
            ("", "outbound_ca = 'ca.pem'", "functions[0].outbound_ca"),
        ] {
            let told = parse(policy, function, "").unwrap_err();
            assert!(told.contains(at), "{at} not in:\n{told}");
        }
    }
}
