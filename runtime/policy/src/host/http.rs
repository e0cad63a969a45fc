//! The interface `http`: heads, read one attribute at a time.

use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::Resource;

use super::{RequestHandle, ResponseHandle};
use crate::bindings::http::{Host, HostRequest, HostResponse};
use crate::edits::{Head, readable};
use crate::state::{CallState, Stop};
use crate::views::{RequestView, ResponseView};

impl CallState {
    fn request(&mut self, bytes: usize) -> Result<Arc<dyn RequestView>, Stop> {
        self.charge(bytes)?;
        self.subject.request.clone().ok_or(Stop::NotHere("request"))
    }

    fn response(&mut self, bytes: usize) -> Result<Arc<dyn ResponseView>, Stop> {
        self.charge(bytes)?;
        self.subject.response.clone().ok_or(Stop::NotHere("response"))
    }

    fn give_some(&mut self, text: Option<&str>) -> Result<Option<String>, Stop> {
        Ok(text.map(|text| self.give(text)).transpose()?.map(str::to_owned))
    }
}

impl Host for CallState {}

impl HostRequest for CallState {
    fn method(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        let request = self.request(0)?;
        Ok(self.give(request.method())?.to_owned())
    }

    fn path(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        let request = self.request(0)?;
        Ok(self.give(request.path())?.to_owned())
    }

    fn host(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        let request = self.request(0)?;
        Ok(self.give(request.host())?.to_owned())
    }

    fn query(&mut self, _: Resource<RequestHandle>) -> Result<Option<String>> {
        let request = self.request(0)?;
        Ok(self.give_some(request.query())?)
    }

    fn header(&mut self, _: Resource<RequestHandle>, name: String) -> Result<Option<Vec<u8>>> {
        let request = self.request(name.len())?;
        let Some(name) = readable(&name) else { return Ok(None) };
        let value = match self.edits.overlay(&name) {
            Some(edited) => edited.map(<[u8]>::to_vec),
            None => request.header(&name).map(|value| value.into_owned()),
        };
        Ok(value.map(|value| self.give(value)).transpose()?)
    }

    fn route(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        let request = self.request(0)?;
        Ok(self.give(request.route())?.to_owned())
    }

    fn model(&mut self, _: Resource<RequestHandle>) -> Result<Option<String>> {
        let request = self.request(0)?;
        Ok(self.give_some(request.model())?)
    }

    fn dialect(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        let request = self.request(0)?;
        Ok(self.give(request.dialect())?.to_owned())
    }

    fn set_header(&mut self, _: Resource<RequestHandle>, name: String, value: Vec<u8>) -> Result<()> {
        self.request(name.len() + value.len())?;
        Ok(CallState::set_header(self, Head::Request, &name, &value)?)
    }

    fn remove_header(&mut self, _: Resource<RequestHandle>, name: String) -> Result<()> {
        self.request(name.len())?;
        Ok(CallState::remove_header(self, Head::Request, &name)?)
    }

    fn drop(&mut self, _: Resource<RequestHandle>) -> Result<()> {
        Ok(())
    }
}

impl HostResponse for CallState {
    fn status(&mut self, _: Resource<ResponseHandle>) -> Result<u16> {
        Ok(self.response(0)?.status())
    }

    fn header(&mut self, _: Resource<ResponseHandle>, name: String) -> Result<Option<Vec<u8>>> {
        let response = self.response(name.len())?;
        let Some(name) = readable(&name) else { return Ok(None) };
        let value = match self.edits.overlay(&name) {
            Some(edited) => edited.map(<[u8]>::to_vec),
            None => response.header(&name).map(|value| value.into_owned()),
        };
        Ok(value.map(|value| self.give(value)).transpose()?)
    }

    fn set_header(&mut self, _: Resource<ResponseHandle>, name: String, value: Vec<u8>) -> Result<()> {
        self.response(name.len() + value.len())?;
        Ok(CallState::set_header(self, Head::Response, &name, &value)?)
    }

    fn remove_header(&mut self, _: Resource<ResponseHandle>, name: String) -> Result<()> {
        self.response(name.len())?;
        Ok(CallState::remove_header(self, Head::Response, &name)?)
    }

    fn drop(&mut self, _: Resource<ResponseHandle>) -> Result<()> {
        Ok(())
    }
}
