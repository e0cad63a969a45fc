//! A gateway under measure, however many processes it takes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hyper::StatusCode;
use hyper::header::AUTHORIZATION;

use crate::arena::Arena;
use crate::load::{self, Ask, Protocol, Target};
use crate::process::Server;
use crate::sample::Sample;
use crate::serve::ANSWER_BYTES;

/// What a contender is set up to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// Answer from its own cache.
    Hit,
    /// Pass everything to the origin.
    Proxy,
    /// Answer from its own cache what carries a good token.
    GuardedHit,
}

/// A running gateway and what it is asked.
pub(crate) struct Contender {
    pub(crate) name: String,
    /// Its processes; their CPU time is added up.
    pub(crate) servers: Vec<Server>,
    pub(crate) address: SocketAddr,
    /// Whether it speaks TLS; only a bare origin does not.
    pub(crate) tls: bool,
    pub(crate) ask: Ask,
}

impl Contender {
    /// Asks another path of it, which refuses.
    pub(crate) fn ask_for(&self, refused: &str) -> Ask {
        let headers = self.ask.headers.clone();
        Ask { path: refused.to_owned(), headers, expect: StatusCode::SERVICE_UNAVAILABLE, ..Ask::get() }
    }

    pub(crate) fn target(&self, arena: &Arena, protocol: Protocol) -> Result<Target> {
        let tls = if self.tls { Some(arena.credentials.client(protocol.alpn())?) } else { None };
        Ok(Target { address: self.address, tls, protocol })
    }

    fn cpu_time(&self) -> Result<Duration> {
        let mut total = Duration::ZERO;
        for server in &self.servers {
            total += server.cpu_time()?;
        }
        Ok(total)
    }

    /// Asks once, so that a contender which does not do its job is found before it is measured.
    pub(crate) fn check(&self, arena: &Arena, protocol: Protocol) -> Result<()> {
        let target = self.target(arena, protocol)?;
        let (status, _, body) = load::once(&target, &self.ask).with_context(|| self.described())?;
        if status != self.ask.expect {
            bail!("{} answered {status}: {}", self.described(), String::from_utf8_lossy(&body));
        }
        if body.len() < ANSWER_BYTES * 9 / 10 {
            bail!("{} answered with {} bytes instead of about {ANSWER_BYTES}", self.name, body.len());
        }
        Ok(())
    }

    /// Asks without a token and with a forged one: both must be refused.
    pub(crate) fn check_refusals(&self, arena: &Arena) -> Result<()> {
        let target = self.target(arena, Protocol::Http1)?;
        let mut ask = self.ask.clone();
        for token in [None, Some(arena.credentials.forged())] {
            ask.headers.remove(AUTHORIZATION);
            if let Some(token) = &token {
                ask.headers.insert(AUTHORIZATION, format!("Bearer {token}").parse()?);
            }
            let (status, _, _) = load::once(&target, &ask)?;
            if status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN {
                let what = token.map_or("no token", |_| "a forged token");
                bail!("{} answered {status} to a request with {what}", self.name);
            }
        }
        Ok(())
    }

    /// Measures one round.
    pub(crate) fn measure(
        &self,
        arena: &Arena,
        protocol: Protocol,
        concurrency: u16,
        duration: Duration,
    ) -> Result<Sample> {
        let target = self.target(arena, protocol)?;
        let mut before = Duration::ZERO;
        let mut after = Duration::ZERO;
        let start = || self.cpu_time().map(|cpu| before = cpu);
        let end = || self.cpu_time().map(|cpu| after = cpu);
        let measured = load::run(&target, &self.ask, concurrency, duration, start, end)
            .with_context(|| format!("{} over {}", self.described(), protocol.name()))?;
        Ok(Sample::of(&measured, after.saturating_sub(before)))
    }

    fn described(&self) -> String {
        let words: Vec<_> = self.servers.iter().map(Server::last_words).filter(|words| !words.is_empty()).collect();
        if words.is_empty() { self.name.clone() } else { format!("{} (its log ends: {})", self.name, words.join("\n")) }
    }
}
