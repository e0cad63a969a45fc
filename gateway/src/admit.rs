//! Stage `admit`: how many requests may be in work, and until when this one may take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_http::ProblemType;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Refusal;

/// Unit of the room for bodies.
const KIB: usize = 1024;

/// The requests in work on this node. A full node answers at once: there is no queue here.
pub(crate) struct Admission {
    permits: Arc<Semaphore>,
    room_kib: Arc<Semaphore>,
}

/// A place among the requests in work; given back when the last byte left.
pub(crate) struct Admitted {
    /// When the answer must have begun.
    pub(crate) deadline: Instant,
    /// Dropped at the end of the request.
    pub(crate) permit: OwnedSemaphorePermit,
}

impl Admission {
    /// Room for this many requests, and for so many bytes of bodies that are held whole.
    pub(crate) fn new(requests: usize, buffered_bytes: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(requests.min(Semaphore::MAX_PERMITS))),
            room_kib: Arc::new(Semaphore::new((buffered_bytes / KIB).clamp(1, Semaphore::MAX_PERMITS))),
        }
    }

    /// Takes room for a body of this many bytes before it is read.
    ///
    /// # Errors
    /// 503 with `Retry-After` where there is none.
    pub(crate) fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let kib = u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX);
        Arc::clone(&self.room_kib).try_acquire_many_owned(kib).map_err(|_| {
            Refusal::new(ProblemType::Overloaded, "this node holds as many bodies as it has room for")
                .retry_after(Duration::from_secs(1))
        })
    }

    /// Gives back what a body of this many bytes did not need of its room.
    pub(crate) fn trim(room: &mut OwnedSemaphorePermit, bytes: usize) {
        let spare = room.num_permits().saturating_sub(bytes.div_ceil(KIB));
        drop(room.split(spare));
    }

    /// Admits a request and fixes its deadline, once: every later stage and the region work under it.
    ///
    /// # Errors
    /// 503 with `Retry-After` where the node is full.
    pub(crate) fn admit(&self, now: Instant, time: Duration) -> Result<Admitted, Refusal> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            Refusal::new(ProblemType::Overloaded, "this node has as many requests in work as it takes")
                .retry_after(Duration::from_secs(1))
        })?;
        Ok(Admitted { deadline: now + time, permit })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_full_node_refuses_and_recovers() {
        let admission = Admission::new(1, 2 * KIB);
        let now = Instant::now();
        let first = admission.admit(now, Duration::from_secs(1)).unwrap();
        assert_eq!(first.deadline, now + Duration::from_secs(1));
        assert_eq!(admission.admit(now, Duration::from_secs(1)).err().unwrap().reason(), "overloaded");
        drop(first);
        assert!(admission.admit(now, Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn bodies_share_the_room() {
        let admission = Admission::new(1, 4 * KIB);
        let first = admission.room(3 * KIB).unwrap();
        assert!(admission.room(1).is_ok());
        assert_eq!(admission.room(2 * KIB).err().unwrap().reason(), "overloaded");
        drop(first);
        let mut whole = admission.room(4 * KIB).unwrap();
        assert!(admission.room(1).is_err());
        Admission::trim(&mut whole, KIB + 1);
        Admission::trim(&mut whole, 4 * KIB);
        assert!(admission.room(3 * KIB).is_err());
        assert!(admission.room(2 * KIB).is_ok());
    }
}
