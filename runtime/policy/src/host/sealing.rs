//! The interface `sealing`: fields of a message, sealed and opened by the caller of this crate.

use wasmtime::Result;
use wasmtime::component::Resource;

use super::MessageHandle;
use crate::bindings::sealing::{Field as WitField, Host, HostMessage, SealError};
use crate::phase::Phase;
use crate::state::{CallState, Stop};
use crate::views::{Field, Message, SealFailure};

impl CallState {
    fn message(&mut self) -> Result<&mut Box<dyn Message>, Stop> {
        self.charge()?;
        self.subject.message.as_mut().ok_or(Stop::NotHere("message"))
    }
}

impl Host for CallState {}

impl HostMessage for CallState {
    fn model(&mut self, _: Resource<MessageHandle>) -> Result<Option<String>> {
        Ok(self.message()?.model().map(str::to_owned))
    }

    fn has(&mut self, _: Resource<MessageHandle>, field: WitField) -> Result<bool> {
        Ok(self.message()?.has(&field.into()))
    }

    fn seal(&mut self, _: Resource<MessageHandle>, field: WitField, key: String) -> Result<Result<(), SealError>> {
        Ok(self.message()?.seal(&field.into(), &key).map_err(SealError::from))
    }

    fn open(&mut self, _: Resource<MessageHandle>, field: WitField, key: String) -> Result<Result<(), SealError>> {
        Ok(self.message()?.open(&field.into(), &key).map_err(SealError::from))
    }

    fn expect_sealed(
        &mut self,
        _: Resource<MessageHandle>,
        output: String,
        key: String,
    ) -> Result<Result<(), SealError>> {
        let forward = self.phase == Some(Phase::Forward);
        let message = self.message()?;
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
