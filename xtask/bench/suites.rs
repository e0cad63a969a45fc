//! The benchmarks: which contenders, which job, over which protocols.

mod infer;
mod policy_host;
mod policy_rule;
mod rounds;

use anyhow::Result;
use clap::ValueEnum;

use crate::arena::Arena;
use crate::cli::Bench;
use crate::contender::{Contender, Job};
use crate::load::Protocol;
use crate::peers::{envoy, forebay, haproxy, nginx};
use crate::report::Outcome;
use rounds::Plan;

/// A benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// 1 KiB from the cache over kept-alive TLS, beside a bare hyper + rustls server
    TlsHit,
    /// Everything passed to a fixed origin
    Proxy,
    /// The cached answer behind an access token
    Policy,
    /// One rule as plugins and as proxy-wasm filters, one and four of it; part of `policy`
    PolicyRule,
    /// The plugin host alone, and a plugin that never returns; part of `policy`
    PolicyHost,
    /// Real inferences through edge and region, beside a bare ONNX Runtime loop
    Infer,
}

impl Suite {
    /// What runs when this one is asked for by name.
    pub(crate) fn parts(self) -> Vec<Self> {
        match self {
            Self::Policy => vec![Self::Policy, Self::PolicyRule, Self::PolicyHost],
            one => vec![one],
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TlsHit => "tls-hit",
            Self::Proxy => "proxy",
            Self::Policy => "policy",
            Self::PolicyRule => "policy-rule",
            Self::PolicyHost => "policy-host",
            Self::Infer => "infer",
        }
    }
}

/// Runs one benchmark.
pub(crate) fn run(suite: Suite, bench: &Bench) -> Result<Outcome> {
    eprintln!("bench: {}", suite.name());
    let arena = Arena::new()?;
    match suite {
        Suite::TlsHit => tls_hit(&arena, bench),
        Suite::Proxy => proxy(&arena, bench),
        Suite::Policy => policy(&arena, bench),
        Suite::PolicyRule => policy_rule::run(&arena, bench),
        Suite::PolicyHost => policy_host::run(&arena, bench),
        Suite::Infer => infer::run(&arena, bench),
    }
}

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// Starts a contender, if `--only` lets it.
type Start<'a> = (&'static str, Box<dyn FnOnce() -> Result<Contender> + 'a>);

fn start_all(bench: &Bench, starts: Vec<Start<'_>>) -> Result<Vec<Contender>> {
    let wanted = |name: &str| bench.only.is_empty() || bench.only.iter().any(|only| only == name);
    starts.into_iter().filter(|(name, _)| wanted(name)).map(|(_, start)| start()).collect()
}

fn tls_hit(arena: &Arena, bench: &Bench) -> Result<Outcome> {
    let contenders = start_all(
        bench,
        vec![
            ("forebay", Box::new(|| forebay::start(arena, Job::Hit))),
            ("nginx", Box::new(|| nginx::start(arena, Job::Hit))),
            ("haproxy", Box::new(|| haproxy::start(arena, Job::Hit))),
            ("envoy", Box::new(|| envoy::start(arena, Job::Hit, false))),
            ("floor", Box::new(|| arena.floor())),
        ],
    )?;
    Plan { arena, contenders: &contenders, protocols: &BOTH, answers_from_cache: true }.run(Suite::TlsHit, bench)
}

fn proxy(arena: &Arena, bench: &Bench) -> Result<Outcome> {
    let contenders = start_all(
        bench,
        vec![
            ("forebay", Box::new(|| forebay::start(arena, Job::Proxy))),
            ("nginx", Box::new(|| nginx::start(arena, Job::Proxy))),
            ("haproxy", Box::new(|| haproxy::start(arena, Job::Proxy))),
            ("envoy", Box::new(|| envoy::start(arena, Job::Proxy, false))),
            ("direct", Box::new(|| Ok(arena.direct()))),
        ],
    )?;
    Plan { arena, contenders: &contenders, protocols: &BOTH, answers_from_cache: false }.run(Suite::Proxy, bench)
}

fn policy(arena: &Arena, bench: &Bench) -> Result<Outcome> {
    let contenders = start_all(
        bench,
        vec![
            ("forebay", Box::new(|| forebay::start(arena, Job::GuardedHit))),
            ("haproxy", Box::new(|| haproxy::start(arena, Job::GuardedHit))),
            ("envoy", Box::new(|| envoy::start(arena, Job::GuardedHit, false))),
            ("envoy", Box::new(|| envoy::start(arena, Job::GuardedHit, true))),
        ],
    )?;
    for contender in &contenders {
        contender.check_refusals(arena)?;
    }
    Plan { arena, contenders: &contenders, protocols: &BOTH, answers_from_cache: true }.run(Suite::Policy, bench)
}
