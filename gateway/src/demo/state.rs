//! What the demo needs on disk: a CA, sealing keys, an issuer with tokens, three configuration files.
//!
//! Keys are made once and kept; tokens and configuration are written anew each time.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey};

use super::ports::Ports;
use crate::cli::key;
use crate::cli::token::{Claims, mint, now_s};

const ISSUER: &str = "https://issuer.forebay.test";
const AUDIENCE: &str = "forebay-demo";
const KEY_ID: &str = "demo";
const WEEK_S: u64 = 7 * 24 * 3600;

/// The demo's folder, prepared.
pub(super) struct State {
    folder: PathBuf,
}

impl State {
    /// Writes whatever is missing or may have changed.
    pub(super) fn prepare(folder: &Path, assets: &Path, ports: &Ports) -> Result<Self, String> {
        let assets = std::path::absolute(assets).map_err(|error| format!("{}: {error}", assets.display()))?;
        for needed in [
            "onnxruntime/libonnxruntime.so",
            "models/minilm/model.onnx",
            "models/ocr/model.onnx",
            "plugins/jwt-access.wasm",
        ] {
            if !assets.join(needed).is_file() {
                return Err(format!("{} is missing: run `cargo xtask assets`", assets.join(needed).display()));
            }
        }
        let state = Self { folder: folder.to_path_buf() };
        std::fs::create_dir_all(state.folder.join("tokens"))
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        forebay_http::DevCa::ensure(folder).map_err(|error| error.to_string())?;
        for name in ["region.key", "client.key"] {
            state.once(name, key::write_new)?;
        }
        state.once("issuer.pem", write_signing_key)?;
        state.write_issuer()?;
        state.write("forebay.toml", &gateway_toml(&assets, ports))?;
        state.write("eu-west.toml", &region_toml("eu-west", "eu", ports.eu_west, &assets))?;
        state.write("us-east.toml", &region_toml("us-east", "us", ports.us_east, &assets))?;
        Ok(state)
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file in the folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A tenant's token.
    pub(super) fn token(&self, name: &str) -> Result<String, String> {
        let path = self.file(&format!("tokens/{name}.jwt"));
        std::fs::read_to_string(&path)
            .map(|token| token.trim().to_owned())
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    fn once(&self, name: &str, make: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<(), String> {
        let path = self.file(name);
        if path.exists() { Ok(()) } else { make(&path).map_err(|error| format!("{}: {error}", path.display())) }
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.file(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn write_issuer(&self) -> Result<(), String> {
        let pem = std::fs::read(self.file("issuer.pem")).map_err(|error| error.to_string())?;
        let key = EncodingKey::from_ec_pem(&pem).map_err(|error| format!("issuer.pem: {error}"))?;
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).map_err(|error| error.to_string())?;
        jwk.common.key_id = Some(KEY_ID.into());
        let set = serde_json::to_string_pretty(&JwkSet { keys: vec![jwk] }).map_err(|error| error.to_string())?;
        self.write("jwks.json", &set)?;
        let now = now_s();
        for (name, tenant, scope, exp) in [
            ("acme", "acme", "infer", now + WEEK_S),
            ("globex", "globex", "infer", now + WEEK_S),
            ("expired", "acme", "infer", now - 3600),
            ("unscoped", "acme", "", now + WEEK_S),
        ] {
            let nbf = now - 7200;
            let claims = Claims { iss: ISSUER, aud: AUDIENCE, sub: tenant, tenant, scope, iat: nbf, nbf, exp };
            self.write(&format!("tokens/{name}.jwt"), &mint(&self.file("issuer.pem"), KEY_ID, &claims)?)?;
        }
        Ok(())
    }
}

fn write_signing_key(path: &Path) -> std::io::Result<()> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(std::io::Error::other)?;
    let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    std::io::Write::write_all(&mut out, key.serialize_pem().as_bytes())
}

fn gateway_toml(assets: &Path, ports: &Ports) -> String {
    let plugins = assets.join("plugins");
    let (access, seal) = (plugins.join("jwt-access.wasm"), plugins.join("field-seal.wasm"));
    format!(
        r#"# Written by `forebay demo`. One PoP in the EU in front of two regions.

[pop]
name = "demo-pop"
jurisdiction = "eu"

[listen]
address = "127.0.0.1:{gateway}"
development_ca = "."

[admin]
address = "127.0.0.1:{admin}"

[policy]
state_dir = "state"

[balance]
probe_interval_ms = 250

[[issuers]]
issuer = "{ISSUER}"
audiences = ["{AUDIENCE}"]
algorithms = ["ES256"]
jwks_file = "jwks.json"

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
[[plugins.config.rules]]
scopes = ["infer"]

[[plugins]]
name = "seal"
component = {seal:?}
grants = ["sealing"]
keys = ["region", "client"]
[[plugins.config.inputs]]
name = "text"
key = "region"
required = true
[[plugins.config.outputs]]
name = "embedding"
key = "region"
client = "open"

[[regions]]
name = "eu-west"
url = "http://127.0.0.1:{eu_west}"
jurisdiction = "eu"

[[regions]]
name = "us-east"
url = "http://127.0.0.1:{us_east}"
jurisdiction = "us"
penalty_ms = 5000       # far away: only when the near one is gone

[[routes]]
name = "infer"
path = "/v2/"
dialect = "oip"
policies = ["access"]
cache = {{ ttl_s = 300 }}
server_timing = "full"

[[routes]]
name = "sealed"
path = "/sealed/v2/"
dialect = "oip"
policies = ["access", "seal"]
cache = {{ ttl_s = 300 }}
server_timing = "full"

[[routes]]
name = "eu-only"
path = "/eu/v2/"
dialect = "oip"
policies = ["access"]
jurisdictions = ["eu"]
server_timing = "full"
"#,
        gateway = ports.gateway,
        admin = ports.admin,
        eu_west = ports.eu_west,
        us_east = ports.us_east,
    )
}

fn region_toml(name: &str, jurisdiction: &str, port: u16, assets: &Path) -> String {
    let library = assets.join("onnxruntime/libonnxruntime.so");
    let (minilm, ocr) = (assets.join("models/minilm"), assets.join("models/ocr"));
    format!(
        r#"# Written by `forebay demo`.
name = "{name}"
jurisdiction = "{jurisdiction}"
listen = "127.0.0.1:{port}"

[runtime]
library = {library:?}

[[models]]
path = {minilm:?}

[[models]]
path = {ocr:?}

[[keys]]
name = "region"
file = "region.key"
"#
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_written_configurations_have_no_mistakes() {
        let ports = Ports::of(Some(20_000)).unwrap();
        let assets = Path::new("/nowhere");
        let folder = Path::new("/nowhere/demo");
        crate::Config::parse("forebay.toml", &gateway_toml(assets, &ports), folder).unwrap();
        let region = region_toml("eu-west", "eu", ports.eu_west, assets);
        forebay_region::RegionConfig::parse("eu-west.toml", &region, folder).unwrap();
    }
}
