//! Appending to a chain that many instances write at once, with what the store offers: keeping a value unless there is
//! one.
//!
//! Each place of the chain is a key, and its value is the hash of the record that has it. `set-if-absent` gives a place to
//! exactly one record, and that record already holds the hash of the one before: so the chain cannot fork. Who comes too
//! late takes the next place. Where the end is stands under `head`; that is a hint, which may lag behind.

use forebay_plugin_sdk::key_value;

use super::Broken;
use super::record::{Content, Place, Record};

/// How many places are tried before the request is one that cannot be recorded.
const TRIES: usize = 256;
/// How many places are kept behind the end. One that is gone must not be taken a second time.
const KEPT: u64 = 512;
/// A node that records nothing for so long begins a new chain.
const TTL_S: u32 = 86_400;
const HEAD: &str = "head";

/// Gives the record its place.
pub(super) fn append(content: &Content) -> Result<Record, Broken> {
    let mut head = head(content)?;
    for _ in 0..TRIES {
        let Some(prev) = before(&head)? else {
            // The place before is gone: the hint is old, or the whole chain is.
            head = next_head(&head, content)?;
            continue;
        };
        let place = Place { chain: head.0.clone(), n: head.1, prev };
        let record = Record::new(&place, content);
        if take(&head, &record)? {
            return Ok(record);
        }
        head.1 += 1;
    }
    Err(Broken::NotNow)
}

/// Takes a place, and moves the end behind it.
fn take((chain, n): &(String, u64), record: &Record) -> Result<bool, Broken> {
    let key = key(chain, *n);
    if !key_value::set_if_absent(&key, record.hash.as_bytes(), TTL_S).map_err(|_| Broken::NotNow)? {
        return Ok(false);
    }
    // A place so old that it was taken and forgotten has no predecessor either.
    if *n > 0 && get(&self::key(chain, n - 1))?.is_none() {
        key_value::delete(&key).map_err(|_| Broken::NotNow)?;
        return Err(Broken::NotNow);
    }
    key_value::set(HEAD, format!("{chain}:{}", n + 1).as_bytes(), TTL_S).map_err(|_| Broken::NotNow)?;
    if let Some(old) = n.checked_sub(KEPT) {
        key_value::delete(&self::key(chain, old)).map_err(|_| Broken::NotNow)?;
    }
    Ok(true)
}

/// The hash of the record before a place; an empty one before the first.
fn before((chain, n): &(String, u64)) -> Result<Option<String>, Broken> {
    match n.checked_sub(1) {
        None => Ok(Some(String::new())),
        Some(before) => get(&key(chain, before)),
    }
}

/// Where the end may be: of the chain there is, or of a new one.
fn head(content: &Content) -> Result<(String, u64), Broken> {
    if let Some(head) = known_head()? {
        return Ok(head);
    }
    let chain = new_chain(content);
    key_value::set_if_absent(HEAD, format!("{chain}:0").as_bytes(), TTL_S).map_err(|_| Broken::NotNow)?;
    known_head()?.ok_or(Broken::NotNow)
}

/// Where the end is now, when it is not where it was; a new chain, when it is.
fn next_head(old: &(String, u64), content: &Content) -> Result<(String, u64), Broken> {
    match known_head()? {
        Some(head) if head != *old => Ok(head),
        _ => {
            let chain = new_chain(content);
            key_value::set(HEAD, format!("{chain}:0").as_bytes(), TTL_S).map_err(|_| Broken::NotNow)?;
            known_head()?.ok_or(Broken::NotNow)
        }
    }
}

fn known_head() -> Result<Option<(String, u64)>, Broken> {
    let Some(head) = get(HEAD)? else { return Ok(None) };
    let (chain, n) = head.split_once(':').ok_or(Broken::NotNow)?;
    Ok(Some((chain.to_owned(), n.parse().map_err(|_| Broken::NotNow)?)))
}

/// A name that no other chain has: the time, and the trace of the request that began it.
fn new_chain(content: &Content) -> String {
    let trace: String = content.trace.chars().take(6).collect();
    format!("{:x}-{trace}", content.time_ms)
}

fn key(chain: &str, n: u64) -> String {
    format!("r:{chain}:{n}")
}

fn get(key: &str) -> Result<Option<String>, Broken> {
    let value = key_value::get(key).map_err(|_| Broken::NotNow)?;
    value.map(|value| String::from_utf8(value).map_err(|_| Broken::NotNow)).transpose()
}
