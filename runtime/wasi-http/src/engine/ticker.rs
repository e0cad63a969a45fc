//! The clock of computing time: a thread that advances the engine's epoch once a millisecond.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::EngineWeak;

/// The length of a tick.
const TICK: Duration = Duration::from_millis(1);

/// How many ticks a guest may run in for `time`. The first tick may come at once, so one more is given.
pub(crate) fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_micros().div_ceil(TICK.as_micros())).unwrap_or(u64::MAX).saturating_add(1)
}

/// Ticks until dropped.
pub(super) struct Ticker {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn start(engine: EngineWeak) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel::<()>(1);
        let thread = std::thread::Builder::new().name("forebay-wasi-epoch".to_owned()).spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A ticker that panicked has already ended, which is all that is wanted.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_started_tick_counts_whole() {
        assert_eq!(ticks(Duration::ZERO), 1);
        assert_eq!(ticks(Duration::from_micros(1)), 2);
        assert_eq!(ticks(Duration::from_millis(5)), 6);
        assert_eq!(ticks(Duration::MAX), u64::MAX);
    }
}
