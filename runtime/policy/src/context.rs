//! What every hook of one request is called with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::phase::Side;
use crate::views::{IdentityView, RequestView};

/// The most notes that a plugin may leave in a request.
const NOTES: usize = 16;
/// The most bytes of names and values in them.
const NOTE_BYTES: usize = 4 * 1024;

/// A request, who makes it, until when, and what plugins left for their later hooks. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The head, with the edits of the plugins that were asked before.
    pub request: Arc<dyn RequestView>,
    /// Who is asking.
    pub identity: Arc<dyn IdentityView>,
    /// When the request's time is over. Bounds what a plugin waits for.
    pub deadline: Instant,
    /// One board for all hooks of the request.
    pub notes: Arc<Notes>,
}

/// The notes of one plugin, by name.
type Board = BTreeMap<String, Vec<u8>>;

/// The notes of all plugins in one request.
#[derive(Default)]
pub struct Notes(Mutex<BTreeMap<Arc<str>, Board>>);

impl Notes {
    /// Leaves a note; false when the plugin has no room for it.
    pub(crate) fn set(&self, plugin: &Arc<str>, name: String, value: Vec<u8>) -> bool {
        let mut boards = self.0.lock();
        let board = boards.entry(Arc::clone(plugin)).or_default();
        let others = board.iter().filter(|(other, _)| **other != name);
        let (count, bytes) = others.fold((0, 0), |(n, bytes), (name, value)| (n + 1, bytes + name.len() + value.len()));
        let fits = count < NOTES && bytes + name.len() + value.len() <= NOTE_BYTES;
        if fits {
            board.insert(name, value);
        }
        fits
    }

    /// The note of that name.
    pub(crate) fn get(&self, plugin: &str, name: &str) -> Option<Vec<u8>> {
        self.0.lock().get(plugin)?.get(name).cloned()
    }
}

/// What a part of a body is. Mirrors `body.kind` in `wit/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// A whole body.
    Whole,
    /// Some bytes of a body.
    Chunk,
    /// One event of a stream of events.
    Event,
    /// One text message of a WebSocket.
    Text,
    /// One binary message of a WebSocket.
    Binary,
}

/// A part of a body.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// Whose body it is.
    pub side: Side,
    /// The media type that the head announced.
    pub content_type: Option<Arc<str>>,
    /// Whether nothing follows.
    pub last: bool,
    /// Its contents.
    pub bytes: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_bounded_and_of_one_plugin() {
        let (notes, one, other): (_, Arc<str>, Arc<str>) = (Notes::default(), "one".into(), "other".into());
        assert!(notes.set(&one, "a".into(), vec![1]) && notes.set(&one, "a".into(), vec![2]));
        assert_eq!((notes.get("one", "a"), notes.get("other", "a")), (Some(vec![2]), None));
        assert!(!notes.set(&one, "b".into(), vec![0; NOTE_BYTES]));
        for i in 1..NOTES {
            assert!(notes.set(&one, format!("n{i}"), Vec::new()));
        }
        assert!(!notes.set(&one, "one more".into(), Vec::new()));
        assert!(notes.set(&other, "one more".into(), Vec::new()));
    }
}
