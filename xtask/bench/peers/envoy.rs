//! Envoy, from its wheel.

mod rule;

use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use super::THREADS;
use crate::arena::Arena;
use crate::contender::{Contender, Job};
use crate::credentials::{AUDIENCE, ISSUER};
use crate::load::Ask;
use crate::process::{self, Server};

const HTTP: &str = "type.googleapis.com/envoy.extensions.filters.http";

/// Runs `envoy` for the job. `remembers_tokens` turns on its cache of verified tokens, which is off by default.
pub(crate) fn start(arena: &Arena, job: Job, remembers_tokens: bool) -> Result<Contender> {
    let mut filters = Vec::new();
    if job == Job::GuardedHit {
        filters.extend([jwt(arena, remembers_tokens), scope()]);
    }
    if job != Job::Proxy {
        filters.push(cache());
    }
    let name = if remembers_tokens { "Envoy, token cache on" } else { "Envoy" };
    let ask = if job == Job::GuardedHit { arena.with_token(Ask::get())? } else { Ask::get() };
    serve(arena, name, filters, ask)
}

/// Runs `envoy` with a verified and remembered token, that many filters with the benchmark's rule, and its cache.
pub(crate) fn start_ruled(arena: &Arena, plugins: usize) -> Result<Contender> {
    let ask = arena.with_rule(Ask::get())?;
    let mut filters = vec![rule::with_claims(jwt(arena, true))];
    filters.extend((0..plugins).map(|number| rule::filter(arena, number, &ask.path)));
    filters.push(cache());
    serve(arena, &format!("Envoy, proxy-wasm x{plugins}"), filters, ask)
}

fn serve(arena: &Arena, name: &str, filters: Vec<Value>, ask: Ask) -> Result<Contender> {
    let address = process::free_address()?;
    let config = json!({"static_resources": {
        "listeners": [listener(arena, filters, address.port())],
        "clusters": [cluster(arena)],
    }});
    let path = arena.write(&format!("envoy-{}.json", address.port()), &config.to_string())?;
    let mut command = Command::new(arena.workspace.peers_dir().join("envoy"));
    command.arg("--config-path").arg(path).args(["--concurrency", &THREADS.to_string()]);
    command.args(["--log-level", "warning", "--disable-hot-restart"]);
    let servers = vec![Server::start(&format!("envoy-{}", address.port()), command, &[address], arena.folder())?];
    Ok(Contender { name: name.into(), servers, address, tls: true, ask })
}

fn listener(arena: &Arena, mut filters: Vec<Value>, port: u16) -> Value {
    filters.push(json!({"name": "router", "typed_config": {"@type": format!("{HTTP}.router.v3.Router")}}));
    let manager =
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    json!({
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{
            "transport_socket": tls(arena),
            "filters": [{"name": "http", "typed_config": {
                "@type": manager,
                "stat_prefix": "bench",
                "codec_type": "AUTO",
                "route_config": {"virtual_hosts": [{
                    "name": "all", "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "origin"}}],
                }]},
                "http_filters": filters,
            }}],
        }],
    })
}

fn tls(arena: &Arena) -> Value {
    json!({"name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [{
                "certificate_chain": {"filename": arena.credentials.certificate},
                "private_key": {"filename": arena.credentials.key},
            }],
        },
    }})
}

fn cluster(arena: &Arena) -> Value {
    let origin = json!({"address": "127.0.0.1", "port_value": arena.origin.port()});
    json!({
        "name": "origin", "type": "STATIC", "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "origin", "endpoints": [{
            "lb_endpoints": [{"endpoint": {"address": {"socket_address": origin}}}],
        }]},
    })
}

fn cache() -> Value {
    let store = "type.googleapis.com/envoy.extensions.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig";
    json!({"name": "cache", "typed_config": {
        "@type": format!("{HTTP}.cache.v3.CacheConfig"),
        "typed_config": {"@type": store},
    }})
}

fn jwt(arena: &Arena, remembers_tokens: bool) -> Value {
    let mut provider = json!({
        "issuer": ISSUER, "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": arena.credentials.jwks.to_string()},
        "payload_in_metadata": "claims",
    });
    if let (true, Some(provider)) = (remembers_tokens, provider.as_object_mut()) {
        provider.insert("jwt_cache_config".into(), json!({"jwt_cache_size": 1000}));
    }
    json!({"name": "jwt", "typed_config": {
        "@type": format!("{HTTP}.jwt_authn.v3.JwtAuthentication"),
        "providers": {"bench": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}],
    }})
}

/// The scope, which `jwt_authn` leaves to others.
fn scope() -> Value {
    let claim = json!({"metadata": {
        "filter": "envoy.filters.http.jwt_authn",
        "path": [{"key": "claims"}, {"key": "scope"}],
        "value": {"string_match": {"exact": "infer"}},
    }});
    json!({"name": "scope", "typed_config": {
        "@type": format!("{HTTP}.rbac.v3.RBAC"),
        "rules": {"action": "ALLOW", "policies": {"infer": {"permissions": [{"any": true}], "principals": [claim]}}},
    }})
}
