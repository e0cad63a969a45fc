//! The interface `keys`: signing and sealing by the name of a key.

use std::sync::Arc;

use wasmtime::Result;

use crate::bindings::keys::{Host, KeyError};
use crate::services::{KeyFailure, Keys};
use crate::state::{CallState, Stop};

impl CallState {
    fn keys(&mut self, key: &str, purpose: &str, bytes: usize) -> Result<Arc<dyn Keys>, Stop> {
        self.charge(key.len() + purpose.len() + bytes)?;
        self.services.keys.clone().ok_or(Stop::NotHere("keys"))
    }
}

impl Host for CallState {
    fn sign(&mut self, key: String, purpose: String, data: Vec<u8>) -> Result<Result<Vec<u8>, KeyError>> {
        let keys = self.keys(&key, &purpose, data.len())?;
        Ok(keys.sign(&key, &purpose, &data).map_err(KeyError::from))
    }

    fn verify(
        &mut self,
        key: String,
        purpose: String,
        data: Vec<u8>,
        signature: Vec<u8>,
    ) -> Result<Result<bool, KeyError>> {
        let keys = self.keys(&key, &purpose, data.len() + signature.len())?;
        Ok(keys.verify(&key, &purpose, &data, &signature).map_err(KeyError::from))
    }

    fn seal_text(&mut self, key: String, purpose: String, text: String) -> Result<Result<String, KeyError>> {
        let keys = self.keys(&key, &purpose, text.len())?;
        match keys.seal(&key, &purpose, &text) {
            Ok(sealed) => Ok(Ok(self.give(sealed)?)),
            Err(failure) => Ok(Err(failure.into())),
        }
    }

    fn open_text(&mut self, key: String, purpose: String, sealed: String) -> Result<Result<String, KeyError>> {
        let keys = self.keys(&key, &purpose, sealed.len())?;
        match keys.open(&key, &purpose, &sealed) {
            Ok(text) => Ok(Ok(self.give(text)?)),
            Err(failure) => Ok(Err(failure.into())),
        }
    }
}

impl From<KeyFailure> for KeyError {
    fn from(failure: KeyFailure) -> Self {
        match failure {
            KeyFailure::NoKey => Self::NoKey,
            KeyFailure::Rejected => Self::Rejected,
        }
    }
}
