//! What a call cost, told to the plugin's meter when it ends, however it ends.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::phase::Phase;
use crate::services::{Cost, Meter};
use crate::views::IdentityView;

/// The running bill of a call. Sent when dropped, since the future of a call may be dropped at any time.
pub(crate) struct Bill {
    to: Option<(Arc<dyn Meter>, Arc<dyn IdentityView>)>,
    phase: Phase,
    cost: Cost,
}

impl Bill {
    /// Begins a bill; without a meter, nothing is measured.
    pub(crate) fn new(meter: Option<&Arc<dyn Meter>>, identity: Option<&Arc<dyn IdentityView>>, phase: Phase) -> Self {
        let to = meter.zip(identity).map(|(meter, identity)| (Arc::clone(meter), Arc::clone(identity)));
        Self { to, phase, cost: Cost { busy: Duration::ZERO, memory_bytes: 0 } }
    }

    /// Awaits `work` and adds the time for which it held a thread.
    pub(crate) async fn time<T>(&mut self, work: impl Future<Output = T>) -> T {
        if self.to.is_none() {
            return work.await;
        }
        let mut work = pin!(work);
        poll_fn(|context| {
            let began = Instant::now();
            let polled = work.as_mut().poll(context);
            self.cost.busy += began.elapsed();
            polled
        })
        .await
    }

    /// Notes how much memory the instance had.
    pub(crate) fn memory(&mut self, bytes: usize) {
        self.cost.memory_bytes = self.cost.memory_bytes.max(bytes);
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        if let Some((meter, identity)) = &self.to {
            meter.called(self.phase, identity.tenant(), self.cost);
        }
    }
}
