//! How an instance of one plugin is made.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use wasmtime::component::InstancePre;

use super::Fresh;
use super::hook::Hook;
use crate::call;
use crate::error::Failure;
use crate::limits::CallLimits;
use crate::phase::Phase;
use crate::plugin::Hooks;
use crate::services::Services;
use crate::state::CallState;

/// An instance that yields more often than this while it is made is no use to a stock: it yields once a millisecond, and
/// most take microseconds.
const MOST_YIELDS: u32 = 3;

/// Everything that instances of a plugin have in common.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) name: Arc<str>,
    pub(crate) limits: Arc<CallLimits>,
    pub(crate) services: Arc<Services>,
    pub(crate) engine: wasmtime::Engine,
    pub(crate) pre: InstancePre<CallState>,
    pub(crate) hooks: Hooks,
}

impl Recipe {
    /// Makes an instance and finds the hook of `phase`. A start function has the time of a call.
    ///
    /// # Errors
    /// `PoolExhausted`; whatever a component does wrong that did it well when it was loaded.
    pub(crate) async fn make(&self, phase: Phase) -> Result<Fresh, Failure> {
        let index = self.hooks.get(phase).ok_or_else(|| Failure::Internal("there is no such hook".to_owned()))?;
        let (limits, services) = (Arc::clone(&self.limits), Arc::clone(&self.services));
        let state = CallState::new(Arc::clone(&self.name), limits, services, self.limits.deadline);
        let mut store = call::store(&self.engine, state);
        let instance = call::instance(&mut store, &self.pre).await?;
        let hook = Hook::find(&mut store, &instance, phase, index).map_err(|error| call::in_making(&error))?;
        Ok(Fresh { store, hook })
    }

    /// The same without waiting. None: it cannot be had now.
    pub(super) fn make_now(&self, phase: Phase) -> Option<Fresh> {
        let mut making = pin!(self.make(phase));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..MOST_YIELDS {
            if let Poll::Ready(made) = making.as_mut().poll(&mut context) {
                return made.ok();
            }
        }
        None
    }
}
