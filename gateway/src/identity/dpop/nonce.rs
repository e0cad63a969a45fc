//! Nonces that clients must put into their proofs (RFC 9449, section 9): the time, signed by this node. They are kept
//! nowhere, and a proof made ahead, or for another node, is worth nothing here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

/// How long a nonce is good.
const LIFE_S: u64 = 300;
/// From this age on, answers bring a new one.
const RENEW_S: u64 = LIFE_S / 2;
const TIME_BYTES: usize = 8;
const TAG_BYTES: usize = 32;

/// Makes and knows nonces.
pub(in crate::identity) struct Nonces {
    key: hmac::Key,
}

/// A nonce that is good.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::identity) struct Known {
    /// The client should have a new one.
    pub(in crate::identity) renew: bool,
}

impl Nonces {
    /// With a key that nobody else has.
    pub(in crate::identity) fn new() -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>()) }
    }

    /// The nonce of this second.
    pub(in crate::identity) fn make(&self, now_s: u64) -> String {
        let time = now_s.to_be_bytes();
        let tag = hmac::sign(&self.key, &time);
        let bytes: Vec<u8> = time.iter().chain(tag.as_ref()).copied().collect();
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Whether a nonce was made here, not too long ago.
    pub(in crate::identity) fn check(&self, nonce: &str, now_s: u64) -> Option<Known> {
        let mut bytes = [0; TIME_BYTES + TAG_BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(nonce, &mut bytes).ok()?;
        let (time, tag) = bytes.split_first_chunk::<TIME_BYTES>()?;
        let made_s = u64::from_be_bytes(*time);
        if length != bytes.len() || made_s > now_s || now_s - made_s > LIFE_S {
            return None;
        }
        hmac::verify(&self.key, time, tag).ok()?;
        Some(Known { renew: now_s - made_s >= RENEW_S })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_nonce_is_good_for_a_while_and_here() {
        let (nonces, others) = (Nonces::new(), Nonces::new());
        let nonce = nonces.make(1_000);
        assert_eq!(nonces.check(&nonce, 1_000), Some(Known { renew: false }));
        assert_eq!(nonces.check(&nonce, 1_000 + RENEW_S), Some(Known { renew: true }));
        assert_eq!(nonces.check(&nonce, 1_000 + LIFE_S), Some(Known { renew: true }));
        assert_eq!(nonces.check(&nonce, 1_001 + LIFE_S), None);
        assert_eq!(nonces.check(&nonce, 999), None);
        assert_eq!(others.check(&nonce, 1_000), None);
    }

    proptest! {
        #[test]
        fn what_was_not_made_here_is_not_good(text in "\\PC{0,40}", now_s: u64) {
            prop_assert_eq!(Nonces::new().check(&text, now_s), None);
        }
    }
}
