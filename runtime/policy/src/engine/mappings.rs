//! How many instances the kernel's limit on memory mappings allows.
//!
//! A live instance costs mappings. At the limit `mmap` fails in places that cannot report it, and the
//! process aborts; so a pool that could reach it is refused at start-up.

use crate::error::PolicyError;

/// Four for an instance, two for the stack it runs on, and room for what is being torn down.
const PER_INSTANCE: u64 = 8;

/// Kept for everything else in the process: code, heaps, libraries, threads.
const RESERVED: u64 = 16_384;

/// What Linux allows when nothing else is set.
const DEFAULT_MAX_MAP_COUNT: u64 = 65_530;

/// The machine's `vm.max_map_count`, or Linux' default where it cannot be read.
pub(super) fn max_map_count() -> u64 {
    std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(DEFAULT_MAX_MAP_COUNT)
}

/// Refuses a pool that could reach the limit.
pub(super) fn check(instances: u32, max_map_count: u64) -> Result<(), PolicyError> {
    let allowed = max_map_count.saturating_sub(RESERVED) / PER_INSTANCE;
    if u64::from(instances) <= allowed {
        return Ok(());
    }
    Err(PolicyError::TooManyInstances {
        asked: instances,
        allowed: u32::try_from(allowed).unwrap_or(u32::MAX),
        max_map_count,
        needed: u64::from(instances) * PER_INSTANCE + RESERVED,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_setting_carries_six_thousand() {
        assert!(check(6_000, DEFAULT_MAX_MAP_COUNT).is_ok());
        assert!(check(6_200, DEFAULT_MAX_MAP_COUNT).is_err());
    }

    #[test]
    fn the_setting_that_is_named_would_do() {
        let Err(PolicyError::TooManyInstances { needed, .. }) = check(20_000, DEFAULT_MAX_MAP_COUNT) else {
            unreachable!("20,000 instances are too many");
        };
        assert!(check(20_000, needed).is_ok());
        assert!(check(20_000, needed - 1).is_err());
    }

    #[test]
    fn a_tiny_setting_allows_none() {
        assert!(check(1, 100).is_err());
    }
}
