//! The interface `counters`: counters and token buckets of this plugin.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Result;

use super::{KEY_BYTES, millis, within_day};
use crate::bindings::counters::{CounterError, Host, Taken as WitTaken};
use crate::services::{CounterFailure, Counters, Take, Taken};
use crate::state::{CallState, Stop};

impl CallState {
    /// The store, for a key of legal length.
    fn counters(&mut self, key: &str) -> Result<Result<Arc<dyn Counters>, CounterError>, Stop> {
        self.charge(key.len())?;
        let counters = self.services.counters.clone().ok_or(Stop::NotHere("counters"))?;
        Ok(if key.len() > KEY_BYTES { Err(CounterError::Full) } else { Ok(counters) })
    }
}

impl Host for CallState {
    async fn add(&mut self, key: String, by: u64, window_s: u32) -> Result<Result<u64, CounterError>> {
        let window = Duration::from_secs(within_day(window_s)?);
        match self.counters(&key)? {
            Ok(counters) => Ok(self.wait(counters.add(&key, by, window)).await?.map_err(CounterError::from)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn get(&mut self, key: String) -> Result<Result<u64, CounterError>> {
        match self.counters(&key)? {
            Ok(counters) => Ok(self.wait(counters.get(&key)).await?.map_err(CounterError::from)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn take(
        &mut self,
        bucket: String,
        tokens: u64,
        capacity: u64,
        per_minute: u64,
    ) -> Result<Result<WitTaken, CounterError>> {
        let take = Take { tokens, capacity, per_minute };
        match self.counters(&bucket)? {
            Ok(counters) => {
                let taken = self.wait(counters.take(&bucket, take)).await?;
                Ok(taken.map(WitTaken::from).map_err(CounterError::from))
            }
            Err(error) => Ok(Err(error)),
        }
    }
}

impl From<Taken> for WitTaken {
    fn from(taken: Taken) -> Self {
        Self {
            granted: taken.granted,
            remaining: taken.remaining,
            retry_after_ms: millis(taken.retry_after),
            reset_ms: millis(taken.reset),
        }
    }
}

impl From<CounterFailure> for CounterError {
    fn from(failure: CounterFailure) -> Self {
        match failure {
            CounterFailure::Full => Self::Full,
            CounterFailure::Unavailable => Self::Unavailable,
        }
    }
}
