//! Gateway nodes in this process.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forebay::node::State;
use forebay::{Config, Node, StartError};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::assets;
use crate::client::Client;
use crate::identity::{AUDIENCE, ISSUER};
use crate::place::Place;
use crate::raw::Raw;
use crate::runtime::eventually;

/// The configuration of a gateway node: a PoP in the EU with an issuer, the keys of the place, and the plugins `access`
/// (scope `infer`) and `seal` (input `text`, output `embedding`).
#[derive(Clone)]
pub struct GatewayFile {
    listen: String,
    balance: String,
    issuer: String,
    more: String,
}

impl Default for GatewayFile {
    fn default() -> Self {
        Self::new()
    }
}

impl GatewayFile {
    /// Without regions and routes.
    pub fn new() -> Self {
        Self {
            listen: String::new(),
            balance: "probe_interval_ms = 50\n".to_owned(),
            issuer: "jwks_file = \"jwks.json\"\n".to_owned(),
            more: String::new(),
        }
    }

    /// With a region.
    #[must_use]
    pub fn region(self, name: &str, url: &str, jurisdiction: &str) -> Self {
        self.plus(&format!("[[regions]]\nname = {name:?}\nurl = {url:?}\njurisdiction = {jurisdiction:?}"))
    }

    /// With a region that is taken only where no other can answer.
    #[must_use]
    pub fn far_region(self, name: &str, url: &str, jurisdiction: &str) -> Self {
        self.region(name, url, jurisdiction).plus("penalty_ms = 60000")
    }

    /// With an inference route at `{prefix}/v2/`; `keys` are its other keys, such as `policies = ["access"]`.
    #[must_use]
    pub fn route(self, name: &str, prefix: &str, keys: &str) -> Self {
        self.plus(&format!("[[routes]]\nname = {name:?}\npath = \"{prefix}/v2/\"\ndialect = \"oip\"\n{keys}"))
    }

    /// With the test guest that misbehaves as it is told, as a plugin of that name.
    #[must_use]
    pub fn hostile(self, behaviour: &str) -> Self {
        let component = assets::plugin("hostile");
        self.plus(&format!(
            "[[plugins]]\nname = {behaviour:?}\ncomponent = {component:?}\nkeys = [\"region\"]\n\
             grants = [\"http\", \"identity\", \"sealing\", \"log\", \"body\"]\nconfig = {{ behaviour = {behaviour:?} }}"
        ))
    }

    /// With a plugin that seals; `fields` are its lists of fields, such as `json = [{ pointer = "/a", key = "region" }]`.
    #[must_use]
    pub fn sealing(self, name: &str, fields: &str) -> Self {
        let component = assets::plugin("field-seal");
        self.plus(&format!(
            "[[plugins]]\nname = {name:?}\ncomponent = {component:?}\nkeys = [\"region\", \"client\"]\n\
             grants = [\"sealing\"]\ndeadline_ms = 1000\n[plugins.config]\n{fields}"
        ))
    }

    /// With a route at `path` that passes requests to `origin`.
    #[must_use]
    pub fn origin(self, name: &str, path: &str, origin: &str, keys: &str) -> Self {
        self.plus(&format!(
            "[[routes]]\nname = {name:?}\npath = {path:?}\ndialect = \"http\"\norigin = {origin:?}\n{keys}"
        ))
    }

    /// With more text.
    #[must_use]
    pub fn plus(mut self, toml: &str) -> Self {
        let _ = writeln!(self.more, "{toml}");
        self
    }

    /// With other keys in `[balance]`.
    #[must_use]
    pub fn balance(mut self, keys: &str) -> Self {
        keys.clone_into(&mut self.balance);
        self
    }

    /// With more keys in `[listen]`.
    #[must_use]
    pub fn listen(mut self, keys: &str) -> Self {
        keys.clone_into(&mut self.listen);
        self
    }

    /// With keys from elsewhere than the place's file.
    #[must_use]
    pub fn issuer_keys(mut self, keys: &str) -> Self {
        keys.clone_into(&mut self.issuer);
        self
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let Self { listen, balance, issuer, more } = self;
        let (access, seal) = (assets::plugin("jwt-access"), assets::plugin("field-seal"));
        format!(
            r#"
[pop]
name = "pop"
jurisdiction = "eu"
[listen]
address = "127.0.0.1:0"
development_ca = "."
{listen}
[admin]
address = "127.0.0.1:0"
[balance]
{balance}
[[issuers]]
issuer = "{ISSUER}"
audiences = ["{AUDIENCE}"]
algorithms = ["ES256", "RS256", "PS256", "EdDSA"]
leeway_s = 5
{issuer}
[[keys]]
name = "region"
file = "region.key"
[[keys]]
name = "client"
file = "client.key"
[[plugins]]
name = "access"
component = {access:?}
grants = ["http", "identity"]
deadline_ms = 1000
[[plugins.config.rules]]
scopes = ["infer"]
[[plugins]]
name = "seal"
component = {seal:?}
grants = ["sealing"]
keys = ["region", "client"]
deadline_ms = 1000
[[plugins.config.inputs]]
name = "text"
key = "region"
required = true
[[plugins.config.outputs]]
name = "embedding"
key = "region"
client = "open"
{more}"#
        )
    }

    /// Binds and probes, and serves nothing yet.
    ///
    /// # Errors
    /// The node refuses to start.
    ///
    /// # Panics
    /// The file has mistakes.
    pub async fn bind(&self, place: &Place) -> Result<Node, StartError> {
        let config = Config::parse("forebay.toml", &self.text(), place.path())
            .unwrap_or_else(|mistakes| panic!("{mistakes}\n{}", self.text()));
        Node::bind(&config, None).await
    }

    /// Starts it.
    ///
    /// # Panics
    /// It does not start.
    pub async fn start(&self, place: &Place) -> Gateway {
        let node = self.bind(place).await.unwrap_or_else(|error| panic!("{error}"));
        Gateway::of(node, place)
    }

    /// Starts it from a file in the place, which it reads again when it is told to reload.
    ///
    /// # Panics
    /// It does not start.
    pub async fn start_from_file(&self, place: &Place) -> (Gateway, Arc<State>) {
        let path = place.write("forebay.toml", &self.text());
        Gateway::try_from_file(&path, place).await.unwrap_or_else(|error| panic!("{error}"))
    }
}

/// A running gateway node.
pub struct Gateway {
    address: SocketAddr,
    admin: SocketAddr,
    drain: CancellationToken,
    ca: PathBuf,
    serving: JoinHandle<()>,
}

impl Gateway {
    /// Starts a node from a file, which it reads again when it is told to reload.
    ///
    /// # Errors
    /// The node refuses to start.
    ///
    /// # Panics
    /// The file has mistakes.
    pub async fn try_from_file(path: &Path, place: &Place) -> Result<(Self, Arc<State>), StartError> {
        let config = Config::load(path).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let node = Node::bind(&config, Some(path)).await?;
        let state = node.state();
        Ok((Self::of(node, place), state))
    }

    fn of(node: Node, place: &Place) -> Self {
        let (address, admin, drain) = (node.address(), node.admin_address(), node.drain());
        Self { address, admin, drain, ca: place.ca_pem().to_path_buf(), serving: tokio::spawn(node.serve()) }
    }

    /// Where operators connect.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The root that clients trust.
    pub fn ca(&self) -> &Path {
        &self.ca
    }

    /// A client, over HTTP/2.
    pub fn client(&self) -> Client {
        Client::http2(self.address, &self.ca)
    }

    /// A client, over HTTP/2, that shows itself with a certificate.
    pub fn client_as(&self, certificate: &Path, key: &Path) -> Client {
        Client::http2_as(self.address, &self.ca, certificate, key)
    }

    /// What a client calls a path of this node.
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// A client, over HTTP/1.1.
    pub fn http1(&self) -> Client {
        Client::http1(self.address, &self.ca)
    }

    /// A connection for bytes of the test's own making.
    pub async fn raw(&self) -> Raw {
        Raw::connect(self.address, &self.ca).await
    }

    /// A client of the admin API.
    pub fn admin(&self) -> Client {
        Client::plain(self.admin)
    }

    /// Whether a region may be chosen now.
    pub async fn sees(&self, region: &str) -> bool {
        let regions = self.admin().get("/v1/regions").send().await.ok().json();
        let found = regions.as_array().unwrap().iter().find(|seen| seen["name"] == region);
        found.is_some_and(|seen| seen["up"] == Value::Bool(true))
    }

    /// Waits until a region may be chosen, or no longer.
    pub async fn until(&self, region: &str, up: bool) {
        eventually(&format!("region {region} up: {up}"), || async { self.sees(region).await == up }).await;
    }

    /// How many requests are in work.
    pub async fn in_work(&self) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
        self.metric("forebay_requests_in_work ").await.map_or(0, |count| count as usize)
    }

    /// The value of a metric, by the text before it.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let text = self.admin().get("/metrics").send().await.ok().body;
        let text = String::from_utf8(text.to_vec()).unwrap();
        text.lines().find_map(|line| line.strip_prefix(series)).map(|value| value.trim().parse().unwrap())
    }

    /// Drains it.
    ///
    /// # Panics
    /// It panics.
    pub async fn stop(mut self) {
        self.drain.cancel();
        (&mut self.serving).await.unwrap();
    }
}

/// Its engine reserves terabytes of address space, of which a process has room for some dozens.
impl Drop for Gateway {
    fn drop(&mut self) {
        self.drain.cancel();
    }
}
