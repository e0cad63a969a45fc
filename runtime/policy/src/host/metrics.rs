//! The interface `metrics`: a plugin's own numbers.

use std::sync::Arc;

use wasmtime::Result;

use crate::bindings::metrics::Host;
use crate::services::Numbers;
use crate::state::{CallState, Stop};

impl CallState {
    fn numbers(&mut self, name: &str) -> Result<Arc<dyn Numbers>, Stop> {
        self.charge(name.len())?;
        self.services.numbers.clone().ok_or(Stop::NotHere("metrics"))
    }
}

impl Host for CallState {
    fn count(&mut self, name: String, by: u64) -> Result<()> {
        self.numbers(&name)?.count(&name, by);
        Ok(())
    }

    fn observe(&mut self, name: String, value: f64) -> Result<()> {
        let numbers = self.numbers(&name)?;
        // What is no number would spoil the sum of all others.
        if value.is_finite() {
            numbers.observe(&name, value);
        }
        Ok(())
    }
}
