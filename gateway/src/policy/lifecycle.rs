//! Which version of a plugin serves, where that was decided while the node runs: candidates that were promoted, and
//! versions that were put back because their successor was quarantined.
//!
//! Decisions are kept by digest, so that they hold for the very component and configuration that they were made about: a
//! reload that brings another is not bound by them. Where the node has a folder for its state, promotions outlive it, and
//! so does the leave of what was put back to serve below a later version that failed. It must not know how a plugin is loaded or called.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use forebay_policy::{Plugin, StateError, StateFile};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Policy;

/// Quarantines that wait to be looked at; more are about plugins that wait already.
const ALARMS: usize = 16;

/// The decisions of one node.
#[derive(Default)]
pub(crate) struct Lifecycle {
    decisions: Mutex<Decisions>,
    /// None where the node keeps nothing.
    file: Option<StateFile<Kept>>,
}

/// What is decided for the time after a restart too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    /// By plugin: the candidate that serves in place of what the configuration says.
    promoted: BTreeMap<String, Promotion>,
    /// By plugin: the digest of the version that serves again since its successor was withdrawn.
    put_back: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Promotion {
    /// The candidate's digest.
    digest: String,
    /// The digest of the version in whose place it came, if that one served well.
    before: Option<String>,
}

#[derive(Default)]
struct Decisions {
    kept: Kept,
    /// What of it is in the file.
    written: Kept,
    /// By plugin: the digest of a version that must not serve.
    withdrawn: BTreeMap<String, String>,
    /// By plugin: the last version that served well before the present one.
    good: HashMap<String, Arc<Policy>>,
}

/// What was decided a moment ago, to go back to.
pub(crate) struct Earlier {
    kept: Kept,
    withdrawn: BTreeMap<String, String>,
}

/// What takes the place of a version that is withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Back {
    /// What the configuration says, since a promotion is taken back.
    Configured,
    /// A version that the configuration does not name any more.
    Replaced,
}

impl Lifecycle {
    /// Goes on with what is in the file.
    ///
    /// # Errors
    /// It cannot be read, or this node did not write it.
    pub(crate) fn open(file: StateFile<Kept>) -> Result<Self, StateError> {
        let kept = file.read()?;
        let decisions = Decisions { written: kept.clone(), kept, ..Decisions::default() };
        Ok(Self { decisions: Mutex::new(decisions), file: Some(file) })
    }

    /// Whether decisions are written down.
    pub(crate) fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Whether this candidate of the plugin was promoted.
    pub(crate) fn is_promoted(&self, name: &str, digest: &str) -> bool {
        self.decisions.lock().kept.promoted.get(name).is_some_and(|promoted| promoted.digest == digest)
    }

    /// What is decided now.
    pub(crate) fn present(&self) -> Earlier {
        let decisions = self.decisions.lock();
        Earlier { kept: decisions.kept.clone(), withdrawn: decisions.withdrawn.clone() }
    }

    /// Takes back what was decided since: it could not be done.
    pub(crate) fn go_back(&self, to: Earlier) {
        let mut decisions = self.decisions.lock();
        decisions.kept = to.kept;
        decisions.withdrawn = to.withdrawn;
    }

    /// From now on the candidate serves, in the place of `active`.
    pub(crate) fn promote(&self, candidate: &str, active: &Plugin) {
        let mut decisions = self.decisions.lock();
        let name = active.name();
        let before = active.served_well().then(|| active.digest().to_owned());
        decisions.kept.promoted.insert(name.to_owned(), Promotion { digest: candidate.to_owned(), before });
        // Whoever promotes it again has looked at why it was withdrawn.
        if decisions.withdrawn.get(name).is_some_and(|withdrawn| withdrawn == candidate) {
            decisions.withdrawn.remove(name);
        }
    }

    /// The version that serves in place of one that was withdrawn.
    pub(crate) fn instead_of(&self, name: &str, digest: &str) -> Option<Arc<Policy>> {
        let decisions = self.decisions.lock();
        decisions.withdrawn.get(name).filter(|withdrawn| *withdrawn == digest)?;
        decisions.good.get(name).cloned()
    }

    /// Whether this is the version that serves again since its successor was withdrawn.
    pub(crate) fn is_put_back(&self, name: &str, digest: &str) -> bool {
        self.decisions.lock().kept.put_back.get(name).is_some_and(|back| back == digest)
    }

    /// Withdraws a version. None when none served well before it: it stays, and its requests stay refused.
    pub(crate) fn withdraw(&self, name: &str, digest: &str) -> Option<Back> {
        let mut decisions = self.decisions.lock();
        let promotion = decisions.kept.promoted.get(name).filter(|promotion| promotion.digest == digest);
        let back = if promotion.is_some() { Back::Configured } else { Back::Replaced };
        let before = promotion.and_then(|promotion| promotion.before.clone());
        let good = decisions.good.get(name).map(|good| good.plugin.digest().to_owned());
        let before = good.or(before).filter(|before| before != digest)?;
        decisions.kept.promoted.remove(name);
        decisions.kept.put_back.insert(name.to_owned(), before);
        decisions.withdrawn.insert(name.to_owned(), digest.to_owned());
        Some(back)
    }

    /// Notes what was swapped: versions that served well and do not any more could be put back. What was decided about
    /// versions that do not serve is over. False when what is left could not be written, or is kept nowhere.
    pub(crate) fn swapped(&self, before: &[Arc<Policy>], after: &[Arc<Policy>]) -> bool {
        let mut decisions = self.decisions.lock();
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
        let serves = |name: &str, digest: &str| {
            after.iter().any(|policy| policy.plugin.name() == name && policy.plugin.digest() == digest)
        };
        decisions.kept.promoted.retain(|name, promotion| serves(name, &promotion.digest));
        decisions.kept.put_back.retain(|name, digest| serves(name, digest));
        self.write(&mut decisions)
    }

    fn write(&self, decisions: &mut Decisions) -> bool {
        let Some(file) = &self.file else { return false };
        if decisions.kept == decisions.written {
            return true;
        }
        let (was, is) = (&decisions.written, &decisions.kept);
        // Another process may have decided about other plugins.
        let written = file.update(|kept| {
            carry(&was.promoted, &is.promoted, &mut kept.promoted);
            carry(&was.put_back, &is.put_back, &mut kept.put_back);
            Ok(())
        });
        match written {
            Ok(_) => decisions.written = decisions.kept.clone(),
            Err(error) => tracing::error!(%error, "what was decided about versions is over when the node restarts"),
        }
        decisions.kept == decisions.written
    }
}

/// Makes the changes between two states to a third.
fn carry<V: Clone + PartialEq>(was: &BTreeMap<String, V>, is: &BTreeMap<String, V>, to: &mut BTreeMap<String, V>) {
    to.retain(|name, _| is.contains_key(name) || !was.contains_key(name));
    for (name, value) in is {
        if was.get(name) != Some(value) {
            to.insert(name.clone(), value.clone());
        }
    }
}

/// What an operator decided about a plugin.
pub(crate) struct Decided {
    /// The version that serves now.
    pub(crate) digest: String,
    /// Whether it serves after a restart too.
    pub(crate) lasts: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_carried_over_what_others_wrote() {
        let map = |entries: &[(&str, u8)]| -> BTreeMap<String, u8> {
            entries.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
        };
        let (was, is) = (map(&[("same", 1), ("gone", 1), ("new", 1)]), map(&[("same", 1), ("new", 2), ("added", 3)]));
        let mut theirs = map(&[("same", 9), ("gone", 1), ("new", 1), ("theirs", 5)]);
        carry(&was, &is, &mut theirs);
        assert_eq!(theirs, map(&[("same", 9), ("new", 2), ("added", 3), ("theirs", 5)]));
    }
}
