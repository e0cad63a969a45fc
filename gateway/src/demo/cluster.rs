//! The demo's processes: two regions and a gateway, each this program with its own configuration and log.

use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::ports::Ports;
use super::state::State;
use crate::upstream::client::Client;

/// Loading and warming two models on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);
const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// The running nodes. They end with this process.
pub(super) struct Cluster {
    eu_west: Child,
    us_east: Child,
    gateway: Child,
    client: Client,
    admin_port: u16,
}

impl Cluster {
    /// Starts everything and waits until every model is warm and both regions are chosen.
    pub(super) async fn start(state: &State, ports: &Ports) -> Result<Self, String> {
        for (name, port) in
            [("gateway", ports.gateway), ("admin", ports.admin), ("eu-west", ports.eu_west), ("us-east", ports.us_east)]
        {
            std::net::TcpListener::bind(("127.0.0.1", port))
                .map_err(|error| format!("port {port} ({name}) is taken: {error}; use --port-base N"))?;
        }
        for name in ["eu-west", "us-east", "forebay"] {
            // The tour reads what this run logs.
            drop(std::fs::remove_file(state.file(&format!("{name}.log"))));
        }
        let mut cluster = Self {
            eu_west: region(state, "eu-west")?,
            us_east: region(state, "us-east")?,
            gateway: spawn(state, "serve", "forebay")?,
            client: Client::new(None, None, Duration::from_secs(1)).map_err(|error| error.to_string())?,
            admin_port: ports.admin,
        };
        cluster.wait_for("eu-west", true).await?;
        cluster.wait_for("us-east", true).await?;
        Ok(cluster)
    }

    /// Kills region eu-west as a power cut would, and does not wait for anybody to notice.
    pub(super) async fn kill_eu_west(&mut self) -> Result<(), String> {
        self.eu_west.kill().await.map_err(|error| format!("eu-west: {error}"))
    }

    /// Starts eu-west again and waits until the gateway chooses it.
    pub(super) async fn restart_eu_west(&mut self, state: &State) -> Result<(), String> {
        self.eu_west = region(state, "eu-west")?;
        self.wait_for("eu-west", true).await
    }

    /// Waits until the gateway sees a region up or down.
    pub(super) async fn wait_for(&mut self, region: &str, up: bool) -> Result<(), String> {
        let started = Instant::now();
        loop {
            for (name, child) in
                [("eu-west", &mut self.eu_west), ("us-east", &mut self.us_east), ("forebay", &mut self.gateway)]
            {
                if up && name != "forebay" && name != region {
                    continue;
                }
                if let (true, Ok(Some(status))) = (up, child.try_wait()) {
                    return Err(format!("{name} ended with {status}: see {name}.log"));
                }
            }
            if self.sees(region).await == Some(up) {
                return Ok(());
            }
            if started.elapsed() > START_TIMEOUT {
                return Err(format!(
                    "region {region} did not come {} in time: see its log",
                    if up { "up" } else { "down" }
                ));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Whether the gateway may choose a region with both models.
    async fn sees(&self, region: &str) -> Option<bool> {
        let url = format!("http://127.0.0.1:{}/v1/regions", self.admin_port);
        let request = Request::builder().method(Method::GET).uri(url).body(Bytes::new()).ok()?;
        let (_, body) = self.client.fetch(request, ANSWER_MAX_BYTES, Duration::from_secs(2)).await.ok()?;
        let regions: Value = serde_json::from_slice(&body).ok()?;
        let seen = regions.as_array()?.iter().find(|seen| seen.get("name").and_then(Value::as_str) == Some(region))?;
        let models = seen.get("models").and_then(Value::as_array).map_or(0, Vec::len);
        Some(seen.get("up")?.as_bool()? && models == 2)
    }

    /// Ends everything.
    pub(super) async fn stop(&mut self) {
        for child in [&mut self.gateway, &mut self.eu_west, &mut self.us_east] {
            drop(child.kill().await);
        }
    }
}

fn region(state: &State, name: &str) -> Result<Child, String> {
    spawn(state, "region", name)
}

fn spawn(state: &State, role: &str, name: &str) -> Result<Child, String> {
    let failed = |error: std::io::Error| format!("{name}: {error}");
    let log = state.file(&format!("{name}.log"));
    let log = File::options().create(true).append(true).open(&log).map_err(failed)?;
    Command::new(std::env::current_exe().map_err(failed)?)
        .arg(role)
        .arg("--config")
        .arg(state.file(&format!("{name}.toml")))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)
}
