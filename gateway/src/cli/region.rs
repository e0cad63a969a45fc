//! `forebay region`

use std::path::Path;

use forebay_region::RegionConfig;
use tokio_util::sync::CancellationToken;

use super::signals::{Signals, Wish};
use super::{Failure, block_on};
use crate::config::LogFormat;
use crate::telemetry::logs;

/// Runs a regional node until it is told to end.
pub(super) fn run(file: &Path) -> Result<(), Failure> {
    let config = RegionConfig::load(file).map_err(|mistakes| Failure::Usage(mistakes.to_string()))?;
    let _logs = logs::start(LogFormat::Json, "info,ort=warn").map_err(Failure::Usage)?;
    block_on(async {
        let mut signals = Signals::listen()?;
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(forebay_region::run(config, shutdown.clone()));
        tokio::pin!(serving);
        loop {
            tokio::select! {
                ended = &mut serving => {
                    let ended = ended.map_err(|error| Failure::Failed(error.to_string()))?;
                    return ended.map_err(|error| Failure::Failed(error.to_string()));
                }
                wish = signals.next() => match wish {
                    Wish::Drain => shutdown.cancel(),
                    Wish::Reload => tracing::warn!("a regional node reads its configuration at start only"),
                },
            }
        }
    })
}
