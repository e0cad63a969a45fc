//! The interface `notes`: from one hook to the next of the same request.

use std::sync::Arc;

use wasmtime::Result;

use crate::bindings::notes::Host;
use crate::state::CallState;

impl Host for CallState {
    fn set(&mut self, name: String, value: Vec<u8>) -> Result<bool> {
        self.charge(name.len() + value.len())?;
        let notes = Arc::clone(&self.context()?.notes);
        Ok(notes.set(&self.plugin, name, value))
    }

    fn get(&mut self, name: String) -> Result<Option<Vec<u8>>> {
        self.charge(name.len())?;
        let note = self.context()?.notes.get(&self.plugin, &name);
        Ok(note.map(|note| self.give(note)).transpose()?)
    }
}
