//! Tokens that were withdrawn before their time: one by its `jti`, all of a subject by `sub`, all that a key signed by
//! `kid`, each within one issuer.
//!
//! There are two lists. One comes from a file and is read again with the configuration; the other is told through the
//! admin API, outlives reloads and, where the node has a folder for its state, the process. Both are asked on every request, after the memory of verified
//! tokens: a revocation holds from the next request on.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use ring::digest;
use serde_json::Value;

mod entry;
mod file;
mod kept;

pub(crate) use entry::{Entry, Selector};
use kept::Kept;

use crate::error::StartError;

/// Entries by what they revoke.
type List = HashMap<[u8; 32], Arc<Entry>>;

/// What a token can be revoked by: digests of issuer and `jti`, `sub` and key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subjects {
    jti: Option<[u8; 32]>,
    sub: Option<[u8; 32]>,
    kid: Option<[u8; 32]>,
}

impl Subjects {
    /// Those of a token with these claims, signed by this key.
    pub(super) fn of(issuer: &str, claims: &Value, key_id: Option<&str>) -> Self {
        let claim = |name: &str| claims.get(name).and_then(Value::as_str);
        Self {
            jti: claim("jti").map(|jti| digest_of(issuer, Selector::Jti, jti)),
            sub: claim("sub").map(|sub| digest_of(issuer, Selector::Sub, sub)),
            kid: key_id.map(|kid| digest_of(issuer, Selector::Kid, kid)),
        }
    }

    /// The digest of issuer and `sub`.
    pub(super) fn sub(&self) -> Option<[u8; 32]> {
        self.sub
    }

    fn each(&self) -> impl Iterator<Item = &[u8; 32]> {
        [&self.jti, &self.sub, &self.kid].into_iter().flatten()
    }

    fn in_list(&self, list: &List, now_s: u64) -> bool {
        !list.is_empty() && self.each().any(|digest| list.get(digest).is_some_and(|entry| entry.holds_at(now_s)))
    }
}

fn digest_of(issuer: &str, selector: Selector, value: &str) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&[selector as u8]);
    context.update(&(issuer.len() as u64).to_be_bytes());
    context.update(issuer.as_bytes());
    context.update(value.as_bytes());
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// The list from a file.
#[derive(Default)]
pub(super) struct Filed(List);

impl Filed {
    /// Whether a token is on it.
    pub(super) fn has(&self, subjects: &Subjects, now_s: u64) -> bool {
        subjects.in_list(&self.0, now_s)
    }

    /// How many entries it has.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The list that the admin API keeps. Read without a lock; written seldom, as a whole.
pub(super) struct Told {
    list: ArcSwap<List>,
    writing: Mutex<()>,
    max: usize,
    kept: Option<Kept>,
}

/// What did not go well with a change of the list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The list has as many entries as it may; nothing has changed.
    Full,
    /// The change holds, but could not be written: a restart forgets it.
    NotWritten(String),
}

impl Told {
    /// A list with room for `max` entries; with `state`, a folder, it begins with what was told before.
    ///
    /// # Errors
    /// The list in the folder cannot be read.
    pub(super) fn open(max: usize, state: Option<&Path>) -> Result<Self, StartError> {
        let (kept, list) = match state {
            Some(folder) => Kept::open(folder).map(|(kept, list)| (Some(kept), list))?,
            None => (None, List::new()),
        };
        Ok(Self { list: ArcSwap::from_pointee(list), writing: Mutex::default(), max, kept })
    }

    /// Whether a token is on it.
    pub(super) fn has(&self, subjects: &Subjects, now_s: u64) -> bool {
        subjects.in_list(&self.list.load(), now_s)
    }

    /// Adds an entry, or gives a known one another end. Entries whose end has passed make room. May block on the disk.
    ///
    /// # Errors
    /// There is no room. Nothing is dropped to make some: each entry is a token that would be good again. Or it could not
    /// be written.
    pub(super) fn add(&self, entry: Entry, now_s: u64) -> Result<(), Trouble> {
        let _alone = self.writing.lock();
        let mut list = List::clone(&self.list.load());
        list.retain(|_, entry| entry.holds_at(now_s));
        list.insert(entry.digest(), Arc::new(entry));
        if list.len() > self.max {
            return Err(Trouble::Full);
        }
        self.put(list)
    }

    /// Takes an entry off. False: it was not on it. May block on the disk.
    ///
    /// # Errors
    /// That could not be written.
    pub(super) fn remove(&self, entry: &Entry) -> Result<bool, Trouble> {
        let _alone = self.writing.lock();
        let mut list = List::clone(&self.list.load());
        if list.remove(&entry.digest()).is_none() {
            return Ok(false);
        }
        self.put(list).map(|()| true)
    }

    /// Puts a list in the place of the present one. It holds before it is written.
    fn put(&self, list: List) -> Result<(), Trouble> {
        let list = Arc::new(list);
        self.list.store(Arc::clone(&list));
        match &self.kept {
            Some(kept) => kept.write(&list).map_err(|error| Trouble::NotWritten(error.to_string())),
            None => Ok(()),
        }
    }

    /// The entries that hold at `now_s`, in a steady order.
    pub(super) fn entries(&self, now_s: u64) -> Vec<Arc<Entry>> {
        let list = self.list.load();
        let mut entries: Vec<_> = list.values().filter(|entry| entry.holds_at(now_s)).map(Arc::clone).collect();
        entries.sort();
        entries
    }

    /// How many entries it may have.
    pub(super) fn max(&self) -> usize {
        self.max
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn entry(text: &str) -> Entry {
        Entry::read(text.as_bytes()).unwrap()
    }

    fn subjects(issuer: &str) -> Subjects {
        Subjects::of(issuer, &json!({"jti": "j", "sub": "s"}), Some("k"))
    }

    #[test]
    fn a_token_is_found_by_each_of_its_names_within_its_issuer() {
        for text in [
            r#"{"issuer":"me","jti":"j"}"#,
            r#"{"issuer":"me","sub":"s"}"#,
            r#"{"issuer":"me","kid":"k"}"#,
            r#"{"issuer":"me","kid":"k","until":11}"#,
        ] {
            let told = Told::open(10, None).unwrap();
            told.add(entry(text), 0).unwrap();
            assert!(told.has(&subjects("me"), 10), "{text}");
            assert!(!told.has(&subjects("you"), 10), "{text}");
            assert_eq!(told.remove(&entry(text)), Ok(true));
            assert_eq!(told.remove(&entry(text)), Ok(false));
            assert!(!told.has(&subjects("me"), 10), "{text}");
        }
        let told = Told::open(10, None).unwrap();
        for text in [
            r#"{"issuer":"me","jti":"s"}"#,
            r#"{"issuer":"me","sub":"j"}"#,
            r#"{"issuer":"me","kid":"j"}"#,
            r#"{"issuer":"m","sub":"es"}"#,
        ] {
            told.add(entry(text), 0).unwrap();
        }
        assert!(!told.has(&subjects("me"), 10));
        assert!(!told.has(&Subjects::default(), 10));
    }

    #[test]
    fn an_end_passes_and_makes_room_but_nothing_else_does() {
        let told = Told::open(2, None).unwrap();
        told.add(entry(r#"{"issuer":"me","jti":"j","until":100}"#), 0).unwrap();
        told.add(entry(r#"{"issuer":"me","jti":"other"}"#), 0).unwrap();
        assert!(told.has(&subjects("me"), 99));
        assert_eq!(told.add(entry(r#"{"issuer":"me","jti":"third"}"#), 99), Err(Trouble::Full));
        assert_eq!(told.entries(99).len(), 2);
        // The same again is no other entry.
        told.add(entry(r#"{"issuer":"me","jti":"other","until":500}"#), 99).unwrap();
        assert!(!told.has(&subjects("me"), 100));
        told.add(entry(r#"{"issuer":"me","jti":"third"}"#), 100).unwrap();
        assert_eq!(told.entries(100).len(), 2);
        assert_eq!(told.entries(500).len(), 1);
    }

    #[test]
    fn what_was_told_outlives_the_process_where_there_is_a_folder_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let told = Told::open(10, Some(&state)).unwrap();
        told.add(entry(r#"{"issuer":"me","jti":"j"}"#), 0).unwrap();
        told.add(entry(r#"{"issuer":"me","sub":"other","until":100}"#), 0).unwrap();
        let again = Told::open(10, Some(&state)).unwrap();
        assert_eq!(again.entries(0), told.entries(0));
        assert!(again.has(&subjects("me"), 10));
        assert_eq!(again.remove(&entry(r#"{"issuer":"me","jti":"j"}"#)), Ok(true));
        assert!(!Told::open(10, Some(&state)).unwrap().has(&subjects("me"), 10));

        std::fs::write(state.join("revocations.jsonl"), "rubbish").unwrap();
        assert!(Told::open(10, Some(&state)).is_err());
        // What cannot be written holds all the same, and whoever told it hears of that.
        std::fs::remove_dir_all(&state).unwrap();
        let lost = again.add(entry(r#"{"issuer":"me","jti":"j"}"#), 0);
        assert!(matches!(lost, Err(Trouble::NotWritten(_))), "{lost:?}");
        assert!(again.has(&subjects("me"), 10));
    }
}
