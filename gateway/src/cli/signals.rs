//! SIGTERM and SIGINT drain, SIGHUP reloads.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// The signals a node listens to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
pub(super) enum Wish {
    /// To finish and end.
    Drain,
    /// To read the configuration again.
    Reload,
}

impl Signals {
    /// Starts to listen.
    pub(super) fn listen() -> Result<Self, Failure> {
        let one = |kind| signal(kind).map_err(|error| Failure::Failed(format!("signals: {error}")));
        Ok(Self {
            terminate: one(SignalKind::terminate())?,
            interrupt: one(SignalKind::interrupt())?,
            hangup: one(SignalKind::hangup())?,
        })
    }

    /// Waits for the next wish.
    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Drain,
            _ = self.interrupt.recv() => Wish::Drain,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }
}
