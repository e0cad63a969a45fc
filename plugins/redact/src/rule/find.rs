//! Finding data of well-known forms. Every form is ASCII, no match is longer than [`LONGEST`] bytes, and whether one begins at a
//! place depends on one byte before it and on nothing behind [`LONGEST`] bytes from it.

mod account;
mod address;
mod email;
mod phone;

use super::config::{Config, Kind};

/// The longest match, with the bytes behind it that decide on it.
pub(super) const LONGEST: usize = 384;

/// Something that was found, by byte offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match<'c> {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) name: &'c str,
}

/// Everything that is found, from left to right, without overlaps: what begins first counts, and of what begins together the
/// longest. What begins before `from` was decided earlier.
pub(super) fn find<'c>(config: &'c Config, text: &str, from: usize) -> Vec<Match<'c>> {
    let mut found: Vec<Match<'c>> = Vec::new();
    for kind in &config.patterns {
        let mut tell = |start, end| found.push(Match { start, end, name: kind.name() });
        match kind {
            Kind::Email => email::every(text.as_bytes(), &mut tell),
            _ => every(text.as_bytes(), *kind, &mut tell),
        }
    }
    for custom in &config.custom {
        let mut at = 0;
        while let Some((start, end)) = custom.find(text, at) {
            found.push(Match { start, end, name: &custom.name });
            at = next_char(text, start);
        }
    }
    found.sort_by_key(|one| (one.start, usize::MAX - one.end));
    let mut free = from;
    found.retain(|one| {
        let kept = one.start >= free;
        if kept {
            free = one.end;
        }
        kept
    });
    found
}

fn next_char(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.chars().next()).map_or(at + 1, |c| at + c.len_utf8())
}

/// Tells every place where data of a form begins, and where it ends.
fn every(text: &[u8], kind: Kind, tell: &mut dyn FnMut(usize, usize)) {
    let mut at = 0;
    while at < text.len() {
        let end = match kind {
            // Looked for by its `@`.
            Kind::Email => return,
            Kind::Phone => phone::at(text, at),
            Kind::Card => account::card(text, at),
            Kind::Iban => account::iban(text, at),
            Kind::Ipv4 => address::v4(text, at),
            Kind::Ipv6 => address::v6(text, at),
        };
        match end {
            Some(end) => {
                tell(at, end);
                at = end;
            }
            None => at += 1,
        }
    }
}

/// The byte at a place, or a space where there is none.
fn byte(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(b' ')
}

/// The byte before a place, or a space where there is none.
fn before(text: &[u8], at: usize) -> u8 {
    at.checked_sub(1).map_or(b' ', |at| byte(text, at))
}
