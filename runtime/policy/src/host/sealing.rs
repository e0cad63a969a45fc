//! The interface `sealing`: fields of a message, sealed and opened by the caller of this crate.

use wasmtime::Result;
use wasmtime::component::Resource;

use super::MessageHandle;
use crate::bindings::sealing::{Field as WitField, Host, HostMessage, SealError};
use crate::phase::Phase;
use crate::state::{CallState, Stop};
use crate::views::{Field, Message, SealFailure};

impl CallState {
    fn message(&mut self, bytes: usize) -> Result<&mut Box<dyn Message>, Stop> {
        self.charge(bytes)?;
        self.subject.message.as_mut().ok_or(Stop::NotHere("message"))
    }
}

impl Host for CallState {}

impl HostMessage for CallState {
    fn model(&mut self, _: Resource<MessageHandle>) -> Result<Option<String>> {
        let model = self.message(0)?.model().map(str::to_owned);
        Ok(model.map(|model| self.give(model)).transpose()?)
    }

    fn has(&mut self, _: Resource<MessageHandle>, field: WitField) -> Result<bool> {
        Ok(self.message(length(&field))?.has(&field.into()))
    }

    fn seal(&mut self, _: Resource<MessageHandle>, field: WitField, key: String) -> Result<Result<(), SealError>> {
        let bytes = length(&field) + key.len();
        Ok(self.message(bytes)?.seal(&field.into(), &key).map_err(SealError::from))
    }

    fn open(&mut self, _: Resource<MessageHandle>, field: WitField, key: String) -> Result<Result<(), SealError>> {
        let bytes = length(&field) + key.len();
        Ok(self.message(bytes)?.open(&field.into(), &key).map_err(SealError::from))
    }

    fn expect_sealed(
        &mut self,
        _: Resource<MessageHandle>,
        output: String,
        key: String,
    ) -> Result<Result<(), SealError>> {
        let forward = self.phase == Some(Phase::Forward);
        let message = self.message(output.len() + key.len())?;
        Ok(if forward {
            message.expect_sealed(&output, &key).map_err(SealError::from)
        } else {
            Err(SealError::Unsupported)
        })
    }

    fn drop(&mut self, _: Resource<MessageHandle>) -> Result<()> {
        Ok(())
    }
}

/// The bytes of a field's name.
fn length(field: &WitField) -> usize {
    match field {
        WitField::Input(name) | WitField::Output(name) | WitField::Json(name) => name.len(),
    }
}

impl From<WitField> for Field {
    fn from(field: WitField) -> Self {
        match field {
            WitField::Input(name) => Self::Input(name),
            WitField::Output(name) => Self::Output(name),
            WitField::Json(pointer) => Self::Json(pointer),
        }
    }
}

impl From<SealFailure> for SealError {
    fn from(failure: SealFailure) -> Self {
        match failure {
            SealFailure::NoField => Self::NoField,
            SealFailure::NoKey => Self::NoKey,
            SealFailure::NotSealed => Self::NotSealed,
            SealFailure::AlreadySealed => Self::AlreadySealed,
            SealFailure::Rejected => Self::Rejected,
            SealFailure::Unsupported => Self::Unsupported,
        }
    }
}
