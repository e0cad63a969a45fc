//! Records that have their place in the chain and found no room in the journal: they are kept and written before any other.
//!
//! While some wait, no further place is taken, so a journal that fails for long costs no more records than came at once
//! when it began to fail. One request at a time writes them; others are refused for that moment.

use forebay_plugin_sdk::{journal, key_value};

use super::Broken;

/// How many are kept: about as many as may come at once. More leave a gap.
const KEPT: usize = 64;
/// As long as the chain itself.
const TTL_S: u32 = 86_400;
/// Set while some wait.
const WAITING: &str = "late";
/// Set while a request writes them, and for as long as one that died over it keeps others from it.
const WRITING: &str = "late-writing";
const WRITING_TTL_S: u32 = 1;

/// Keeps a record.
///
/// # Errors
/// No room.
pub(super) fn keep(line: &str) -> Result<(), Broken> {
    for n in 0..KEPT {
        if key_value::set_if_absent(&key(n), line.as_bytes(), TTL_S).map_err(|_| Broken::NotNow)? {
            return key_value::set(WAITING, b"", TTL_S).map_err(|_| Broken::NotNow);
        }
    }
    Err(Broken::NotNow)
}

/// Writes those that wait, if any do.
///
/// # Errors
/// They cannot be written yet, or another request is at it.
pub(super) fn write() -> Result<(), Broken> {
    if key_value::get(WAITING).map_err(|_| Broken::NotNow)?.is_none() {
        return Ok(());
    }
    if !key_value::set_if_absent(WRITING, b"", WRITING_TTL_S).map_err(|_| Broken::NotNow)? {
        return Err(Broken::NotNow);
    }
    let written = write_all();
    key_value::delete(WRITING).map_err(|_| Broken::NotNow)?;
    written
}

fn write_all() -> Result<(), Broken> {
    // Before it looks: who keeps another from now on says so again.
    key_value::delete(WAITING).map_err(|_| Broken::NotNow)?;
    for n in 0..KEPT {
        let Some(line) = key_value::get(&key(n)).map_err(|_| Broken::NotNow)? else { continue };
        let line = String::from_utf8(line).map_err(|_| Broken::NotNow)?;
        if journal::append(&line).is_err() {
            key_value::set(WAITING, b"", TTL_S).map_err(|_| Broken::NotNow)?;
            return Err(Broken::NotNow);
        }
        key_value::delete(&key(n)).map_err(|_| Broken::NotNow)?;
    }
    Ok(())
}

fn key(n: usize) -> String {
    format!("late:{n}")
}
