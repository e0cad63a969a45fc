//! The interface `clock`.

use std::time::UNIX_EPOCH;

use wasmtime::Result;

use crate::bindings::clock::Host;
use crate::state::CallState;

impl Host for CallState {
    fn now_ms(&mut self) -> Result<u64> {
        self.charge(0)?;
        let since = self.services.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic_us(&mut self) -> Result<u64> {
        self.charge(0)?;
        Ok(u64::try_from(self.services.clock.monotonic().as_micros()).unwrap_or(u64::MAX))
    }
}
