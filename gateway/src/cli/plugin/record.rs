//! `forebay plugin record`: the next decisions of a plugin in a running gateway, one JSON object on each line.

use std::time::Duration;

use clap::Args;
use http::Method;
use url::Url;

use crate::cli::admin::ask_within;
use crate::cli::{Failure, say};

/// What the node may take beyond the time that it is to wait.
const GRACE: Duration = Duration::from_secs(10);
const ANSWER_MAX_BYTES: usize = 32 * 1024 * 1024;

/// What to record.
#[derive(Args)]
pub(crate) struct Options {
    /// Name of the plugin in the gateway's configuration.
    name: String,
    /// How many decisions.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=forebay_policy::MAX_RECORDS as u64))]
    count: u64,
    /// How long to wait for them, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    wait_s: u64,
    /// Address of the node's admin API.
    #[arg(long, default_value = "http://127.0.0.1:9901", env = "FOREBAY_ADMIN")]
    admin: Url,
}

/// Records, and prints what there is.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let mut path = format!("v1/plugins/{}/record", options.name);
    path.push_str(&format!("?count={}&wait_s={}", options.count, options.wait_s));
    let wait = Duration::from_secs(options.wait_s) + GRACE;
    let body = ask_within(&options.admin, Method::POST, &path, wait, ANSWER_MAX_BYTES)?;
    let lines = String::from_utf8_lossy(&body);
    if lines.is_empty() {
        return Err(Failure::Failed(format!("`{}` decided nothing in {} s", options.name, options.wait_s)));
    }
    say(lines.trim_end());
    Ok(())
}
