//! Finds every mistake of a tree, although serde stops at the first.
//!
//! Each round deserialises the whole tree. A mistake is noted and its value becomes a hole, which reads as whatever is
//! wanted there, so that the next round gets past it. A hole that its reader still refuses is taken out; a table that
//! cannot do without what was taken out goes as well, and so on outwards. Every round turns one more node into a hole
//! or takes one more out, so the rounds end; a limit guards against what this argument overlooks.

use serde::de::DeserializeOwned;

use crate::deserializer::Reader;
use crate::error::{Reason, TreeError};
use crate::key_path::KeyPath;
use crate::mistake::MAX_MISTAKES;
use crate::tree::{Entry, Kind, Node};

const MAX_ROUNDS: usize = 8_192;

/// A mistake that does not know its line yet.
pub(crate) struct Found {
    pub(crate) path: KeyPath,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// The value, or every mistake that could be found (at least one).
pub(crate) fn deserialize<T: DeserializeOwned>(root: &mut Node) -> Result<T, Vec<Found>> {
    let mut found = Vec::new();
    for _ in 0..MAX_ROUNDS {
        match T::deserialize(Reader(root)) {
            Ok(value) if found.is_empty() => return Ok(value),
            Ok(_) => break,
            Err(error) => {
                if !take_out(root, &error, &mut found) || found.len() >= MAX_MISTAKES {
                    break;
                }
            }
        }
    }
    Err(found)
}

/// Notes the mistake unless we caused it and changes the tree so that the next round gets further; false if it cannot.
fn take_out(root: &mut Node, error: &TreeError, found: &mut Vec<Found>) -> bool {
    let path = error.path();
    if error.in_hole {
        return retire(root, &path);
    }
    match &error.reason {
        Reason::MissingKey { key } => missing_key(root, &path, key, &error.reason, found),
        Reason::UnknownKey { key, .. } => unknown_key(root, &path, key, &error.reason, found),
        reason => {
            let touched = root.find(&path).is_some_and(|node| node.is_touched());
            if touched {
                return retire(root, &path);
            }
            note(found, path.clone(), reason);
            !path.0.is_empty() && replace(root, &path, Kind::Hole)
        }
    }
}

fn missing_key(root: &mut Node, path: &KeyPath, key: &str, reason: &Reason, found: &mut Vec<Found>) -> bool {
    let absent = match root.find(path) {
        Some(Node { kind: Kind::Table(entries), .. }) if entries.iter().all(|entry| entry.key != key) => {
            entries.push(Entry { key: key.to_owned(), key_span: 0..0, value: Node::hole() });
            true
        }
        _ => false,
    };
    if absent {
        note(found, path.child(key), reason);
        return true;
    }
    // Its value was taken out before, and whatever holds it cannot do without.
    retire(root, path)
}

fn unknown_key(root: &mut Node, path: &KeyPath, key: &str, reason: &Reason, found: &mut Vec<Found>) -> bool {
    match root.find(path).and_then(|node| node.child(key)) {
        Some(child) if !child.is_touched() => {
            child.kind = Kind::Gone;
            note(found, path.child(key), reason);
            true
        }
        Some(_) => retire(root, path),
        // Serde had buffered the table, so the key lies somewhere below.
        None => {
            note(found, path.child(key), reason);
            retire(root, path)
        }
    }
}

fn retire(root: &mut Node, path: &KeyPath) -> bool {
    !path.0.is_empty() && replace(root, path, Kind::Gone)
}

fn replace(root: &mut Node, path: &KeyPath, kind: Kind) -> bool {
    match root.find(path) {
        Some(node) if !node.is_gone() => {
            node.kind = kind;
            true
        }
        _ => false,
    }
}

fn note(found: &mut Vec<Found>, path: KeyPath, reason: &Reason) {
    if !found.iter().any(|known| known.path == path) {
        found.push(Found { path, message: reason.message(), hint: reason.hint() });
    }
}
