//! Records in a file of this plugin, which are not lost in silence.

#[cfg(target_family = "wasm")]
pub use crate::bindings::host::forebay::policy::journal::{JournalError, append};

/// Why a record was not taken.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalError {
    /// As many records wait to be written as may wait.
    Full,
    /// The file cannot be written now.
    Unavailable,
}

/// Takes a record of 1 to 8,192 bytes without control characters.
///
/// # Errors
/// It was not taken.
///
/// # Panics
/// The record is none: in a host the call ends here.
#[cfg(not(target_family = "wasm"))]
pub fn append(record: &str) -> Result<(), JournalError> {
    assert!((1..=8_192).contains(&record.len()), "a record of {} bytes", record.len());
    assert!(!record.chars().any(char::is_control), "a control character in a record");
    crate::testing::with(|host| match host.journal_error {
        Some(error) => Err(error),
        None => {
            host.records.push(record.to_owned());
            Ok(())
        }
    })
}
