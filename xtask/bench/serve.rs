//! The harness's own servers: the floor and the origin, each run as a process of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::cli::Role;

/// The model that the origin pretends to serve.
pub(crate) const MODEL: &str = "bench";
/// The region that the origin pretends to be, and its jurisdiction.
pub(crate) const REGION: &str = "bench";
/// How long an answer is, whoever gives it.
pub(crate) const ANSWER_BYTES: usize = 1024;
const WORKERS: usize = 2;

/// Serves until the process is ended.
pub(crate) fn run(role: Role, port: u16, tls: Option<&Path>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    runtime.block_on(accept(role, SocketAddr::from((Ipv4Addr::LOCALHOST, port)), tls))
}

async fn accept(role: Role, address: SocketAddr, tls: Option<&Path>) -> Result<()> {
    let acceptor = tls.map(acceptor).transpose()?;
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            match acceptor {
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        connection(role, stream).await;
                    }
                }
                None => connection(role, stream).await,
            }
        });
    }
}

fn acceptor(combined: &Path) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(combined)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(combined).context("no private key")?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn connection(role: Role, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = service_fn(move |request| answer(role, request));
    // A client that goes away is the usual end.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(role: Role, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    // Read to the end, so that the connection can be used again.
    body.collect().await?;
    match role {
        Role::Floor => reply(StatusCode::OK, "application/octet-stream", object()),
        Role::Origin => origin(&head.method, head.uri.path()),
    }
}

fn origin(method: &Method, path: &str) -> Result<Response<Full<Bytes>>> {
    let model = format!("/v2/models/{MODEL}");
    match path.strip_prefix(&model) {
        Some("/infer") if method == Method::POST => reply(StatusCode::OK, "application/json", inference()),
        Some("") => reply(StatusCode::OK, "application/json", metadata()),
        Some("/ready") => reply(StatusCode::OK, "application/json", Bytes::from(r#"{"ready":true}"#)),
        _ if path == "/forebay/v1/node" => reply(StatusCode::OK, "application/json", node()),
        _ if path.starts_with("/v2") => reply(StatusCode::OK, "application/json", server_metadata()),
        _ => reply(StatusCode::OK, "application/octet-stream", object()),
    }
}

fn reply(status: StatusCode, content_type: &str, body: Bytes) -> Result<Response<Full<Bytes>>> {
    Ok(Response::builder()
        .status(status)
        .header("content-type", content_type)
        .header("cache-control", "public, max-age=86400")
        .header("etag", r#""bench""#)
        .header("last-modified", "Mon, 02 Nov 2026 08:00:00 GMT")
        .header("forebay-model-digest", MODEL_DIGEST)
        .body(Full::new(body))?)
}

/// Digest of a model that never changes.
const MODEL_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn object() -> Bytes {
    static OBJECT: [u8; ANSWER_BYTES] = [b'x'; ANSWER_BYTES];
    Bytes::from_static(&OBJECT)
}

/// One BYTES output, so long that the JSON answer has about `ANSWER_BYTES`.
fn inference() -> Bytes {
    let answer = json!({
        "model_name": MODEL, "model_version": "1",
        "outputs": [{"name": "answer", "datatype": "BYTES", "shape": [1], "data": ["x".repeat(ANSWER_BYTES - 115)]}],
    });
    Bytes::from(answer.to_string())
}

/// What a regional node says of itself when the gateway probes it.
fn node() -> Bytes {
    let model = json!({"name": MODEL, "ready": true, "version": "1", "digest": MODEL_DIGEST});
    let node = json!({
        "name": REGION, "jurisdiction": REGION, "ready": true, "draining": false, "models": [model],
    });
    Bytes::from(node.to_string())
}

fn metadata() -> Bytes {
    let answer = json!({
        "name": MODEL, "versions": ["1"], "platform": "bench",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": "answer", "datatype": "BYTES", "shape": [-1]}],
    });
    Bytes::from(answer.to_string())
}

fn server_metadata() -> Bytes {
    Bytes::from(json!({"name": "bench", "version": "1", "extensions": [], "live": true, "ready": true}).to_string())
}
