//! Which version of a plugin serves, where that was decided while the node runs: candidates that were promoted, and
//! versions that were put back because their successor was quarantined.
//!
//! Decisions are kept by digest, so that they hold for the very component and configuration that they were made about: a
//! reload that brings another is not bound by them. It must not know how a plugin is loaded or called.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use forebay_policy::Plugin;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::Policy;

/// Quarantines that wait to be looked at; more are about plugins that wait already.
const ALARMS: usize = 16;

/// The decisions of one node.
#[derive(Default)]
pub(crate) struct Lifecycle(Mutex<Decisions>);

#[derive(Default)]
struct Decisions {
    /// By plugin: the digest of the candidate that serves in place of what the configuration says.
    promoted: BTreeMap<String, String>,
    /// By plugin: the digest of a version that must not serve.
    withdrawn: BTreeMap<String, String>,
    /// By plugin: the last version that served well before the present one.
    good: HashMap<String, Arc<Policy>>,
}

impl Lifecycle {
    /// Whether this candidate of the plugin was promoted.
    pub(crate) fn is_promoted(&self, name: &str, digest: &str) -> bool {
        self.0.lock().promoted.get(name).is_some_and(|promoted| promoted == digest)
    }

    /// From now on the candidate serves.
    pub(crate) fn promote(&self, name: &str, digest: &str) {
        let mut decisions = self.0.lock();
        decisions.promoted.insert(name.to_owned(), digest.to_owned());
        // Whoever promotes it again has looked at why it was withdrawn.
        if decisions.withdrawn.get(name).is_some_and(|withdrawn| withdrawn == digest) {
            decisions.withdrawn.remove(name);
        }
    }

    /// The configuration's version serves again.
    pub(crate) fn demote(&self, name: &str) {
        self.0.lock().promoted.remove(name);
    }

    /// The version that serves in place of one that was withdrawn.
    pub(crate) fn instead_of(&self, name: &str, digest: &str) -> Option<Arc<Policy>> {
        let decisions = self.0.lock();
        decisions.withdrawn.get(name).filter(|withdrawn| *withdrawn == digest)?;
        decisions.good.get(name).cloned()
    }

    /// Whether this is the version that serves again since its successor was withdrawn.
    pub(crate) fn is_put_back(&self, name: &str, digest: &str) -> bool {
        let decisions = self.0.lock();
        decisions.withdrawn.contains_key(name)
            && decisions.good.get(name).is_some_and(|good| good.plugin.digest() == digest)
    }

    /// Withdraws a version. False when none served well before it: it stays, and its requests stay refused.
    pub(crate) fn withdraw(&self, name: &str, digest: &str) -> bool {
        let mut decisions = self.0.lock();
        let back = decisions.good.get(name).is_some_and(|good| good.plugin.digest() != digest);
        if back {
            decisions.promoted.remove(name);
            decisions.withdrawn.insert(name.to_owned(), digest.to_owned());
        }
        back
    }

    /// Notes what was swapped: versions that served well and do not any more could be put back.
    pub(crate) fn swapped(&self, before: &[Arc<Policy>], after: &[Arc<Policy>]) {
        let mut decisions = self.0.lock();
        for old in before {
            let replaced = after
                .iter()
                .any(|new| new.plugin.name() == old.plugin.name() && new.plugin.digest() != old.plugin.digest());
            // What was withdrawn may have served well before; it must not come back in its own place.
            let withdrawn =
                decisions.withdrawn.get(old.plugin.name()).is_some_and(|digest| digest == old.plugin.digest());
            if replaced && !withdrawn && old.plugin.served_well() {
                decisions.good.insert(old.plugin.name().to_owned(), Arc::clone(old));
            }
        }
        // What no configuration names any more is not kept for one that might.
        decisions.good.retain(|name, _| after.iter().any(|policy| policy.plugin.name() == name));
    }
}

/// Tells the node that a plugin is in quarantine.
#[derive(Clone)]
pub(crate) struct Alarm(mpsc::Sender<Quarantined>);

/// A plugin that is in quarantine.
pub(crate) struct Quarantined {
    /// Its name.
    pub(crate) name: String,
    /// The version.
    pub(crate) digest: String,
}

impl Alarm {
    /// An alarm and whoever hears it.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Quarantined>) {
        let (sender, receiver) = mpsc::channel(ALARMS);
        (Self(sender), receiver)
    }

    /// Rings, unless it rings already for as many as can wait.
    pub(crate) fn ring(&self, plugin: &Plugin) {
        let quarantined = Quarantined { name: plugin.name().to_owned(), digest: plugin.digest().to_owned() };
        // A full queue is no loss: each of its requests rings again.
        let _ = self.0.try_send(quarantined);
    }
}
