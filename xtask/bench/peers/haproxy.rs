//! HAProxy, from Debian. It verifies a token's signature; issuer, scope and expiry are rules of the configuration.

use std::process::Command;

use anyhow::Result;

use super::THREADS;
use crate::arena::Arena;
use crate::contender::{Contender, Job};
use crate::credentials::{AUDIENCE, ISSUER};
use crate::load::Ask;
use crate::process::{self, Server};

/// Runs `haproxy` for the job.
pub(crate) fn start(arena: &Arena, job: Job) -> Result<Contender> {
    let address = process::free_address()?;
    let cache =
        if job == Job::Proxy { "" } else { "http-request cache-use bench\n    http-response cache-store bench" };
    let guard = if job == Job::GuardedHit { guard(arena) } else { String::new() };
    let config = format!(
        r"
global
    nbthread {THREADS}
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    http-reuse always
cache bench
    total-max-size 16
    max-object-size 65536
    max-age 86400
frontend front
    bind {address} ssl crt {combined} alpn h2,http/1.1
    {guard}
    {cache}
    default_backend origin
backend origin
    server origin {origin}
",
        combined = arena.credentials.combined.display(),
        origin = arena.origin,
    );
    let path = arena.write("haproxy.cfg", &config)?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(path);
    let servers = vec![Server::start("haproxy", command, &[address], arena.folder())?];
    let ask = if job == Job::GuardedHit { arena.with_token(Ask::get())? } else { Ask::get() };
    Ok(Contender { name: "HAProxy".into(), servers, address, tls: true, ask })
}

/// The token is taken off once it is checked: HAProxy's cache does not serve requests that carry one.
fn guard(arena: &Arena) -> String {
    let key = arena.credentials.token_public_key.display();
    [
        "http-request set-var(txn.bearer) http_auth_bearer".to_owned(),
        "http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')".to_owned(),
        "http-request set-var(txn.now) date()".to_owned(),
        "http-request deny deny_status 401 unless { var(txn.bearer),jwt_header_query('$.alg') -m str ES256 }".to_owned(),
        format!(r#"http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify("ES256","{key}") -m int 1 }}"#),
        format!("http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_payload_query('$.iss') -m str {ISSUER} }}"),
        format!("http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_payload_query('$.aud') -m str {AUDIENCE} }}"),
        "http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int lt 0 }".to_owned(),
        "http-request deny deny_status 403 unless { var(txn.bearer),jwt_payload_query('$.scope') -m str infer }".to_owned(),
        "http-request del-header Authorization".to_owned(),
    ]
    .join("\n    ")
}
