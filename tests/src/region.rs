//! Regional nodes in this process.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use forebay_region::{RegionConfig, RegionError, RegionNode};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::assets;
use crate::client::Client;
use crate::place::{Place, SMALL_MODELS};
use crate::questions;
use crate::runtime::eventually;

/// The configuration of a regional node.
#[derive(Clone)]
pub struct RegionFile {
    name: String,
    jurisdiction: String,
    models: String,
    keys: String,
    more: String,
}

impl RegionFile {
    /// A region with the small models and the key `region`.
    pub fn new(name: &str, jurisdiction: &str) -> Self {
        let file = Self {
            name: name.to_owned(),
            jurisdiction: jurisdiction.to_owned(),
            models: String::new(),
            keys: String::new(),
            more: String::new(),
        };
        SMALL_MODELS.iter().fold(file, |file, model| file.model(model)).key("region", "region.key")
    }

    /// With another model, by the path of its folder.
    #[must_use]
    pub fn model(mut self, path: &str) -> Self {
        let _ = writeln!(self.models, "[[models]]\npath = {path:?}\nqueue_capacity = 64");
        self
    }

    /// With the real models.
    #[must_use]
    pub fn real_models(self) -> Self {
        ["models/minilm", "models/ocr"]
            .iter()
            .fold(self, |file, model| file.model(assets::asset(model).to_str().unwrap()))
    }

    /// With room for this many waiting requests before each model.
    #[must_use]
    pub fn queue(mut self, capacity: usize) -> Self {
        self.models = self.models.replace("queue_capacity = 64", &format!("queue_capacity = {capacity}"));
        self
    }

    /// With only this key.
    #[must_use]
    pub fn key(mut self, name: &str, file: &str) -> Self {
        self.keys = format!("[[keys]]\nname = {name:?}\nfile = {file:?}\n");
        self
    }

    /// Without any key.
    #[must_use]
    pub fn no_key(mut self) -> Self {
        self.keys.clear();
        self
    }

    /// With more text, of tables that are not there yet.
    #[must_use]
    pub fn plus(mut self, toml: &str) -> Self {
        let _ = writeln!(self.more, "{toml}");
        self
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let Self { name, jurisdiction, models, keys, more } = self;
        let library = assets::asset("onnxruntime/libonnxruntime.so");
        format!(
            "name = {name:?}\njurisdiction = {jurisdiction:?}\nlisten = \"127.0.0.1:0\"\n\
             [runtime]\nlibrary = {library:?}\n{models}{keys}{more}"
        )
    }

    /// Starts it and waits until its models are warm.
    ///
    /// # Panics
    /// It does not start.
    pub async fn start(&self, place: &Place) -> Region {
        let config = RegionConfig::parse("region.toml", &self.text(), place.path())
            .unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let stop = CancellationToken::new();
        let mut node = RegionNode::start(config, stop.clone()).await.unwrap();
        node.ready().await.unwrap();
        let address = node.local_addr();
        Region { address, stop, node: tokio::spawn(node.finished()) }
    }
}

/// Requests that keep a region full.
pub struct Full {
    _asking: JoinSet<()>,
}

/// A running regional node.
pub struct Region {
    address: SocketAddr,
    stop: CancellationToken,
    node: JoinHandle<Result<(), RegionError>>,
}

impl Region {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, for a configuration.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens, if it speaks TLS.
    pub fn https_url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// A client that asks it without a gateway.
    pub fn client(&self) -> Client {
        Client::plain(self.address)
    }

    /// How many inferences with `model` it has answered.
    pub async fn answered(&self, model: &str) -> u64 {
        let metrics = self.client().get("/metrics").send().await.ok();
        let line = format!("forebay_region_requests_total{{model=\"{model}\",outcome=\"ok\"}} ");
        let text = String::from_utf8(metrics.body.to_vec()).unwrap();
        text.lines().find_map(|found| found.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
    }

    /// Sets one model to work that ends with the guard, and fills the queue before it.
    pub async fn fill(&self) -> Full {
        let client = self.client();
        let ask = move |left_ms: u32| {
            let question = questions::endless();
            client.infer("", "countdown", &question).header("forebay-timeout-ms", &left_ms.to_string())
        };
        let mut asking = JoinSet::new();
        for _ in 0..3 {
            let ask = ask.clone();
            asking.spawn(async move {
                // One that found the queue full waits for a place in it.
                while ask(60_000).send().await.status == 503 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        }
        eventually("the queue is full", || async { ask(20).send().await.verdict() == (503, "queue-full".into()) })
            .await;
        Full { _asking: asking }
    }

    /// Drains it.
    ///
    /// # Panics
    /// It ends with an error.
    pub async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.node).await.unwrap().unwrap();
    }
}

/// Its sessions have threads and memory of their own.
impl Drop for Region {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
