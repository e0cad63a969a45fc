//! The interface `identity`: verified claims, or why there are none.

use std::sync::Arc;

use wasmtime::Result;

use crate::bindings::identity::{Absence as WitAbsence, Host};
use crate::state::{CallState, Stop};
use crate::views::{Absence, IdentityView};

impl CallState {
    fn identity(&mut self, bytes: usize) -> Result<Arc<dyn IdentityView>, Stop> {
        self.charge(bytes)?;
        self.subject.identity.clone().ok_or(Stop::NotHere("identity"))
    }
}

impl Host for CallState {
    fn verify(&mut self) -> Result<Result<(), WitAbsence>> {
        Ok(self.identity(0)?.claims().map(|_| ()).map_err(WitAbsence::from))
    }

    fn claims(&mut self) -> Result<Result<String, WitAbsence>> {
        Ok(match self.identity(0)?.claims() {
            Ok(claims) => Ok(self.give(claims)?.to_owned()),
            Err(absence) => Err(absence.into()),
        })
    }

    fn claim(&mut self, pointer: String) -> Result<Option<String>> {
        let claim = self.identity(pointer.len())?.claim(&pointer);
        Ok(claim.map(|claim| self.give(claim)).transpose()?)
    }

    fn tenant(&mut self) -> Result<Option<String>> {
        let identity = self.identity(0)?;
        let tenant = identity.tenant().map(|tenant| self.give(tenant)).transpose()?;
        Ok(tenant.map(str::to_owned))
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
