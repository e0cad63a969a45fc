//! `forebay plugin promote` and `rollback`: another version in the place of the one that serves.

use std::time::Duration;

use clap::Args;
use http::Method;
use url::Url;

use crate::cli::admin::ask_within;
use crate::cli::{Failure, say};

/// Loading a version can take as long as compiling it.
const TIMEOUT: Duration = Duration::from_secs(60);
const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// Which plugin.
#[derive(Args)]
pub(crate) struct Options {
    /// Name of the plugin in the gateway's configuration.
    name: String,
    /// Address of the node's admin API.
    #[arg(long, default_value = "http://127.0.0.1:9901", env = "FOREBAY_ADMIN")]
    admin: Url,
}

/// Asks the node for it, and prints its answer.
pub(super) fn run(options: &Options, act: &str) -> Result<(), Failure> {
    let path = format!("v1/plugins/{}/{act}", options.name);
    let body = ask_within(&options.admin, Method::POST, &path, TIMEOUT, ANSWER_MAX_BYTES)?;
    say(&String::from_utf8_lossy(&body));
    Ok(())
}
