//! Tokens that were checked and are no good, so that sending one again costs no signature check.
//!
//! Only what cannot heal is remembered: a signature that does not fit, or a verified token for somebody else. An unknown
//! key may be fetched, and times pass. New keys of the issuer make the memory of a token worthless.

use std::time::Duration;

use forebay_policy::Absence;

use super::denial::Denial;

/// Tokens remembered.
const REJECTED_MAX: u64 = 8_192;
/// How long one is remembered.
const REJECTED_FOR: Duration = Duration::from_secs(60);

/// Tokens that are no good, by their SHA-256.
pub(super) struct Rejected {
    tokens: moka::sync::Cache<[u8; 32], (u64, Denial)>,
}

impl Rejected {
    pub(super) fn new() -> Self {
        Self { tokens: moka::sync::Cache::builder().max_capacity(REJECTED_MAX).time_to_live(REJECTED_FOR).build() }
    }

    /// Why a token is no good, where that is known for this state of its issuer's keys.
    pub(super) fn find(&self, digest: &[u8; 32], generation: u64) -> Option<Denial> {
        let (checked_with, denial) = self.tokens.get(digest)?;
        (checked_with == generation).then_some(denial)
    }

    /// Remembers a token, if what is wrong with it stays wrong.
    pub(super) fn remember(&self, digest: [u8; 32], generation: u64, denial: Denial) {
        let stays = match denial {
            Denial::Token(absence) => matches!(
                absence,
                Absence::BadSignature | Absence::WrongAudience | Absence::MissingClaim | Absence::Malformed
            ),
            Denial::UnknownBinding => true,
            _ => false,
        };
        if stays {
            self.tokens.insert(digest, (generation, denial));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn only_what_cannot_heal_is_remembered_and_only_for_these_keys() {
        let rejected = Rejected::new();
        rejected.remember([1; 32], 1, Absence::BadSignature.into());
        assert_eq!(rejected.find(&[1; 32], 1), Some(Absence::BadSignature.into()));
        assert_eq!(rejected.find(&[1; 32], 2), None);
        assert_eq!(rejected.find(&[2; 32], 1), None);
        for heals in [
            Absence::UnknownKey,
            Absence::Expired,
            Absence::NotYetValid,
            Absence::UnknownIssuer,
            Absence::Missing,
            Absence::Revoked,
        ] {
            rejected.remember([3; 32], 1, heals.into());
            assert_eq!(rejected.find(&[3; 32], 1), None, "{heals:?}");
        }
    }

    #[test]
    fn a_flood_does_not_grow_it() {
        let rejected = Rejected::new();
        for index in 0..3 * REJECTED_MAX {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&index.to_be_bytes());
            rejected.remember(digest, 1, Absence::BadSignature.into());
        }
        rejected.tokens.run_pending_tasks();
        assert!(rejected.tokens.entry_count() <= REJECTED_MAX);
    }
}
