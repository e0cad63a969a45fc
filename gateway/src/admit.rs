//! Stage `admit`: how many requests may be in work, and until when this one may take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_http::ProblemType;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Refusal;

/// The requests in work on this node. A full node answers at once: there is no queue here.
pub(crate) struct Admission {
    permits: Arc<Semaphore>,
}

/// A place among the requests in work; given back when the last byte left.
pub(crate) struct Admitted {
    /// When the answer must have begun.
    pub deadline: Instant,
    /// Dropped at the end of the request.
    pub permit: OwnedSemaphorePermit,
}

impl Admission {
    /// Room for this many requests.
    pub(crate) fn new(requests: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(requests.min(Semaphore::MAX_PERMITS))) }
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
        let admission = Admission::new(1);
        let now = Instant::now();
        let first = admission.admit(now, Duration::from_secs(1)).unwrap();
        assert_eq!(first.deadline, now + Duration::from_secs(1));
        assert_eq!(admission.admit(now, Duration::from_secs(1)).err().unwrap().reason(), "overloaded");
        drop(first);
        assert!(admission.admit(now, Duration::from_secs(1)).is_ok());
    }
}
