//! The end of a body, told once.

use std::fmt::{Debug, Formatter};

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finish {
    /// Data bytes that were taken from the body.
    pub bytes: u64,
    /// The last byte was taken; false if the body broke or its reader (the client, mostly) left before. "Taken" means
    /// handed to the connection: nobody can know that the peer read it.
    pub completed: bool,
}

/// Calls back when dropped, so that no way out of an exchange can forget it.
pub(super) struct Hook {
    call: Option<Box<dyn FnOnce(Finish) + Send>>,
    finish: Finish,
}

impl Hook {
    pub(super) fn new(call: impl FnOnce(Finish) + Send + 'static) -> Self {
        Self { call: Some(Box::new(call)), finish: Finish { bytes: 0, completed: false } }
    }

    pub(super) fn and_then(mut self, next: impl FnOnce(Finish) + Send + 'static) -> Self {
        let first = self.call.take();
        let chained = move |finish| {
            if let Some(first) = first {
                first(finish);
            }
            next(finish);
        };
        Self { call: Some(Box::new(chained)), finish: self.finish }
    }

    pub(super) fn add_bytes(&mut self, bytes: u64) {
        self.finish.bytes += bytes;
    }

    pub(super) fn complete(&mut self) {
        self.finish.completed = true;
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            call(self.finish);
        }
    }
}

impl Debug for Hook {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Hook").field("finish", &self.finish).finish_non_exhaustive()
    }
}
