//! From the configuration to the plugins that serve, with their candidates, and with what was decided about versions while
//! the node runs.

use std::collections::HashMap;
use std::sync::Arc;

use forebay_policy::{CallLimits, Plugin, PluginSpec, signature};

use super::Policy;
use super::lifecycle::Lifecycle;
use super::services::Standing;
use super::shadow::Shadow;
use super::store::{Admitted, Gatekeeper};
use crate::config::{self, Config};
use crate::edge::Lasting;
use crate::error::StartError;

/// Loads every plugin. What is still as it was among `before` lives on, with what it remembers; with `only`, every other
/// plugin does, whatever has become of its file.
///
/// # Errors
/// A plugin or a candidate that must not or cannot be loaded.
pub(crate) fn policies(
    config: &Config,
    lasting: &Lasting,
    before: &[Arc<Policy>],
    only: Option<&str>,
) -> Result<HashMap<String, Arc<Policy>>, StartError> {
    let gatekeeper = Gatekeeper::new(config, &lasting.store)?;
    let loader = Loader { gatekeeper, lasting, before };
    let mut loaded = HashMap::new();
    for (index, plugin) in config.plugins.iter().enumerate() {
        let stays = before.iter().find(|known| known.plugin.name() == plugin.name);
        let policy = match stays.filter(|_| only.is_some_and(|only| only != plugin.name)) {
            Some(stays) => Arc::clone(stays),
            None => loader.serving(&format!("plugins[{index}]"), plugin)?,
        };
        loaded.insert(plugin.name.clone(), policy);
    }
    Ok(loaded)
}

struct Loader<'a> {
    gatekeeper: Gatekeeper,
    lasting: &'a Lasting,
    before: &'a [Arc<Policy>],
}

impl Loader<'_> {
    /// The version that serves, with its candidate.
    fn serving(&self, at: &str, plugin: &config::Plugin) -> Result<Arc<Policy>, StartError> {
        let known = self.before.iter().find(|known| known.plugin.name() == plugin.name);
        let mut active = self.load(at, plugin, Standing::Active, known.map(|known| &known.plugin))?;
        let Some(shadow) = &plugin.shadow else {
            return self.may_serve(plugin, active);
        };
        let (at, candidate) = (format!("{at}.shadow"), plugin.candidate(shadow));
        let shown = known.and_then(|known| known.shadow.as_ref());
        let standing = Standing::Shadow { effects: shadow.effects };
        let beside = self.load(&at, &candidate, standing, shown.map(|shown| shown.candidate()))?;
        self.gatekeeper.check_candidate(&candidate, beside.verified.as_ref(), active.verified.as_ref())?;
        if self.lifecycle().is_promoted(&plugin.name, beside.plugin.digest()) {
            let known = known.map(|known| &known.plugin);
            return self.may_serve(&candidate, self.load(&at, &candidate, Standing::Active, known)?);
        }
        // What was found about another active version says nothing about this one.
        let compared = known.is_some_and(|known| known.plugin.digest() == active.plugin.digest());
        let (metrics, before) = (Arc::clone(&self.lasting.metrics), shown.filter(|_| compared).map(Arc::as_ref));
        active.shadow = Some(Arc::new(Shadow::new(beside.plugin, shadow.percent, metrics, before)));
        self.may_serve(plugin, active)
    }

    /// Checks the version of what is about to serve, unless it is put back on purpose.
    fn may_serve(&self, plugin: &config::Plugin, policy: Policy) -> Result<Arc<Policy>, StartError> {
        if !self.lifecycle().is_put_back(&plugin.name, policy.plugin.digest()) {
            self.gatekeeper.check_version(plugin, policy.verified.as_ref())?;
        }
        Ok(self.unless_withdrawn(plugin, policy))
    }

    fn lifecycle(&self) -> &Lifecycle {
        &self.lasting.lifecycle
    }

    /// The version, or the one that was put back in its place. That one was loaded by an earlier configuration, so it serves
    /// only while the present one would give it the same powers and trusts whoever signed it.
    fn unless_withdrawn(&self, entry: &config::Plugin, policy: Policy) -> Arc<Policy> {
        let (name, digest) = (policy.plugin.name(), policy.plugin.digest());
        let Some(good) = self.lifecycle().instead_of(name, digest) else { return Arc::new(policy) };
        if !good.entry.stands_for(entry) || !self.gatekeeper.trusts(good.verified.as_ref()) {
            tracing::warn!(plugin = name, digest, "the earlier version may not serve under this configuration");
            return Arc::new(policy);
        }
        tracing::warn!(plugin = name, withdrawn = digest, digest = good.plugin.digest(), "an earlier version serves");
        Arc::new(Policy {
            plugin: good.plugin.clone(),
            keys: policy.keys,
            verified: good.verified.clone(),
            shadow: policy.shadow,
            alarm: policy.alarm,
            entry: Arc::clone(&good.entry),
        })
    }

    /// Loads a version; one that is still as `known` lives on.
    fn load(
        &self,
        at: &str,
        plugin: &config::Plugin,
        standing: Standing,
        known: Option<&Plugin>,
    ) -> Result<Policy, StartError> {
        let Admitted { wasm, verified } = self.gatekeeper.admit(at, plugin)?;
        let spec = PluginSpec {
            name: standing.name_of(&plugin.name),
            wasm,
            config: plugin.config.clone(),
            grants: plugin.grants.clone(),
            limits: limits(plugin),
            services: self.lasting.supplies.services(plugin, standing)?,
        };
        let name = spec.name.clone();
        let engine = &self.lasting.engine;
        let loaded = match known {
            Some(known) => engine.load_after(known, spec),
            None => engine.load(spec),
        };
        let loaded = loaded.map_err(|error| StartError::Plugin { name, reason: error.to_string() })?;
        Admitted::check(verified.as_ref(), plugin, &signature::names(loaded.imports()))?;
        tracing::info!(plugin = loaded.name(), digest = loaded.digest(), imports = ?loaded.imports(), "plugin loaded");
        let (keys, alarm) = (Arc::new(plugin.keys.clone()), self.lasting.alarm.clone());
        Ok(Policy { plugin: loaded, keys, verified, shadow: None, alarm, entry: Arc::new(plugin.clone()) })
    }
}

fn limits(plugin: &config::Plugin) -> CallLimits {
    let defaults = CallLimits::default();
    CallLimits {
        deadline: plugin.deadline.unwrap_or(defaults.deadline),
        memory_bytes: plugin.memory_bytes.unwrap_or(defaults.memory_bytes),
        memo_bytes: plugin.memo_bytes.unwrap_or(defaults.memo_bytes),
        ready: plugin.ready.unwrap_or(defaults.ready),
        instances: plugin.instances,
        quarantine_after: plugin.quarantine_after.unwrap_or(defaults.quarantine_after),
        ..defaults
    }
}
