//! The interface `journal`: records that are written or refused, never dropped.

use wasmtime::Result;

use crate::bindings::journal::{Host, JournalError};
use crate::services::JournalFailure;
use crate::state::{CallState, Stop};

/// The longest record.
const RECORD_BYTES: usize = 8 * 1024;

impl Host for CallState {
    fn append(&mut self, record: String) -> Result<Result<(), JournalError>> {
        self.charge(record.len())?;
        check(&record)?;
        let journal = self.services.journal.as_ref().ok_or(Stop::NotHere("journal"))?;
        Ok(journal.append(&record).map_err(JournalError::from))
    }
}

/// A record is one line. It is not mended: a hash or a signature over it would not hold any more.
fn check(record: &str) -> Result<(), Stop> {
    let bytes = record.len();
    if !(1..=RECORD_BYTES).contains(&bytes) {
        return Err(Stop::BadVerdict(format!("a record of {bytes} bytes is not between 1 and {RECORD_BYTES}")));
    }
    if record.chars().any(char::is_control) {
        return Err(Stop::BadVerdict("a record holds a control character".to_owned()));
    }
    Ok(())
}

impl From<JournalFailure> for JournalError {
    fn from(failure: JournalFailure) -> Self {
        match failure {
            JournalFailure::Full => Self::Full,
            JournalFailure::Unavailable => Self::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_of_bounded_length() {
        for good in ["{}", "\u{e9}", &"x".repeat(RECORD_BYTES)] {
            assert_eq!(check(good), Ok(()));
        }
        for bad in ["", "a\nb", "a\r", "\u{1b}[31m", "a\u{85}b", "\u{7f}", "\0", &"x".repeat(RECORD_BYTES + 1)] {
            assert!(matches!(check(bad), Err(Stop::BadVerdict(_))), "{bad:?}");
        }
    }
}
