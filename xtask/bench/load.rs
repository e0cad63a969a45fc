//! The load: a closed loop of a fixed number of requests under way, each sent as soon as the one before it is answered.
//!
//! One thread, so that it takes at most one core from the server. The same code for every contender.

mod connection;
mod pacer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::Bytes;
use connection::Sender;
use hdrhistogram::Histogram;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};
pub(crate) use pacer::Pacer;
use rustls::ClientConfig;

/// Streams on one HTTP/2 connection.
const STREAMS_PER_CONNECTION: u16 = 8;
/// What is thrown away first: connections open, caches and branch predictors fill.
const WARM_UP: Duration = Duration::from_millis(300);
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
const HIGHEST_LATENCY_US: u64 = 60_000_000;

/// How the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    pub(crate) fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "h1",
            Self::Http2 => "h2",
        }
    }
}

/// What is asked.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    /// The body of the n-th request.
    pub(crate) body: fn(u64) -> Bytes,
    pub(crate) expect: StatusCode,
}

impl Ask {
    /// Asks for the origin's fixed object.
    pub(crate) fn get() -> Self {
        Self {
            method: Method::GET,
            path: "/object".into(),
            headers: HeaderMap::new(),
            body: |_| Bytes::new(),
            expect: StatusCode::OK,
        }
    }

    /// Asks for an inference.
    pub(crate) fn infer(model: &str, body: fn(u64) -> Bytes) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        Self { method: Method::POST, path: format!("/v2/models/{model}/infer"), headers, body, expect: StatusCode::OK }
    }
}

/// Where it is asked; without TLS when there is no client configuration.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) protocol: Protocol,
}

/// What came of it.
pub(crate) struct Measured {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
    /// In microseconds.
    pub(crate) latency: Histogram<u64>,
}

/// Sends one request and returns its status, for checks before the load.
pub(crate) fn once(target: &Target, ask: &Ask) -> Result<(StatusCode, HeaderMap, Bytes)> {
    runtime()?.block_on(async {
        let mut sender = Sender::open(target).await?;
        tokio::time::timeout(REQUEST_LIMIT, sender.send(ask, 0)).await?
    })
}

/// Keeps `concurrency` requests under way for `duration`. Calls `started` when the warm-up is over, `ended` at the end,
/// so that whoever reads clocks reads them around the same requests.
pub(crate) fn run(
    target: &Target,
    ask: &Ask,
    concurrency: u16,
    duration: Duration,
    started: impl FnOnce() -> Result<()>,
    ended: impl FnOnce() -> Result<()>,
) -> Result<Measured> {
    runtime()?.block_on(async {
        let mut warm = open(target, concurrency).await?;
        let mut first = 1;
        drive(&mut warm, ask, WARM_UP, &mut first).await?;
        started()?;
        let measured = drive(&mut warm, ask, duration, &mut first).await?;
        ended()?;
        Ok(measured)
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

async fn open(target: &Target, concurrency: u16) -> Result<Vec<Sender>> {
    let mut senders = Vec::new();
    while senders.len() < usize::from(concurrency) {
        let sender = Sender::open(target).await?;
        if target.protocol == Protocol::Http2 {
            let more = usize::from(STREAMS_PER_CONNECTION - 1).min(usize::from(concurrency) - senders.len() - 1);
            for _ in 0..more {
                senders.extend(sender.another_stream());
            }
        }
        senders.push(sender);
    }
    Ok(senders)
}

async fn drive(senders: &mut Vec<Sender>, ask: &Ask, duration: Duration, first: &mut u64) -> Result<Measured> {
    let start = Instant::now();
    let until = start + duration;
    let step = senders.len() as u64;
    let mut workers = tokio::task::JoinSet::new();
    for (offset, sender) in std::mem::take(senders).into_iter().enumerate() {
        let worker = Worker { sender, ask: ask.clone(), next: *first + offset as u64, step };
        workers.spawn(worker.run(until));
    }
    let mut total = Measured { requests: 0, elapsed: Duration::ZERO, latency: histogram()? };
    let mut highest = *first;
    while let Some(worker) = workers.join_next().await {
        let (worker, latency) = worker??;
        total.requests += latency.len();
        total.latency.add(&latency)?;
        highest = highest.max(worker.next);
        senders.push(worker.sender);
    }
    // Numbers are not used twice: a body that must be new stays new in the next round of the same sender.
    *first = highest + step;
    total.elapsed = start.elapsed();
    Ok(total)
}

struct Worker {
    sender: Sender,
    ask: Ask,
    next: u64,
    step: u64,
}

impl Worker {
    async fn run(mut self, until: Instant) -> Result<(Self, Histogram<u64>)> {
        let mut latency = histogram()?;
        loop {
            let start = Instant::now();
            if start >= until {
                return Ok((self, latency));
            }
            let answer = tokio::time::timeout(REQUEST_LIMIT, self.sender.send(&self.ask, self.next)).await?;
            let (status, _, body) = answer?;
            if status != self.ask.expect {
                bail!("answered {status} in the middle of the load: {}", String::from_utf8_lossy(&body));
            }
            latency.saturating_record(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
            self.next += self.step;
        }
    }
}

fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, HIGHEST_LATENCY_US, 3)?)
}
