//! Room for requests: taken before a body is read and given back when its answer is written.
//!
//! Connections and streams bound how many requests there are, and `body_bytes` how large each is; their product is more
//! memory than a node has. What bounds the sum is here.

use std::sync::Arc;
use std::time::Duration;

use forebay_http::{BodyError, RequestBody};
use forebay_inference::{Model, Place};
use http_body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::RequestError;

/// Room is counted in pieces of this size.
const PIECE_BYTES: usize = 1024;
/// When a caller for whom there is no room may come again: bodies come and go quickly.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Room for the bodies that are in the node at one time.
pub(crate) struct Admission {
    pieces: Arc<Semaphore>,
    body_bytes: usize,
}

/// A request's place at its model and room for its body, free again when this is dropped.
pub(crate) struct Admitted {
    _place: Place,
    _room: OwnedSemaphorePermit,
}

impl Admission {
    /// Room for `buffered_bytes` in all, and for bodies of up to `body_bytes`.
    pub(crate) fn new(buffered_bytes: usize, body_bytes: usize) -> Self {
        let pieces = (buffered_bytes / PIECE_BYTES).min(Semaphore::MAX_PERMITS);
        Admission { pieces: Arc::new(Semaphore::new(pieces)), body_bytes }
    }

    /// Lets a request for `model` in. A body that does not tell its length takes room for the longest.
    pub(crate) fn admit(&self, model: &Model, body: &RequestBody) -> Result<Arc<Admitted>, RequestError> {
        let place = model.reserve()?;
        let room = self.room(body.size_hint().exact())?;
        Ok(Arc::new(Admitted { _place: place, _room: room }))
    }

    fn room(&self, length: Option<u64>) -> Result<OwnedSemaphorePermit, RequestError> {
        let length = length.map_or(self.body_bytes, |length| usize::try_from(length).unwrap_or(usize::MAX));
        if length > self.body_bytes {
            return Err(BodyError::TooLarge { limit_bytes: self.body_bytes as u64 }.into());
        }
        let pieces = u32::try_from(length.div_ceil(PIECE_BYTES).max(1)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.pieces).try_acquire_many_owned(pieces);
        room.map_err(|_too_few| RequestError::NoRoom { retry_after: RETRY_AFTER })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bodies_share_the_room_and_give_it_back() {
        let admission = Admission::new(8 * 1024, 4 * 1024);
        let full = |length| matches!(admission.room(length), Err(RequestError::NoRoom { .. }));
        let (small, unknown) = (admission.room(Some(0)).unwrap(), admission.room(None).unwrap());
        assert!(full(Some(3 * 1024 + 1)));
        assert!(matches!(admission.room(Some(4 * 1024 + 1)), Err(RequestError::Body(BodyError::TooLarge { .. }))));
        let rest = admission.room(Some(3 * 1024)).unwrap();
        assert!(full(Some(1)));
        drop((small, rest));
        assert!(!full(Some(4 * 1024)));
        drop(unknown);
    }
}
