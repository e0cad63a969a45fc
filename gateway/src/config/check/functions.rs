//! Functions and middleware: components for `wasi:http`.

use std::collections::BTreeSet;
use std::str::FromStr;

use forebay_wasi_http::{Grant, Origin};

use super::{Names, Reader};
use crate::config::file;
use crate::config::{Function, FunctionTarget};

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

    pub(super) fn function(&mut self, at: &str, function: &file::Function, pool: u32) -> Option<Function> {
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
            grants,
            origins,
            env: function.env.clone(),
            deadline: function.deadline_ms.map(|ms| self.millis(&format!("{at}.deadline_ms"), ms)),
            lifetime: function.lifetime_ms.map(|ms| self.millis(&format!("{at}.lifetime_ms"), ms)),
            memory_bytes: function.memory_bytes,
            body_bytes: function.body_bytes,
            instances: function.instances,
        })
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
        let reaches_out = functions.iter().any(|one| one.name == *name && !one.origins.is_empty());
        Some(FunctionTarget { name: name.clone(), forward_authorization: route.forward_authorization, reaches_out })
    }
}
