//! Forebay itself, in release, as an operator would run it.

pub(crate) mod rule;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::Bytes;
use hyper::StatusCode;

use crate::arena::Arena;
use crate::contender::{Contender, Job};
use crate::credentials::{AUDIENCE, ISSUER};
use crate::load::{self, Ask, Protocol, Target};
use crate::process::{self, Server};
use crate::serve::{MODEL, REGION};

const READY_LIMIT: Duration = Duration::from_secs(30);

/// Runs the gateway for the job, in front of the harness's origin.
pub(crate) fn start(arena: &Arena, job: Job) -> Result<Contender> {
    let inference = Ask::infer(MODEL, |_| Bytes::from_static(QUESTION.as_bytes()));
    let (route, ask) = match job {
        Job::Hit => (route_public(true), inference),
        Job::GuardedHit => (route_guarded(), arena.with_token(inference)?),
        Job::Proxy => (route_origin(arena.origin), Ask::get()),
    };
    let config = gateway(arena, arena.origin, REGION) + &route;
    serve(arena, "Forebay", &config, ask)
}

/// Runs the gateway with a chain of `plugins` plugins that hold the benchmark's rule, in front of its cache.
pub(crate) fn start_ruled(arena: &Arena, plugins: usize, memo: bool) -> Result<Contender> {
    let config = gateway(arena, arena.origin, REGION) + &rule::chain(arena, plugins, memo);
    let name = match (plugins, memo) {
        (0, _) => "Forebay, no plugin".to_owned(),
        (_, false) => format!("Forebay, fresh instances x{plugins}"),
        (_, true) => format!("Forebay, memo x{plugins}"),
    };
    serve(arena, &name, &config, arena.with_rule(Ask::infer(MODEL, |_| Bytes::from_static(QUESTION.as_bytes())))?)
}

/// Runs the gateway with the same rule on the route that is asked, and a plugin that never returns on another
/// ([`rule::LOOPING`]). `rests` is whether failing often puts it into quarantine.
pub(crate) fn start_beside_a_loop(arena: &Arena, rests: bool) -> Result<Contender> {
    let config = gateway(arena, arena.origin, REGION) + &rule::chain(arena, 1, false) + &rule::looping(arena, rests);
    let name = if rests { "looping plugin beside it" } else { "the same, never quarantined" };
    serve(arena, name, &config, arena.with_rule(Ask::infer(MODEL, |_| Bytes::from_static(QUESTION.as_bytes())))?)
}

/// Runs the gateway with `config` but for its addresses.
fn serve(arena: &Arena, name: &str, config: &str, ask: Ask) -> Result<Contender> {
    let (address, admin) = (process::free_address()?, process::free_address()?);
    let config = config.replace("ADDRESS", &address.to_string()).replace("ADMIN", &admin.to_string());
    let file = format!("forebay-{}", address.port());
    let path = arena.write(&format!("{file}.toml"), &config)?;
    let servers = vec![Server::start(&file, program("serve", &path)?, &[address, admin], arena.folder())?];
    wait_until_ready(admin)?;
    Ok(Contender { name: name.to_owned(), servers, address, tls: true, ask })
}

/// Until the first probe has found the region.
fn wait_until_ready(admin: SocketAddr) -> Result<()> {
    let target = Target { address: admin, tls: None, protocol: Protocol::Http1 };
    let ask = Ask { path: "/readyz".into(), ..Ask::get() };
    let started = Instant::now();
    while load::once(&target, &ask)?.0 != StatusCode::OK {
        if started.elapsed() > READY_LIMIT {
            bail!("Forebay is not ready after {} s", READY_LIMIT.as_secs());
        }
        process::pause();
    }
    Ok(())
}

/// Runs the gateway without a cache and a regional node with the real model behind it.
pub(crate) fn start_with_region(arena: &Arena, body: fn(u64) -> Bytes) -> Result<Contender> {
    let region = process::free_address()?;
    let path = arena.write("region.toml", &region_config(arena, region))?;
    let region_server = Server::start("region", program("region", &path)?, &[region], arena.folder())?;
    let config = gateway(arena, region, REGION) + &route_public(false);
    let mut contender = serve(arena, "Forebay", &config, Ask::infer("minilm", body))?;
    contender.servers.push(region_server);
    Ok(contender)
}

/// The gateway that was built along with this program.
fn program(role: &str, config: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?.with_file_name("forebay"));
    command.arg(role).arg("--config").arg(config).env("FOREBAY_LOG", "warn");
    Ok(command)
}

/// A question that the gateway's cache answers: one short text.
const QUESTION: &str =
    r#"{"inputs":[{"name":"text","datatype":"BYTES","shape":[1],"data":["How deep is the forebay?"]}]}"#;

fn gateway(arena: &Arena, region: SocketAddr, jurisdiction: &str) -> String {
    format!(
        r#"
[pop]
name = "bench"
jurisdiction = "{jurisdiction}"
[listen]
address = "ADDRESS"
certificate = "{certificate}"
key = "{key}"
[admin]
address = "ADMIN"
[telemetry]
filter = "warn"
[[regions]]
name = "{REGION}"
url = "http://{region}"
jurisdiction = "{jurisdiction}"
"#,
        certificate = arena.credentials.certificate.display(),
        key = arena.credentials.key.display(),
    ) + &issuer(arena)
}

fn issuer(arena: &Arena) -> String {
    // The set is written here, since only this contender reads it from a file.
    let jwks = arena.write("jwks.json", &arena.credentials.jwks.to_string());
    let Ok(jwks) = jwks else { return String::new() };
    format!(
        r#"
[[issuers]]
issuer = "{ISSUER}"
audiences = ["{AUDIENCE}"]
algorithms = ["ES256"]
jwks_file = "{jwks}"
[[plugins]]
name = "jwt-access"
component = "{component}"
grants = ["http", "identity"]
[plugins.config]
realm = "bench"
rules = [{{ routes = ["*"], models = ["*"], scopes = ["infer"] }}]
"#,
        jwks = jwks.display(),
        component = arena.workspace.assets_dir().join("plugins/jwt-access.wasm").display(),
    )
}

fn route_public(cached: bool) -> String {
    let cache = if cached { r#"cache = { ttl_s = 86400, scope = "public" }"# } else { "" };
    format!(
        r#"
[[routes]]
name = "infer"
path = "/v2/"
dialect = "oip"
access = "public"
{cache}
"#
    )
}

fn route_guarded() -> String {
    r#"
[[routes]]
name = "infer"
path = "/v2/"
dialect = "oip"
policies = ["jwt-access"]
cache = { ttl_s = 86400 }
"#
    .to_owned()
}

fn route_origin(origin: SocketAddr) -> String {
    format!(
        r#"
[[routes]]
name = "all"
path = "/"
dialect = "http"
access = "public"
origin = "http://{origin}"
"#
    )
}

fn region_config(arena: &Arena, address: SocketAddr) -> String {
    let assets = arena.workspace.assets_dir();
    format!(
        r#"
name = "{REGION}"
jurisdiction = "{REGION}"
listen = "{address}"
[runtime]
library = {library:?}
[[models]]
path = {model:?}
"#,
        library = assets.join("onnxruntime/libonnxruntime.so"),
        model = assets.join("models/minilm"),
    )
}
