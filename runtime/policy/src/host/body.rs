//! The interface `body`: a part of a body, read and replaced.

use bytes::Bytes;
use wasmtime::Result;
use wasmtime::component::Resource;

use super::PartHandle;
use crate::bindings::body::{Host, HostPart, Kind, Side as WitSide};
use crate::context::{Part, PartKind};
use crate::phase::Side;
use crate::state::{CallState, Stop};

impl CallState {
    fn part(&mut self, bytes: usize) -> Result<&mut Part, Stop> {
        self.charge(bytes)?;
        self.subject.part.as_mut().ok_or(Stop::NotHere("part"))
    }
}

impl Host for CallState {}

impl HostPart for CallState {
    fn kind(&mut self, _: Resource<PartHandle>) -> Result<Kind> {
        Ok(self.part(0)?.kind.into())
    }

    fn side(&mut self, _: Resource<PartHandle>) -> Result<WitSide> {
        Ok(self.part(0)?.side.into())
    }

    fn content_type(&mut self, _: Resource<PartHandle>) -> Result<Option<String>> {
        let value = self.part(0)?.content_type.as_ref().map(|value| value.as_ref().to_owned());
        Ok(value.map(|value| self.give(value)).transpose()?)
    }

    fn last(&mut self, _: Resource<PartHandle>) -> Result<bool> {
        Ok(self.part(0)?.last)
    }

    fn size(&mut self, _: Resource<PartHandle>) -> Result<u64> {
        Ok(self.part(0)?.bytes.len() as u64)
    }

    fn read(&mut self, _: Resource<PartHandle>, offset: u64, length: u32) -> Result<Vec<u8>> {
        let bytes = self.part(0)?.bytes.clone();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(bytes.len());
        Ok(self.give(bytes.get(start..end).unwrap_or_default())?.to_vec())
    }

    fn replace(&mut self, _: Resource<PartHandle>, bytes: Vec<u8>) -> Result<()> {
        let most = self.limits().part_bytes;
        let part = self.part(bytes.len())?;
        if bytes.len() > most {
            return Err(Stop::BadVerdict(format!("a part of {} bytes, more than {most}", bytes.len())).into());
        }
        part.bytes = Bytes::from(bytes);
        Ok(())
    }

    fn drop(&mut self, _: Resource<PartHandle>) -> Result<()> {
        Ok(())
    }
}

impl From<PartKind> for Kind {
    fn from(kind: PartKind) -> Self {
        match kind {
            PartKind::Whole => Self::Whole,
            PartKind::Chunk => Self::Chunk,
            PartKind::Event => Self::Event,
            PartKind::Text => Self::Text,
            PartKind::Binary => Self::Binary,
        }
    }
}

impl From<Side> for WitSide {
    fn from(side: Side) -> Self {
        match side {
            Side::Request => Self::Request,
            Side::Response => Self::Response,
        }
    }
}
