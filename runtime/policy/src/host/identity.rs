//! The interface `identity`: verified claims, or why there are none.

use wasmtime::Result;

use crate::bindings::identity::{Absence as WitAbsence, Host};
use crate::state::{CallState, Stop};
use crate::views::{Absence, IdentityView};

impl CallState {
    fn identity(&mut self) -> Result<&dyn IdentityView, Stop> {
        self.charge()?;
        self.subject.identity.as_deref().ok_or(Stop::NotHere("identity"))
    }
}

impl Host for CallState {
    fn verify(&mut self) -> Result<Result<(), WitAbsence>> {
        Ok(self.identity()?.claims().map(|_| ()).map_err(WitAbsence::from))
    }

    fn claims(&mut self) -> Result<Result<String, WitAbsence>> {
        Ok(self.identity()?.claims().map(str::to_owned).map_err(WitAbsence::from))
    }

    fn claim(&mut self, pointer: String) -> Result<Option<String>> {
        Ok(self.identity()?.claim(&pointer))
    }

    fn tenant(&mut self) -> Result<Option<String>> {
        Ok(self.identity()?.tenant().map(str::to_owned))
    }
}

impl From<Absence> for WitAbsence {
    fn from(absence: Absence) -> Self {
        match absence {
            Absence::Missing => Self::Missing,
            Absence::Malformed => Self::Malformed,
            Absence::UnknownIssuer => Self::UnknownIssuer,
            Absence::UnknownKey => Self::UnknownKey,
            Absence::BadAlgorithm => Self::BadAlgorithm,
            Absence::BadSignature => Self::BadSignature,
            Absence::Expired => Self::Expired,
            Absence::NotYetValid => Self::NotYetValid,
            Absence::WrongAudience => Self::WrongAudience,
            Absence::MissingClaim => Self::MissingClaim,
            Absence::Revoked => Self::Revoked,
        }
    }
}
