//! The interface `identity`: verified claims, or why there are none.

use wasmtime::Result;

use crate::bindings::identity::{Absence as WitAbsence, Host};
use crate::facts::{Read, Value};
use crate::state::{CallState, Stop};
use crate::views::Absence;

impl Host for CallState {
    fn verify(&mut self) -> Result<Result<(), WitAbsence>> {
        self.charge(0)?;
        Ok(match self.look(&Read::Verify)? {
            Value::Absent(absence) => Err(absence.into()),
            _ => Ok(()),
        })
    }

    fn claims(&mut self) -> Result<Result<String, WitAbsence>> {
        self.charge(0)?;
        Ok(match self.look(&Read::Claims)? {
            Value::Absent(absence) => Err(absence.into()),
            claims => Ok(claims.into_text().ok_or(Stop::NotHere("no claims"))?),
        })
    }

    fn claim(&mut self, pointer: String) -> Result<Option<String>> {
        self.charge(pointer.len())?;
        Ok(self.look(&Read::Claim(pointer.into()))?.into_text())
    }

    fn tenant(&mut self) -> Result<Option<String>> {
        self.charge(0)?;
        Ok(self.look(&Read::Tenant)?.into_text())
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
