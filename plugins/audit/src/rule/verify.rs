//! Checking a chain, for whoever has the lines. It needs no key: that a record was not made elsewhere is what its MAC is for.

use std::collections::BTreeMap;

use serde_json::Value;

use super::record::hash_of;

/// What is wrong with some lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This line, counted from 0, is not a record.
    NotARecord(usize),
    /// The record at this line was changed.
    Changed(usize),
    /// Two lines have the same place.
    Twice(usize),
    /// A record of this chain is missing before this place.
    Missing(String, u64),
    /// The record at this place does not follow the one before.
    Unlinked(String, u64),
}

/// Checks lines, in any order; gives the number of records. A chain may begin after its first record, when older lines were
/// put away; that its newest are missing cannot be seen from the rest.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify<'l>(lines: impl IntoIterator<Item = &'l str>) -> Result<usize, Fault> {
    let mut chains: BTreeMap<String, BTreeMap<u64, (String, String)>> = BTreeMap::new();
    let mut count = 0;
    for (i, line) in lines.into_iter().enumerate() {
        let record = read(line).ok_or(Fault::NotARecord(i))?;
        if record.hash != hash_of(&record.text) {
            return Err(Fault::Changed(i));
        }
        let chain = chains.entry(record.chain).or_default();
        if chain.insert(record.n, (record.prev, record.hash)).is_some() {
            return Err(Fault::Twice(i));
        }
        count += 1;
    }
    for (name, chain) in &chains {
        let mut before: Option<(u64, &String)> = None;
        for (n, (prev, hash)) in chain {
            match before {
                Some((last, _)) if last + 1 != *n => return Err(Fault::Missing(name.clone(), *n)),
                Some((_, last)) if last != prev => return Err(Fault::Unlinked(name.clone(), *n)),
                None if *n == 0 && !prev.is_empty() => return Err(Fault::Unlinked(name.clone(), *n)),
                _ => before = Some((*n, hash)),
            }
        }
    }
    Ok(count)
}

struct Read {
    chain: String,
    n: u64,
    prev: String,
    hash: String,
    text: String,
}

fn read(line: &str) -> Option<Read> {
    let value: Value = serde_json::from_str(line).ok()?;
    let text = |key: &str| Some(value.get(key)?.as_str()?.to_owned());
    let (hash, mac) = (text("hash")?, text("mac")?);
    let open = line.strip_suffix(&format!(",\"hash\":\"{hash}\",\"mac\":\"{mac}\"}}"))?;
    Some(Read {
        chain: text("chain")?,
        n: value.get("n")?.as_u64()?,
        prev: text("prev")?,
        hash,
        text: format!("{open}}}"),
    })
}
