//! What became of the lookups in a plugin's memo.

/// Counts since the plugin was loaded, over all its hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoStats {
    /// Calls that were answered without running the guest.
    pub hits: u64,
    /// Calls that were looked for in vain.
    pub misses: u64,
    /// Verdicts that were kept.
    pub stores: u64,
    /// Verdicts that were given up for others.
    pub evictions: u64,
    /// What the kept verdicts and the way to them take now, in bytes, roughly.
    pub bytes: u64,
    /// Hooks whose memo switched itself off for good, because two runs that read the same differed.
    pub switched_off: u64,
}

impl MemoStats {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            misses: self.misses + other.misses,
            stores: self.stores + other.stores,
            evictions: self.evictions + other.evictions,
            bytes: self.bytes + other.bytes,
            switched_off: self.switched_off + other.switched_off,
        }
    }
}
