//! The form of an artefact's file: what it was made from, what was found out, the code, and a MAC over all of it.
//!
//! `magic (16) | length, key | length, imports | length, code | MAC (32)`, each length a u64, little-endian. Nothing is
//! read of a file whose MAC is wrong.

use ring::hmac;

const MAGIC: &[u8; 16] = b"forebay artefact";
const MAC_BYTES: usize = 32;
const BETWEEN_IMPORTS: char = ',';

/// Bytes that this node wrote.
pub(super) struct Authentic<'a>(&'a [u8]);

impl Authentic<'_> {
    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0
    }
}

/// What a file holds.
pub(super) struct Parts<'a> {
    /// What it was made from.
    pub(super) key: &'a [u8],
    /// Names of the capabilities that the component uses.
    pub(super) imports: std::str::Split<'a, char>,
    /// The code.
    pub(super) code: Authentic<'a>,
}

/// Writes a file.
pub(super) fn write<'i>(mac: &hmac::Key, key: &[u8], imports: impl Iterator<Item = &'i str>, code: &[u8]) -> Vec<u8> {
    let imports = imports.collect::<Vec<_>>().join(&BETWEEN_IMPORTS.to_string());
    let mut file = Vec::with_capacity(code.len() + 512);
    file.extend_from_slice(MAGIC);
    for part in [key, imports.as_bytes(), code] {
        file.extend_from_slice(&(part.len() as u64).to_le_bytes());
        file.extend_from_slice(part);
    }
    let tag = hmac::sign(mac, &file);
    file.extend_from_slice(tag.as_ref());
    file
}

/// The contents of a file that was written under this key.
pub(super) fn verify<'f>(mac: &hmac::Key, file: &'f [u8]) -> Option<Authentic<'f>> {
    let (contents, tag) = file.split_at_checked(file.len().checked_sub(MAC_BYTES)?)?;
    hmac::verify(mac, contents, tag).ok().map(|()| Authentic(contents))
}

/// Takes contents apart.
pub(super) fn parse<'f>(contents: &Authentic<'f>) -> Option<Parts<'f>> {
    let mut rest = contents.0.strip_prefix(MAGIC)?;
    let (key, imports, code) = (part(&mut rest)?, part(&mut rest)?, part(&mut rest)?);
    if !rest.is_empty() {
        return None;
    }
    let imports = std::str::from_utf8(imports).ok()?;
    let mut imports = imports.split(BETWEEN_IMPORTS);
    // Nothing between no commas is no name.
    if imports.clone().eq([""]) {
        imports.next();
    }
    Some(Parts { key, imports, code: Authentic(code) })
}

fn part<'f>(rest: &mut &'f [u8]) -> Option<&'f [u8]> {
    let (length, after) = rest.split_first_chunk::<8>()?;
    let (part, after) = after.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    *rest = after;
    Some(part)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    fn mac(byte: u8) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32])
    }

    #[test]
    fn what_was_written_is_read_and_only_under_its_key() {
        for imports in [&[][..], &["http"], &["http", "log"]] {
            let file = write(&mac(1), &[7; 32], imports.iter().copied(), b"code");
            let contents = verify(&mac(1), &file).unwrap();
            let parts = parse(&contents).unwrap();
            assert_eq!((parts.key, parts.code.bytes()), (&[7; 32][..], &b"code"[..]));
            assert_eq!(parts.imports.collect::<Vec<_>>(), imports);
            assert!(verify(&mac(2), &file).is_none());
        }
    }

    #[test]
    fn a_cut_file_is_none() {
        let file = write(&mac(1), &[7; 32], ["http"].into_iter(), b"code");
        for end in 0..file.len() {
            assert!(verify(&mac(1), &file[..end]).is_none(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn no_flipped_bit_passes(code in proptest::collection::vec(any::<u8>(), 0..300), at in any::<Index>(), bit in 0..8_u8) {
            let mut file = write(&mac(1), &[7; 32], ["http"].into_iter(), &code);
            let at = at.index(file.len());
            file[at] ^= 1_u8 << bit;
            prop_assert!(verify(&mac(1), &file).is_none());
        }

        #[test]
        fn whatever_has_a_mac_is_parsed_without_harm(contents in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&Authentic(&contents));
            let framed = [MAGIC.as_slice(), &contents].concat();
            let _ = parse(&Authentic(&framed));
        }
    }
}
