//! One text as it comes, piece by piece, and as it goes on.

use std::collections::BTreeMap;

use super::config::Config;
use super::find::{LONGEST, find};

/// How often each pattern was found.
pub type Counts = BTreeMap<String, u64>;

/// How far before white space a number must be for nothing to reach over it: more than the longest number in groups.
const NUMBER: usize = 64;

/// A text of which the end is held back.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// The end, and the character before it.
    held: String,
    /// How many bytes of `held` went on already.
    gone: usize,
}

impl Flow {
    /// Takes the next piece and gives what goes on. After the last one nothing is held.
    pub(super) fn push(&mut self, config: &Config, piece: &str, last: bool, counts: &mut Counts) -> String {
        self.held.push_str(piece);
        let cut = if last { self.held.len() } else { self.safe_cut(config) };
        let mut out = String::new();
        let mut at = self.gone;
        if cut > at {
            for found in find(config, &self.held, self.gone) {
                if found.start < at {
                    continue;
                }
                if found.start >= cut {
                    break;
                }
                out.push_str(self.held.get(at..found.start).unwrap_or_default());
                out.push_str(&config.in_place_of(found.name));
                *counts.entry(found.name.to_owned()).or_default() += 1;
                at = found.end;
            }
            if at < cut {
                out.push_str(self.held.get(at..cut).unwrap_or_default());
                at = cut;
            }
        }
        if last {
            *self = Self::default();
        } else {
            self.forget(at);
        }
        out
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.len() == self.gone
    }

    /// Where the text may be cut: before it, whatever comes later, everything is decided.
    fn safe_cut(&self, config: &Config) -> usize {
        let mut cut = self.held.len().saturating_sub(LONGEST);
        while !self.held.is_char_boundary(cut) {
            cut -= 1;
        }
        // A custom pattern may reach over white space; ours do so between groups of digits alone.
        let space = if config.custom.is_empty() { self.last_space_without_number() } else { 0 };
        cut.max(space).max(self.gone)
    }

    /// The place behind the last white space before which there is no digit for a while.
    fn last_space_without_number(&self) -> usize {
        let bytes = self.held.as_bytes();
        let quiet = |end: usize| !bytes.iter().take(end).skip(end.saturating_sub(NUMBER)).any(u8::is_ascii_digit);
        let spaces = bytes.iter().enumerate().rev().filter(|(_, b)| b.is_ascii_whitespace());
        spaces.map(|(at, _)| at + 1).find(|end| quiet(*end)).unwrap_or(0)
    }

    /// Lets go of what went on, but for the character before: what comes next may depend on it.
    fn forget(&mut self, at: usize) {
        let keep = self.held.get(..at).and_then(|gone| gone.chars().next_back()).map_or(0, char::len_utf8);
        self.held.drain(..at - keep);
        self.gone = keep;
    }
}
