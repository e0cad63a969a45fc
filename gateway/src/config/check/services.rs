//! What stands behind a plugin's capabilities: a grant needs its settings, and settings need their grant.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use forebay_policy::Capability;

use super::{Names, Reader};
use crate::config::file;
use crate::config::{Journal, Outbound, Quota};

/// Defaults, in the units of the keys.
const COUNTERS: usize = 100_000;
const STORE_ENTRIES: usize = 10_000;
const STORE_BYTES: usize = 16 * 1024 * 1024;
const OUTBOUND_MS: u64 = 500;
const OUTBOUND_BYTES: usize = 1024 * 1024;
const OUTBOUND_CALLS: usize = 16;
const JOURNAL_BYTES: u64 = 64 * 1024 * 1024;
const JOURNAL_FILES: usize = 8;
const JOURNAL_SYNC_MS: u64 = 1_000;
const JOURNAL_QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// What a plugin may have and reach.
pub(super) struct Reach {
    pub(super) counters: usize,
    pub(super) store: Quota,
    pub(super) outbound: Outbound,
    pub(super) models: BTreeSet<String>,
    pub(super) jurisdictions: Vec<String>,
    pub(super) journal: Option<Journal>,
}

impl Reader<'_> {
    pub(super) fn reach(
        &mut self,
        at: &str,
        plugin: &file::Plugin,
        grants: &BTreeSet<Capability>,
        names: &Names,
    ) -> Reach {
        use Capability::{Counters, Inference, Journal as Records, KeyValue, Keys, Outbound as Out};
        for (capability, settings) in [
            (Counters, &[("counters", plugin.counters.is_some())][..]),
            (
                KeyValue,
                &[("store_entries", plugin.store_entries.is_some()), ("store_bytes", plugin.store_bytes.is_some())],
            ),
            (
                Out,
                &[
                    ("origins", !plugin.origins.is_empty()),
                    ("outbound_ms", plugin.outbound_ms.is_some()),
                    ("outbound_bytes", plugin.outbound_bytes.is_some()),
                    ("outbound_calls", plugin.outbound_calls.is_some()),
                    ("outbound_ca", plugin.outbound_ca.is_some()),
                ],
            ),
            (Inference, &[("models", !plugin.models.is_empty()), ("jurisdictions", !plugin.jurisdictions.is_empty())]),
            (
                Records,
                &[
                    ("journal", plugin.journal.is_some()),
                    ("journal_bytes", plugin.journal_bytes.is_some()),
                    ("journal_files", plugin.journal_files.is_some()),
                    ("journal_sync_ms", plugin.journal_sync_ms.is_some()),
                    ("journal_queue_bytes", plugin.journal_queue_bytes.is_some()),
                ],
            ),
        ] {
            self.settings_need_grant(at, grants, capability, settings);
        }
        for (capability, key, is_empty, hint) in [
            (Keys, "keys", plugin.keys.is_empty(), "names of the keys that it may sign and seal with"),
            (
                Out,
                "origins",
                plugin.origins.is_empty(),
                "the origins that it may reach, such as \"https://guard.example.com\"",
            ),
            (Inference, "models", plugin.models.is_empty(), "the models that it may ask"),
            (Records, "journal", is_empty(plugin.journal.as_deref()), "the file that its records are written to"),
        ] {
            if grants.contains(&capability) && is_empty {
                let what = format!("is empty, and `{capability}` is granted");
                self.check.mistake(format!("{at}.{key}"), what, Some(hint.into()));
            }
        }
        self.all_known(&format!("{at}.jurisdictions"), &plugin.jurisdictions, &names.jurisdictions, "jurisdiction");
        Reach {
            counters: self.count(at, "counters", plugin.counters, COUNTERS),
            store: Quota {
                entries: self.count(at, "store_entries", plugin.store_entries, STORE_ENTRIES),
                bytes: self.count(at, "store_bytes", plugin.store_bytes, STORE_BYTES),
            },
            outbound: self.outbound(at, plugin),
            models: plugin.models.iter().cloned().collect(),
            jurisdictions: plugin.jurisdictions.clone(),
            journal: self.journal(at, plugin),
        }
    }

    fn settings_need_grant(
        &mut self,
        at: &str,
        grants: &BTreeSet<Capability>,
        capability: Capability,
        settings: &[(&str, bool)],
    ) {
        if grants.contains(&capability) {
            return;
        }
        for (key, _) in settings.iter().filter(|(_, is_set)| *is_set) {
            let hint = format!("grant `{capability}`, or take it out");
            self.check.mistake(format!("{at}.{key}"), "has no effect", Some(hint));
        }
    }

    fn count(&mut self, at: &str, key: &str, value: Option<usize>, default: usize) -> usize {
        self.nonzero(&format!("{at}.{key}"), value.unwrap_or(default))
    }

    fn journal(&mut self, at: &str, plugin: &file::Plugin) -> Option<Journal> {
        let file = self.folder.join(plugin.journal.as_ref()?);
        let file_bytes = plugin.journal_bytes.unwrap_or(JOURNAL_BYTES);
        if file_bytes == 0 {
            self.check.mistake(format!("{at}.journal_bytes"), "must be at least 1", None);
        }
        Some(Journal {
            file,
            file_bytes,
            files: self.count(at, "journal_files", plugin.journal_files, JOURNAL_FILES),
            sync: self.millis(&format!("{at}.journal_sync_ms"), plugin.journal_sync_ms.unwrap_or(JOURNAL_SYNC_MS)),
            queue_bytes: self.count(at, "journal_queue_bytes", plugin.journal_queue_bytes, JOURNAL_QUEUE_BYTES),
        })
    }

    /// Two plugins whose records were mixed could each be blamed for the other's.
    pub(super) fn journals_apart(&mut self, plugins: &[file::Plugin]) {
        let mut seen = BTreeSet::new();
        for (index, plugin) in plugins.iter().enumerate() {
            let Some(journal) = &plugin.journal else { continue };
            if !seen.insert(self.folder.join(journal)) {
                let at = format!("plugins[{index}].journal");
                let hint = "each plugin writes to a file of its own";
                self.check.mistake(at, format!("`{}` stands here twice", journal.display()), Some(hint.into()));
            }
        }
    }

    fn outbound(&mut self, at: &str, plugin: &file::Plugin) -> Outbound {
        let mut origins = Vec::new();
        for (index, origin) in plugin.origins.iter().enumerate() {
            origins.extend(self.base_url(&format!("{at}.origins[{index}]"), origin));
        }
        Outbound {
            origins,
            time: plugin
                .outbound_ms
                .map_or(Duration::from_millis(OUTBOUND_MS), |ms| self.millis(&format!("{at}.outbound_ms"), ms)),
            answer_bytes: self.count(at, "outbound_bytes", plugin.outbound_bytes, OUTBOUND_BYTES),
            calls: self.count(at, "outbound_calls", plugin.outbound_calls, OUTBOUND_CALLS),
            ca: plugin.outbound_ca.as_ref().map(|ca| self.folder.join(ca)),
        }
    }
}

fn is_empty(path: Option<&Path>) -> bool {
    path.is_none_or(|path| path.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::path::Path;

    use crate::config::Config;

    fn parse(plugin: &str) -> Result<Config, forebay_config::Mistakes> {
        let text = format!(
            "listen = {{ address = \"127.0.0.1:0\", development_ca = \".\" }}\n\
             [[regions]]\nname = \"r\"\nurl = \"https://r.example.com\"\njurisdiction = \"eu\"\n\
             [[keys]]\nname = \"k\"\nfile = \"k.key\"\n\
             [[plugins]]\nname = \"p\"\ncomponent = \"p.wasm\"\n{plugin}"
        );
        Config::parse("test.toml", &text, Path::new("/tmp"))
    }

    #[test]
    fn a_grant_needs_its_settings() {
        let told = parse("grants = [\"outbound\", \"inference\", \"keys\", \"journal\"]").unwrap_err().to_string();
        for expected in [
            "plugins[0].origins",
            "plugins[0].models",
            "plugins[0].keys",
            "plugins[0].journal",
            "`outbound` is granted",
        ] {
            assert!(told.contains(expected), "{expected} not in:\n{told}");
        }
    }

    #[test]
    fn settings_need_their_grant_and_must_make_sense() {
        let told = parse(
            "counters = 1\nstore_entries = 1\nstore_bytes = 0\norigins = [\"http://guard.example.com\", \"https://a/b\"]\n\
             outbound_ms = 0\noutbound_calls = 0\njournal = \"j\"\njournal_bytes = 0\njournal_files = 0\n\
             journal_sync_ms = 0\njournal_queue_bytes = 0\nmodels = [\"m\"]\njurisdictions = [\"ue\"]",
        )
        .unwrap_err()
        .to_string();
        for expected in [
            "plugins[0].counters",
            "plugins[0].store_entries",
            "plugins[0].store_bytes",
            "plugins[0].origins[0]",
            "plugins[0].origins[1]",
            "plugins[0].outbound_ms",
            "plugins[0].outbound_calls",
            "plugins[0].journal",
            "plugins[0].journal_bytes",
            "plugins[0].journal_files",
            "plugins[0].journal_sync_ms",
            "plugins[0].journal_queue_bytes",
            "plugins[0].models",
            "plugins[0].jurisdictions[0]",
            "grant `key-value`, or take it out",
            "no jurisdiction is named `ue`",
        ] {
            assert!(told.contains(expected), "{expected} not in:\n{told}");
        }
    }

    #[test]
    fn defaults_stand_where_nothing_is_said() {
        let config = parse(
            "grants = [\"counters\", \"key-value\", \"outbound\", \"inference\", \"keys\", \"journal\"]\n\
             keys = [\"k\"]\njournal = \"audit.jsonl\"\n\
             origins = [\"https://guard.example.com\"]\nmodels = [\"m\"]",
        )
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let plugin = config.plugins.first().unwrap();
        assert_eq!((plugin.counters, plugin.store.entries, plugin.store.bytes), (100_000, 10_000, 16 << 20));
        let outbound = &plugin.outbound;
        assert_eq!((outbound.time.as_millis(), outbound.answer_bytes, outbound.calls), (500, 1 << 20, 16));
        let journal = plugin.journal.as_ref().unwrap();
        assert_eq!(journal.file, Path::new("/tmp/audit.jsonl"));
        assert_eq!((journal.file_bytes, journal.files, journal.queue_bytes), (64 << 20, 8, 4 << 20));
        assert_eq!(journal.sync.as_millis(), 1_000);
    }

    #[test]
    fn no_two_plugins_write_to_one_file() {
        let told = parse(
            "grants = [\"journal\"]\njournal = \"a.jsonl\"\n\
             [[plugins]]\nname = \"q\"\ncomponent = \"q.wasm\"\ngrants = [\"journal\"]\njournal = \"./a.jsonl\"",
        )
        .unwrap_err()
        .to_string();
        assert!(told.contains("plugins[1].journal"), "{told}");
    }
}
