//! The interface `outbound`: HTTP to the origins that this plugin may reach.

use std::time::Duration;

use bytes::Bytes;
use wasmtime::Result;

use crate::bindings::outbound::{Host, Incoming as WitIncoming, OutboundError, Outgoing as WitOutgoing};
use crate::bindings::types::Header;
use crate::services::{Incoming, OutboundFailure, Outgoing};
use crate::state::{CallState, Stop};

impl Host for CallState {
    async fn send(&mut self, request: WitOutgoing) -> Result<Result<WitIncoming, OutboundError>> {
        let fields: usize = request.headers.iter().map(|field| field.name.len() + field.value.len()).sum();
        self.charge(request.url.len() + request.body.len() + fields)?;
        let outbound = self.services.outbound.clone().ok_or(Stop::NotHere("outbound"))?;
        let deadline = self.context()?.deadline;
        match self.wait(outbound.send(request.into(), deadline)).await? {
            Ok(answer) => {
                let fields: usize = answer.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
                self.charge_bytes(fields + answer.body.len())?;
                Ok(Ok(answer.into()))
            }
            Err(failure) => Ok(Err(failure.into())),
        }
    }
}

impl From<WitOutgoing> for Outgoing {
    fn from(request: WitOutgoing) -> Self {
        Self {
            method: request.method,
            url: request.url,
            headers: request.headers.into_iter().map(|field| (field.name, field.value)).collect(),
            body: Bytes::from(request.body),
            timeout: Duration::from_millis(request.timeout_ms.into()),
        }
    }
}

impl From<Incoming> for WitIncoming {
    fn from(answer: Incoming) -> Self {
        let headers = answer.headers.into_iter().map(|(name, value)| Header { name, value }).collect();
        Self { status: answer.status, headers, body: answer.body.into() }
    }
}

impl From<OutboundFailure> for OutboundError {
    fn from(failure: OutboundFailure) -> Self {
        match failure {
            OutboundFailure::NotAllowed => Self::NotAllowed,
            OutboundFailure::BadRequest => Self::BadRequest,
            OutboundFailure::Unreachable => Self::Unreachable,
            OutboundFailure::Timeout => Self::Timeout,
            OutboundFailure::TooLarge => Self::TooLarge,
            OutboundFailure::Busy => Self::Busy,
        }
    }
}
