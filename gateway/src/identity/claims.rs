//! What a verified token says, and the text of single claims, made once.
//!
//! Policies read the same few claims of a token on every request, and each is asked for as JSON text. The first text for a
//! pointer is kept beside the claims; later reads borrow it and take no lock.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use forebay_policy::Absence;
use serde_json::Value;

use super::binding::Binding;
use super::revocation::Subjects;

/// Pointers of one token whose text is kept.
const TEXTS_MAX: usize = 16;
/// Bytes that the kept texts and pointers of one token may have, beside as many as the token's claims have.
const TEXTS_EXTRA_BYTES: usize = 1024;

/// Verified claims.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(super) text: String,
    pub(super) value: Value,
    pub(super) tenant: Option<String>,
    pub(super) issuer: String,
    /// The state of the issuer's keys that the signature was checked with.
    pub(super) generation: u64,
    pub(super) expires_s: u64,
    pub(super) not_before_s: u64,
    pub(super) leeway_s: u64,
    pub(super) binding: Binding,
    /// What it can be revoked by.
    pub(super) subjects: Subjects,
    pub(super) texts: Texts,
}

impl Claims {
    /// Text, tree, kept texts and bookkeeping, roughly.
    pub(super) fn weight_bytes(&self) -> u32 {
        let bytes = self.text.len().saturating_mul(5).saturating_add(TEXTS_EXTRA_BYTES + 2048);
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    /// Issuer and subject, as SHA-256; of a token without a subject, the issuer alone.
    pub(super) fn caller(&self) -> [u8; 32] {
        self.subjects.sub().unwrap_or_else(|| super::sha256(self.issuer.as_bytes()))
    }

    /// Whether the token is valid at `now_s`.
    pub(super) fn check_times(&self, now_s: u64) -> Result<(), Absence> {
        if now_s >= self.expires_s.saturating_add(self.leeway_s) {
            return Err(Absence::Expired);
        }
        if now_s.saturating_add(self.leeway_s) < self.not_before_s {
            return Err(Absence::NotYetValid);
        }
        Ok(())
    }

    /// One claim by JSON Pointer (RFC 6901), as JSON text. Borrowed from the second read on, for the first
    /// [`TEXTS_MAX`] pointers that are asked for.
    pub(super) fn claim(&self, pointer: &str) -> Option<Cow<'_, str>> {
        self.texts.get(pointer, self.text.len().saturating_add(TEXTS_EXTRA_BYTES), || {
            self.value.pointer(pointer).map(Value::to_string)
        })
    }
}

/// A pointer and its text, if there is such a claim.
type Kept = (Box<str>, Option<Box<str>>);

/// Texts by pointer. Slots fill from the front and never change.
#[derive(Debug, Default)]
pub(super) struct Texts {
    slots: [OnceLock<Kept>; TEXTS_MAX],
    bytes: AtomicUsize,
}

impl Texts {
    fn get(&self, pointer: &str, bytes_max: usize, make: impl FnOnce() -> Option<String>) -> Option<Cow<'_, str>> {
        let filled = self.slots.iter().map_while(OnceLock::get);
        let mut count = 0;
        for (known, text) in filled {
            if **known == *pointer {
                return text.as_deref().map(Cow::Borrowed);
            }
            count += 1;
        }
        let text = make();
        if let Some(free) = self.slots.get(count) {
            let bytes = pointer.len() + text.as_ref().map_or(0, String::len);
            if self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= bytes_max {
                // Another thread may have taken the slot for another pointer: this one is then kept the next time.
                let _ = free.set((pointer.into(), text.as_deref().map(Into::into)));
            } else {
                self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            }
        }
        text.map(Cow::Owned)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn with_claims(value: Value) -> Claims {
        Claims {
            text: value.to_string(),
            value,
            tenant: None,
            issuer: "me".into(),
            generation: 0,
            expires_s: 1_000,
            not_before_s: 500,
            leeway_s: 10,
            binding: Binding::default(),
            subjects: Subjects::default(),
            texts: Texts::default(),
        }
    }

    #[test]
    fn times_are_checked_with_leeway() {
        let claims = with_claims(Value::Null);
        assert_eq!(claims.check_times(499 - 10), Err(Absence::NotYetValid));
        assert_eq!(claims.check_times(490), Ok(()));
        assert_eq!(claims.check_times(1_009), Ok(()));
        assert_eq!(claims.check_times(1_010), Err(Absence::Expired));
    }

    #[test]
    fn a_claim_that_was_read_is_borrowed_the_next_time() {
        let claims = with_claims(json!({"scope": "infer", "deep": {"list": [1, 2]}}));
        for (pointer, text) in [
            ("/scope", Some("\"infer\"")),
            ("/deep/list/1", Some("2")),
            ("/none", None),
            ("", Some(claims.text.as_str())),
        ] {
            assert_eq!(claims.claim(pointer).as_deref(), text);
            let again = claims.claim(pointer);
            assert_eq!(again.as_deref(), text);
            assert!(!matches!(again, Some(Cow::Owned(_))), "{pointer}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let claims = with_claims(json!({"a": 1}));
        for index in 0..1_000 {
            assert_eq!(claims.claim(&format!("/{index}")), None);
        }
        assert_eq!(claims.claim("/a").as_deref(), Some("1"));
        assert_eq!(claims.texts.slots.iter().filter_map(OnceLock::get).count(), TEXTS_MAX);

        let long = with_claims(json!({"a": "x".repeat(4_000)}));
        for index in 0..TEXTS_MAX {
            let pointer = format!("/{}", "y".repeat(2_000 + index));
            assert_eq!(long.claim(&pointer), None);
        }
        assert!(long.texts.bytes.load(Ordering::Relaxed) <= long.text.len() + TEXTS_EXTRA_BYTES);
        assert_eq!(long.claim("/a").unwrap().len(), 4_002);
    }
}
