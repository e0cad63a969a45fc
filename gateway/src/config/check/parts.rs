//! Plugins and regions: what routes are put together from, and the addresses in them.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use forebay_policy::Capability;
use url::{Host, Url};

use super::{Names, Reader};
use crate::config::file::{self, File};
use crate::config::{Plugin, Region, Shadow};

impl Reader<'_> {
    pub(super) fn plugin(&mut self, at: &str, plugin: &file::Plugin, names: &Names, file: &File) -> Option<Plugin> {
        if plugin.component.as_os_str().is_empty() {
            self.check.mistake(format!("{at}.component"), "is missing", Some("path of a .wasm component".into()));
        }
        self.all_known(&format!("{at}.keys"), &plugin.keys, &names.keys, "key");
        let config = self.plugin_config(&format!("{at}.config"), plugin.config.as_ref())?;
        let shadow = plugin.shadow.as_ref().and_then(|shadow| self.shadow(at, plugin, shadow, &config, file));
        if plugin.name.contains('#') {
            self.check.mistake(format!("{at}.name"), "must not hold `#`", None);
        }
        let grants = self.grants(at, &plugin.grants);
        let reach = self.reach(at, plugin, &grants, names);
        Some(Plugin {
            name: plugin.name.clone(),
            component: self.folder.join(&plugin.component),
            trust: self.trust(at, plugin, &file.policy),
            grants,
            keys: plugin.keys.iter().cloned().collect(),
            counters: reach.counters,
            store: reach.store,
            outbound: reach.outbound,
            models: reach.models,
            jurisdictions: reach.jurisdictions,
            journal: reach.journal,
            config,
            deadline: plugin.deadline_ms.map(|ms| self.millis(&format!("{at}.deadline_ms"), ms)),
            memory_bytes: plugin.memory_bytes,
            memo_bytes: plugin.memo_bytes,
            ready: plugin.ready,
            instances: plugin.instances,
            quarantine_after: plugin.quarantine_after,
            shadow,
        })
    }

    /// What `configure` gets: JSON.
    fn plugin_config(&mut self, at: &str, config: Option<&toml::Table>) -> Option<String> {
        match serde_json::to_string(&config.cloned().unwrap_or_default()) {
            Ok(text) => Some(text),
            Err(error) => {
                self.check.mistake(at, format!("cannot be written as JSON: {error}"), None);
                None
            }
        }
    }

    fn shadow(
        &mut self,
        at: &str,
        plugin: &file::Plugin,
        shadow: &file::Shadow,
        config: &str,
        file: &File,
    ) -> Option<Shadow> {
        let at = format!("{at}.shadow");
        if shadow.component.as_os_str().is_empty() {
            self.check.mistake(format!("{at}.component"), "is missing", Some("path of a .wasm component".into()));
        }
        let percent = shadow.percent.unwrap_or(100);
        if !(1..=100).contains(&percent) {
            self.check.mistake(format!("{at}.percent"), "must be between 1 and 100", None);
        }
        let as_plugin = file::Plugin {
            sha256: shadow.sha256.clone(),
            version: shadow.version.clone(),
            component: shadow.component.clone(),
            ..plugin.clone()
        };
        let config = match &shadow.config {
            Some(own) => self.plugin_config(&format!("{at}.config"), Some(own))?,
            None => config.to_owned(),
        };
        let trust = self.trust(&at, &as_plugin, &file.policy);
        let component = self.folder.join(&shadow.component);
        Some(Shadow { component, trust, config, percent, effects: shadow.effects })
    }

    pub(super) fn grants(&mut self, at: &str, names: &[String]) -> BTreeSet<Capability> {
        let mut grants = BTreeSet::new();
        for (index, name) in names.iter().enumerate() {
            match Capability::from_str(name) {
                Ok(capability) => drop(grants.insert(capability)),
                Err(_) => self.check.mistake(
                    format!("{at}.grants[{index}]"),
                    format!("no capability is named `{name}`"),
                    Some(format!("one of {}", Capability::ALL.map(Capability::as_str).join(", "))),
                ),
            }
        }
        grants
    }

    pub(super) fn region(&mut self, at: &str, region: &file::Region) -> Option<Region> {
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

    pub(super) fn url(&mut self, at: &str, text: &str) -> Option<Url> {
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
    pub(super) fn base_url(&mut self, at: &str, text: &str) -> Option<Url> {
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
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
