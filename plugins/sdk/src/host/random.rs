//! Randomness from the node's generator.

#[cfg(target_family = "wasm")]
pub use crate::bindings::host::forebay::policy::random::{bytes, number};

/// So many bytes, at most 1,024.
#[cfg(not(target_family = "wasm"))]
#[must_use]
pub fn bytes(length: u32) -> Vec<u8> {
    (0..length).map(|_| number().to_le_bytes()[0]).collect()
}

/// Sixty-four bits.
#[cfg(not(target_family = "wasm"))]
#[must_use]
pub fn number() -> u64 {
    // SplitMix64 (Steele, Lea, Flood 2014): the same seed gives the same numbers.
    crate::testing::with(|host| {
        host.seed = host.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = host.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}
