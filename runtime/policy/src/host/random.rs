//! The interface `random`.

use wasmtime::Result;

use crate::bindings::random::Host;
use crate::state::{CallState, Stop};

/// The most bytes that one call gives.
const MOST_BYTES: u32 = 1024;

impl CallState {
    fn random(&mut self, bytes: &mut [u8]) -> Result<(), Stop> {
        self.charge(bytes.len())?;
        if self.services.random.fill(bytes) { Ok(()) } else { Err(Stop::Unavailable("the generator of randomness")) }
    }
}

impl Host for CallState {
    fn bytes(&mut self, length: u32) -> Result<Vec<u8>> {
        if length > MOST_BYTES {
            return Err(Stop::BadVerdict(format!("{length} random bytes at once, more than {MOST_BYTES}")).into());
        }
        let mut bytes = vec![0; usize::try_from(length)?];
        self.random(&mut bytes)?;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        self.random(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}
