//! The interface `key-value`: small values of this plugin.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wasmtime::Result;

use super::{KEY_BYTES, within_day};
use crate::bindings::key_value::{Host, StoreError};
use crate::services::{KeyValue, StoreFailure};
use crate::state::{CallState, Stop};

/// The longest value.
const VALUE_BYTES: usize = 64 * 1024;

impl CallState {
    fn store(&mut self, key: &str, value: &[u8]) -> Result<Result<Arc<dyn KeyValue>, StoreError>, Stop> {
        self.charge(key.len() + value.len())?;
        let store = self.services.key_value.clone().ok_or(Stop::NotHere("key-value"))?;
        let fits = key.len() <= KEY_BYTES && value.len() <= VALUE_BYTES;
        Ok(if fits { Ok(store) } else { Err(StoreError::TooLarge) })
    }

    async fn keep(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_s: u32,
        if_absent: bool,
    ) -> Result<Result<bool, StoreError>> {
        let ttl = Duration::from_secs(within_day(ttl_s)?);
        match self.store(&key, &value)? {
            Ok(store) => {
                let kept = self.wait(store.set(&key, Bytes::from(value), ttl, if_absent)).await?;
                Ok(kept.map_err(StoreError::from))
            }
            Err(error) => Ok(Err(error)),
        }
    }
}

impl Host for CallState {
    async fn get(&mut self, key: String) -> Result<Result<Option<Vec<u8>>, StoreError>> {
        let store = match self.store(&key, &[])? {
            Ok(store) => store,
            Err(error) => return Ok(Err(error)),
        };
        match self.wait(store.get(&key)).await? {
            Ok(value) => Ok(Ok(value.map(|value| self.give(value)).transpose()?.map(Vec::from))),
            Err(failure) => Ok(Err(failure.into())),
        }
    }

    async fn set(&mut self, key: String, value: Vec<u8>, ttl_s: u32) -> Result<Result<(), StoreError>> {
        Ok(self.keep(key, value, ttl_s, false).await?.map(drop))
    }

    async fn set_if_absent(&mut self, key: String, value: Vec<u8>, ttl_s: u32) -> Result<Result<bool, StoreError>> {
        self.keep(key, value, ttl_s, true).await
    }

    async fn delete(&mut self, key: String) -> Result<Result<(), StoreError>> {
        match self.store(&key, &[])? {
            Ok(store) => Ok(self.wait(store.delete(&key)).await?.map_err(StoreError::from)),
            Err(error) => Ok(Err(error)),
        }
    }
}

impl From<StoreFailure> for StoreError {
    fn from(failure: StoreFailure) -> Self {
        match failure {
            StoreFailure::Full => Self::Full,
            StoreFailure::TooLarge => Self::TooLarge,
            StoreFailure::Unavailable => Self::Unavailable,
        }
    }
}
