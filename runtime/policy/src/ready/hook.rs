//! A hook of an instance, of whichever type.

use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Instance, Lower, TypedFunc};

use crate::bindings::types::Verdict;
use crate::error::Failure;
use crate::phase::Phase;
use crate::plugin::{OnMessage, OnPart, OnRequest, OnResponse, OnTrailers};
use crate::state::CallState;

/// A hook, checked to have the type of its phase.
pub(crate) enum Hook {
    Request(TypedFunc<OnRequest, (Verdict,)>),
    Message(TypedFunc<OnMessage, (Verdict,)>),
    Response(TypedFunc<OnResponse, (Verdict,)>),
    Part(TypedFunc<OnPart, (Verdict,)>),
    Trailers(TypedFunc<OnTrailers, (Verdict,)>),
}

impl Hook {
    /// Finds the hook of `phase`.
    ///
    /// # Errors
    /// It has another type.
    pub(crate) fn find(
        store: &mut Store<CallState>,
        instance: &Instance,
        phase: Phase,
        index: &ComponentExportIndex,
    ) -> wasmtime::Result<Self> {
        Ok(match phase {
            Phase::Request => Self::Request(instance.get_typed_func(store, index)?),
            Phase::Forward | Phase::Return => Self::Message(instance.get_typed_func(store, index)?),
            Phase::Response => Self::Response(instance.get_typed_func(store, index)?),
            Phase::RequestBody | Phase::RequestChunk | Phase::ResponseBody | Phase::ResponseChunk => {
                Self::Part(instance.get_typed_func(store, index)?)
            }
            Phase::Trailers => Self::Trailers(instance.get_typed_func(store, index)?),
        })
    }
}

/// What a hook is called with.
pub(crate) trait Params: ComponentNamedList + Lower + Send + Sync + Sized {
    /// The function, if this hook is called with these.
    ///
    /// # Errors
    /// It is the hook of another phase, which is the host's mistake.
    fn function(hook: &Hook) -> Result<&TypedFunc<Self, (Verdict,)>, Failure>;
}

macro_rules! params {
    ($($params:ty => $hook:ident),*) => {$(
        impl Params for $params {
            fn function(hook: &Hook) -> Result<&TypedFunc<Self, (Verdict,)>, Failure> {
                match hook {
                    Hook::$hook(function) => Ok(function),
                    _ => Err(Failure::Internal("another hook was meant".to_owned())),
                }
            }
        }
    )*};
}

params!(OnRequest => Request, OnMessage => Message, OnResponse => Response, OnPart => Part, OnTrailers => Trailers);
