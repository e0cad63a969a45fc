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
    fn request(&mut self) -> Result<&Arc<dyn RequestView>, Stop> {
        self.charge()?;
        self.subject.request.as_ref().ok_or(Stop::NotHere("request"))
    }

    fn response(&mut self) -> Result<&Arc<dyn ResponseView>, Stop> {
        self.charge()?;
        self.subject.response.as_ref().ok_or(Stop::NotHere("response"))
    }
}

impl Host for CallState {}

impl HostRequest for CallState {
    fn method(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        Ok(self.request()?.method().to_owned())
    }

    fn path(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        Ok(self.request()?.path().to_owned())
    }

    fn host(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        Ok(self.request()?.host().to_owned())
    }

    fn query(&mut self, _: Resource<RequestHandle>) -> Result<Option<String>> {
        Ok(self.request()?.query().map(str::to_owned))
    }

    fn header(&mut self, _: Resource<RequestHandle>, name: String) -> Result<Option<Vec<u8>>> {
        let request = Arc::clone(self.request()?);
        let Some(name) = readable(&name) else { return Ok(None) };
        Ok(match self.edits.overlay(&name) {
            Some(edited) => edited.map(<[u8]>::to_vec),
            None => request.header(&name).map(|value| value.into_owned()),
        })
    }

    fn route(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        Ok(self.request()?.route().to_owned())
    }

    fn model(&mut self, _: Resource<RequestHandle>) -> Result<Option<String>> {
        Ok(self.request()?.model().map(str::to_owned))
    }

    fn dialect(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        Ok(self.request()?.dialect().to_owned())
    }

    fn set_header(&mut self, _: Resource<RequestHandle>, name: String, value: Vec<u8>) -> Result<()> {
        self.request()?;
        Ok(CallState::set_header(self, Head::Request, &name, &value)?)
    }

    fn remove_header(&mut self, _: Resource<RequestHandle>, name: String) -> Result<()> {
        self.request()?;
        Ok(CallState::remove_header(self, Head::Request, &name)?)
    }

    fn drop(&mut self, _: Resource<RequestHandle>) -> Result<()> {
        Ok(())
    }
}

impl HostResponse for CallState {
    fn status(&mut self, _: Resource<ResponseHandle>) -> Result<u16> {
        Ok(self.response()?.status())
    }

    fn header(&mut self, _: Resource<ResponseHandle>, name: String) -> Result<Option<Vec<u8>>> {
        let response = Arc::clone(self.response()?);
        let Some(name) = readable(&name) else { return Ok(None) };
        Ok(match self.edits.overlay(&name) {
            Some(edited) => edited.map(<[u8]>::to_vec),
            None => response.header(&name).map(|value| value.into_owned()),
        })
    }

    fn set_header(&mut self, _: Resource<ResponseHandle>, name: String, value: Vec<u8>) -> Result<()> {
        self.response()?;
        Ok(CallState::set_header(self, Head::Response, &name, &value)?)
    }

    fn remove_header(&mut self, _: Resource<ResponseHandle>, name: String) -> Result<()> {
        self.response()?;
        Ok(CallState::remove_header(self, Head::Response, &name)?)
    }

    fn drop(&mut self, _: Resource<ResponseHandle>) -> Result<()> {
        Ok(())
    }
}
