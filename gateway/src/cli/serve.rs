//! `forebay serve`

use std::path::Path;
use std::sync::Arc;

use super::signals::{Signals, Wish};
use super::{Failure, block_on};
use crate::config::Config;
use crate::error::StartError;
use crate::node::{Node, State};
use crate::telemetry::logs;

/// Runs a gateway node until it is told to end.
pub(super) fn run(file: &Path) -> Result<(), Failure> {
    let config = Config::load(file).map_err(|mistakes| Failure::Usage(mistakes.to_string()))?;
    let _logs = logs::start(config.telemetry().format, &config.telemetry().filter).map_err(Failure::Usage)?;
    block_on(async {
        let mut signals = Signals::listen()?;
        let node = Node::bind(&config, Some(file)).await.map_err(failure)?;
        let (drain, state) = (node.drain(), node.state());
        let serving = tokio::spawn(node.serve());
        tokio::pin!(serving);
        loop {
            tokio::select! {
                ended = &mut serving => return ended.map_err(|error| Failure::Failed(error.to_string())),
                wish = signals.next() => match wish {
                    Wish::Drain => drain.cancel(),
                    Wish::Reload => drop(tokio::spawn(reload(Arc::clone(&state)))),
                },
            }
        }
    })
}

/// Wrong files and keys are configuration; what the system refuses is not.
fn failure(error: StartError) -> Failure {
    match error {
        StartError::Http(error) => Failure::Failed(error.to_string()),
        StartError::Policy(_) => Failure::Failed(error.to_string()),
        error => Failure::Usage(error.to_string()),
    }
}

/// A reload takes its time, and a drain must not wait for it.
async fn reload(state: Arc<State>) {
    if let Err(error) = state.reload().await {
        tracing::error!(%error, "reload refused; the old configuration serves on");
    }
}
