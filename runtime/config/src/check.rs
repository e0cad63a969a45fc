//! Checks that only the program can make, reported in the same form as the file's own mistakes.

use std::fmt::Display;

use crate::mistake::{MAX_MISTAKES, Mistake, Mistakes};
use crate::source::Source;

/// How alike two names must be (Jaro-Winkler, 0 to 1) for one to be offered in place of the other.
const ALIKE: f64 = 0.8;

/// Collects mistakes found in a value that was loaded from a [`Source`].
#[derive(Debug)]
pub struct Check<'a> {
    source: &'a Source,
    mistakes: Vec<Mistake>,
}

impl<'a> Check<'a> {
    /// Starts with no mistake.
    #[must_use]
    pub fn new(source: &'a Source) -> Self {
        Self { source, mistakes: Vec::new() }
    }

    /// Adds a mistake at a key path such as `routes[2].regions[0]`. A key that the file leaves out is placed at the
    /// nearest table around it. Messages must not contain values that may be secret.
    pub fn mistake(&mut self, path: impl AsRef<str>, message: impl Display, hint: impl Into<Option<String>>) {
        let (path, message) = (path.as_ref(), message.to_string());
        // A default that several tables share may be checked for each of them.
        let told = self.mistakes.iter().any(|known| known.path == path && known.message == message);
        if !told && self.mistakes.len() < MAX_MISTAKES {
            self.mistakes.push(Mistake::at_path(self.source, path, message, hint.into()));
        }
    }

    /// Whether nothing was found so far.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// Ok if nothing was found.
    ///
    /// # Errors
    /// Every mistake that was added, at most [`MAX_MISTAKES`].
    pub fn finish(self) -> Result<(), Mistakes> {
        if self.mistakes.is_empty() { Ok(()) } else { Err(Mistakes::new(self.source.file(), self.mistakes)) }
    }
}

/// A hint that offers the candidate most like `name`: "did you mean `eu-west`?". None if none is alike.
#[must_use]
pub fn did_you_mean<I>(name: &str, candidates: I) -> Option<String>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let scored = candidates.into_iter().map(|candidate| (strsim::jaro_winkler(name, candidate.as_ref()), candidate));
    let best = scored.filter(|(score, _)| *score >= ALIKE).max_by(|(left, _), (right, _)| left.total_cmp(right));
    best.map(|(_, candidate)| format!("did you mean `{}`?", candidate.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_offer_what_is_alike_and_nothing_else() {
        let regions = ["eu-west", "us-east"];
        assert_eq!(did_you_mean("eu-wst", regions), Some("did you mean `eu-west`?".to_owned()));
        assert_eq!(did_you_mean("frankfurt", regions), None);
    }
}
