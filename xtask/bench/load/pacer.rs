//! One client that asks at a steady pace, beside the load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use hdrhistogram::Histogram;

use super::connection::Sender;
use super::{Ask, REQUEST_LIMIT, Target, histogram, runtime};

/// Asks until it is told to finish. A request that is answered late delays the next one: only one is under way.
pub(crate) struct Pacer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Histogram<u64>>>,
}

impl Pacer {
    pub(crate) fn start(target: Target, ask: Ask, every: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || runtime()?.block_on(run(&target, &ask, every, &stopped)));
        Self { stop, thread }
    }

    /// Ends it; returns how long its answers took, in microseconds.
    pub(crate) fn finish(self) -> Result<Histogram<u64>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the paced client broke"))?
    }
}

async fn run(target: &Target, ask: &Ask, every: Duration, stopped: &AtomicBool) -> Result<Histogram<u64>> {
    let mut latency = histogram()?;
    let mut sender = Sender::open(target).await?;
    let mut pace = tokio::time::interval(every);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !stopped.load(Ordering::Relaxed) {
        pace.tick().await;
        let start = Instant::now();
        let (status, _, body) = tokio::time::timeout(REQUEST_LIMIT, sender.send(ask, 0)).await??;
        if status != ask.expect {
            bail!("the paced client was answered {status}: {}", String::from_utf8_lossy(&body));
        }
        latency.saturating_record(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(latency)
}
