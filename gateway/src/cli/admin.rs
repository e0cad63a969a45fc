//! `forebay status`, `drain` and `reload`: the admin API from a shell.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use comfy_table::{Table, presets};
use http::{Method, Request};
use serde::Deserialize;
use url::Url;

use super::{Failure, block_on, say};
use crate::upstream::client::Client;

const TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Which node.
#[derive(Args)]
pub(crate) struct Options {
    /// Address of the node's admin API.
    #[arg(long, default_value = "http://127.0.0.1:9901", env = "FOREBAY_ADMIN")]
    admin: Url,
    /// Print the node's JSON as it is.
    #[arg(long)]
    json: bool,
}

/// What is shown of the node's status.
#[derive(Deserialize)]
struct Status {
    pop: String,
    draining: bool,
    regions: Vec<Region>,
    cache: Cache,
}

#[derive(Deserialize)]
struct Region {
    name: String,
    jurisdiction: String,
    up: bool,
    latency_ms: f64,
    in_flight: usize,
    problem: Option<String>,
}

#[derive(Deserialize)]
struct Cache {
    entries: u64,
    bytes: u64,
}

/// Prints what a node sees.
pub(super) fn status(options: &Options) -> Result<(), Failure> {
    let body = ask(options, Method::GET, "v1/status")?;
    if options.json {
        say(&String::from_utf8_lossy(&body));
        return Ok(());
    }
    let status: Status = serde_json::from_slice(&body).map_err(|error| Failure::Failed(error.to_string()))?;
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(["region", "jurisdiction", "up", "ms", "in flight", "note"]);
    for region in status.regions {
        let ms = format!("{:.1}", region.latency_ms);
        let (up, in_flight) = (region.up.to_string(), region.in_flight.to_string());
        table.add_row([region.name, region.jurisdiction, up, ms, in_flight, region.problem.unwrap_or_default()]);
    }
    say(&format!("PoP {}{}", status.pop, if status.draining { ", draining" } else { "" }));
    say(&table.to_string());
    say(&format!("cache: {} entries, {} bytes", status.cache.entries, status.cache.bytes));
    Ok(())
}

/// Tells a node something.
pub(super) fn post(options: &Options, path: &str) -> Result<(), Failure> {
    let body = ask(options, Method::POST, path)?;
    say(&String::from_utf8_lossy(&body));
    Ok(())
}

fn ask(options: &Options, method: Method, path: &str) -> Result<Bytes, Failure> {
    ask_within(&options.admin, method, path, TIMEOUT, ANSWER_MAX_BYTES)
}

/// Asks a node that may take its time to answer.
///
/// # Errors
/// `Failed`, with what the node said instead.
pub(super) fn ask_within(
    admin: &Url,
    method: Method,
    path: &str,
    timeout: Duration,
    answer_max_bytes: usize,
) -> Result<Bytes, Failure> {
    let failed = |reason: String| Failure::Failed(format!("{admin}: {reason}"));
    let url = admin.join(path).map_err(|error| Failure::Usage(format!("--admin: {error}")))?;
    let request = Request::builder().method(method).uri(url.as_str()).body(Bytes::new());
    let request = request.map_err(|error| Failure::Usage(format!("--admin: {error}")))?;
    let client = Client::new(None, None, TIMEOUT).map_err(|error| failed(error.to_string()))?;
    let (head, body) = block_on(async {
        let fetched = client.fetch(request, answer_max_bytes, timeout).await;
        fetched.map_err(|error| failed(format!("{error}; is the node running?")))
    })?;
    if head.status.is_success() {
        return Ok(body);
    }
    Err(failed(format!("{}: {}", head.status, String::from_utf8_lossy(&body))))
}
