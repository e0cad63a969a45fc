//! The interface `http`: heads and trailers, read one attribute at a time.

use std::borrow::Cow;

use wasmtime::Result;
use wasmtime::component::Resource;

use super::{RequestHandle, ResponseHandle, THE_ONE, TrailersHandle};
use crate::bindings::http::{Host, HostRequest, HostResponse, HostTrailers};
use crate::edits::Head;
use crate::facts::Read;
use crate::fields::{combined, names, readable};
use crate::state::{CallState, Stop};

impl CallState {
    fn text(&mut self, read: &Read<'_>) -> Result<String, Stop> {
        self.charge(0)?;
        self.look(read)?.into_text().ok_or(Stop::NotHere("no such text"))
    }

    fn maybe_text(&mut self, read: &Read<'_>) -> Result<Option<String>, Stop> {
        self.charge(0)?;
        Ok(self.look(read)?.into_text())
    }

    /// A field of a head, after the edits that this hook made on it. What they say was not read from outside.
    fn field(
        &mut self,
        head: Head,
        name: &str,
        base: impl FnOnce(&mut Self, Cow<'_, str>) -> Result<Option<Vec<u8>>, Stop>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        self.charge(name.len())?;
        let Some(name) = readable(name) else { return Ok(None) };
        match self.edits_of(head).and_then(|edits| edits.overlay(&name)) {
            Some(edited) => edited.map(<[u8]>::to_vec).map(|value| self.give(value)).transpose(),
            None => base(self, name),
        }
    }

    /// The names of the fields of a head, after those edits.
    fn field_names(&self, head: Head, base: Vec<String>) -> Vec<String> {
        match self.edits_of(head) {
            Some(edits) => edits.overlay_names(base),
            None => base,
        }
    }

    fn trailers(&self) -> Result<&http::HeaderMap, Stop> {
        self.subject.trailers.as_deref().ok_or(Stop::NotHere("trailers"))
    }
}

impl Host for CallState {
    fn current_request(&mut self) -> Result<Resource<RequestHandle>> {
        self.charge(0)?;
        self.context()?;
        Ok(Resource::new_own(THE_ONE))
    }
}

impl HostRequest for CallState {
    fn method(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        Ok(self.text(&Read::Method)?)
    }

    fn path(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        Ok(self.text(&Read::Path)?)
    }

    fn host(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        Ok(self.text(&Read::Host)?)
    }

    fn query(&mut self, _: Resource<RequestHandle>) -> Result<Option<String>> {
        Ok(self.maybe_text(&Read::Query)?)
    }

    fn header(&mut self, _: Resource<RequestHandle>, name: String) -> Result<Option<Vec<u8>>> {
        Ok(self.field(Head::Request, &name, |state, name| Ok(state.look(&Read::Header(name))?.into_bytes()))?)
    }

    fn route(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        Ok(self.text(&Read::Route)?)
    }

    fn model(&mut self, _: Resource<RequestHandle>) -> Result<Option<String>> {
        Ok(self.maybe_text(&Read::Model)?)
    }

    fn dialect(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        Ok(self.text(&Read::Dialect)?)
    }

    fn header_names(&mut self, _: Resource<RequestHandle>) -> Result<Vec<String>> {
        self.charge(0)?;
        let names = self.look(&Read::HeaderNames)?.into_names();
        Ok(self.field_names(Head::Request, names))
    }

    fn peer(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        Ok(self.text(&Read::Peer)?)
    }

    fn protocol(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        Ok(self.text(&Read::Protocol)?)
    }

    fn trace_id(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        Ok(self.text(&Read::TraceId)?)
    }

    fn set_header(&mut self, _: Resource<RequestHandle>, name: String, value: Vec<u8>) -> Result<()> {
        self.charge(name.len() + value.len())?;
        Ok(CallState::set_header(self, Head::Request, &name, &value)?)
    }

    fn remove_header(&mut self, _: Resource<RequestHandle>, name: String) -> Result<()> {
        self.charge(name.len())?;
        Ok(CallState::remove_header(self, Head::Request, &name)?)
    }

    fn restrict_jurisdictions(&mut self, _: Resource<RequestHandle>, areas: Vec<String>) -> Result<()> {
        self.charge(areas.iter().map(String::len).sum())?;
        Ok(CallState::restrict_jurisdictions(self, areas)?)
    }

    fn drop(&mut self, _: Resource<RequestHandle>) -> Result<()> {
        Ok(())
    }
}

impl HostResponse for CallState {
    fn status(&mut self, _: Resource<ResponseHandle>) -> Result<u16> {
        self.charge(0)?;
        let status = self.look(&Read::Status)?.into_number();
        Ok(status.ok_or(Stop::NotHere("no status"))?)
    }

    fn header(&mut self, _: Resource<ResponseHandle>, name: String) -> Result<Option<Vec<u8>>> {
        Ok(self.field(Head::Response, &name, |state, name| Ok(state.look(&Read::ResponseHeader(name))?.into_bytes()))?)
    }

    fn header_names(&mut self, _: Resource<ResponseHandle>) -> Result<Vec<String>> {
        self.charge(0)?;
        let names = self.look(&Read::ResponseHeaderNames)?.into_names();
        Ok(self.field_names(Head::Response, names))
    }

    fn set_header(&mut self, _: Resource<ResponseHandle>, name: String, value: Vec<u8>) -> Result<()> {
        self.charge(name.len() + value.len())?;
        Ok(CallState::set_header(self, Head::Response, &name, &value)?)
    }

    fn remove_header(&mut self, _: Resource<ResponseHandle>, name: String) -> Result<()> {
        self.charge(name.len())?;
        Ok(CallState::remove_header(self, Head::Response, &name)?)
    }

    fn drop(&mut self, _: Resource<ResponseHandle>) -> Result<()> {
        Ok(())
    }
}

impl HostTrailers for CallState {
    fn header(&mut self, _: Resource<TrailersHandle>, name: String) -> Result<Option<Vec<u8>>> {
        Ok(self.field(Head::Trailers, &name, |state, name| {
            let value = combined(state.trailers()?, &name).map(Cow::into_owned);
            value.map(|value| state.give(value)).transpose()
        })?)
    }

    fn header_names(&mut self, _: Resource<TrailersHandle>) -> Result<Vec<String>> {
        self.charge(0)?;
        let names = names(self.trailers()?);
        self.charge_bytes(names.iter().map(String::len).sum())?;
        Ok(self.field_names(Head::Trailers, names))
    }

    fn set_header(&mut self, _: Resource<TrailersHandle>, name: String, value: Vec<u8>) -> Result<()> {
        self.charge(name.len() + value.len())?;
        Ok(CallState::set_header(self, Head::Trailers, &name, &value)?)
    }

    fn remove_header(&mut self, _: Resource<TrailersHandle>, name: String) -> Result<()> {
        self.charge(name.len())?;
        Ok(CallState::remove_header(self, Head::Trailers, &name)?)
    }

    fn drop(&mut self, _: Resource<TrailersHandle>) -> Result<()> {
        Ok(())
    }
}
