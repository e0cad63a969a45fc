//! Behind `journal`: the files that plugins' records go to.
//!
//! Whoever takes a record never waits for a disk. A thread for each file writes what waits, in whole lines and in the
//! order they were taken; while it cannot, nothing more is taken, so the plugin knows and can refuse the request. A file and
//! what waits for it belong to its path and outlive a reload. Rotation is our own: the crates for it drop what they cannot
//! write, cut lines in two, or never ask for the disk.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use forebay_policy::services::{Journal, JournalFailure};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;

mod file;
mod queue;
mod writer;

use file::Rotating;
use queue::Queue;

use crate::config;
use crate::error::StartError;
use crate::telemetry::metrics::Metrics;

/// How long the file of a plugin that is gone may take to be free for another.
const HANDOVER: Duration = Duration::from_secs(5);

/// The files of a node.
#[derive(Default)]
pub(super) struct Journals(Mutex<HashMap<PathBuf, Known>>);

/// A file's queue, and whoever may put records into it.
struct Known {
    queue: Arc<Queue>,
    users: Weak<Users>,
}

/// Those who may put records into a queue. When the last has gone, what waits is written and the thread ends.
struct Users(Arc<Queue>);

impl Drop for Users {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Journals {
    /// A plugin's way to its file, which is opened unless it is open already. Blocks.
    ///
    /// # Errors
    /// The file cannot be opened for writing.
    pub(super) fn open(
        &self,
        plugin: &str,
        journal: &config::Journal,
        metrics: &Metrics,
    ) -> Result<Arc<dyn Journal>, StartError> {
        let users = self.users(plugin, journal, metrics).map_err(|error| StartError::Plugin {
            name: plugin.to_owned(),
            reason: format!("journal: {}: {error}", journal.file.display()),
        })?;
        users.0.set(journal);
        let records = |result| metrics.plugins.records(plugin, result);
        Ok(Arc::new(PluginJournal {
            users,
            taken: records("taken"),
            full: records("full"),
            unavailable: records("unavailable"),
        }))
    }

    fn users(&self, plugin: &str, journal: &config::Journal, metrics: &Metrics) -> std::io::Result<Arc<Users>> {
        let mut open = self.0.lock();
        if let Some(known) = open.get(&journal.file) {
            if let Some(users) = known.users.upgrade() {
                return Ok(users);
            }
            if !known.queue.wait_ended(Instant::now() + HANDOVER) {
                return Err(std::io::Error::other("an earlier plugin still writes to it"));
            }
        }
        open.retain(|_, known| !known.queue.has_ended());
        let file = Rotating::open(&journal.file)?;
        let queue = Arc::new(Queue::new(journal));
        writer::start(plugin, Arc::clone(&queue), file, metrics.plugins.records(plugin, "lost"))?;
        let users = Arc::new(Users(Arc::clone(&queue)));
        open.insert(journal.file.clone(), Known { queue, users: Arc::downgrade(&users) });
        Ok(users)
    }

    /// Has everything written, and waits for it.
    pub(super) fn close(&self, within: Duration) {
        let until = Instant::now() + within;
        let open = self.0.lock();
        for known in open.values() {
            known.queue.close();
        }
        for (path, known) in open.iter() {
            if !known.queue.wait_ended(until) {
                tracing::error!(journal = %path.display(), records = known.queue.waiting(), "records are lost");
            }
        }
    }
}

/// A plugin's way to its file.
struct PluginJournal {
    users: Arc<Users>,
    taken: Counter,
    full: Counter,
    unavailable: Counter,
}

impl Journal for PluginJournal {
    fn append(&self, record: &str) -> Result<(), JournalFailure> {
        let taken = self.users.0.push(record);
        match taken {
            Ok(()) => self.taken.inc(),
            Err(JournalFailure::Full) => self.full.inc(),
            Err(JournalFailure::Unavailable) => self.unavailable.inc(),
        };
        taken
    }
}

/// Where a candidate's records go: it decides nothing, so nothing that it would say happened.
struct Nowhere;

impl Journal for Nowhere {
    fn append(&self, _: &str) -> Result<(), JournalFailure> {
        Ok(())
    }
}

/// A journal that takes everything and writes nothing.
pub(super) fn nowhere() -> Arc<dyn Journal> {
    Arc::new(Nowhere)
}

#[cfg(test)]
mod tests;
