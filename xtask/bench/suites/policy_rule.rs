//! What a policy plugin costs: the same rule as Forebay's plugin and as Envoy's proxy-wasm filter, one and four of it.
//!
//! Each is compared with the same gateway doing the same without a plugin, in the same round, so what differs between
//! two gateways besides their plugins is not in it.

use anyhow::{Context, Result};

use super::rounds::Plan;
use super::{Start, Suite, start_all};
use crate::arena::Arena;
use crate::cli::Bench;
use crate::contender::Contender;
use crate::load::Protocol;
use crate::peers::{envoy, forebay};
use crate::report::{Cost, Outcome};
use crate::sample::{self, Sample};

/// Lengths of the chains.
const CHAINS: [usize; 2] = [1, 4];

/// What a contender is in the comparison.
#[derive(Clone, Copy)]
struct Part {
    /// Where its gateway without plugins stands among the contenders.
    base: usize,
    plugins: usize,
}

/// Measures all of them in turn.
pub(super) fn run(arena: &Arena, bench: &Bench) -> Result<Outcome> {
    let mut starts: Vec<Start<'_>> = vec![("forebay", Box::new(|| forebay::start_ruled(arena, 0, false)))];
    for plugins in CHAINS {
        starts.push(("forebay", Box::new(move || forebay::start_ruled(arena, plugins, false))));
    }
    for plugins in CHAINS {
        starts.push(("forebay", Box::new(move || forebay::start_ruled(arena, plugins, true))));
    }
    starts.push(("envoy", Box::new(|| envoy::start_ruled(arena, 0))));
    for plugins in CHAINS {
        starts.push(("envoy", Box::new(move || envoy::start_ruled(arena, plugins))));
    }
    let names: Vec<_> = starts.iter().map(|(name, _)| *name).collect();
    let contenders = start_all(bench, starts)?;
    let parts = parts(&names, bench);
    let samples = Plan { arena, contenders: &contenders, protocols: &[], answers_from_cache: true }
        .rounds(Protocol::Http1, bench)?;
    Ok(Outcome::new(Suite::PolicyRule, bench, Vec::new()).with_costs(costs(&contenders, &parts, &samples)?))
}

/// The parts of those that `--only` lets in, in the order of their start.
fn parts(names: &[&str], bench: &Bench) -> Vec<Part> {
    let [one, four] = CHAINS;
    let lengths = [0, one, four, one, four, 0, one, four];
    let mut parts = Vec::new();
    let mut base = 0;
    for (name, plugins) in names.iter().zip(lengths) {
        if bench.only.is_empty() || bench.only.iter().any(|only| only == name) {
            base = if plugins == 0 { parts.len() } else { base };
            parts.push(Part { base, plugins });
        }
    }
    parts
}

fn costs(contenders: &[Contender], parts: &[Part], samples: &[Vec<Sample>]) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for ((contender, part), own) in contenders.iter().zip(parts).zip(samples) {
        let base = samples.get(part.base).context("no baseline was measured")?;
        let added: Vec<_> = own.iter().zip(base).map(|(own, base)| own.cpu_us - base.cpu_us).collect();
        costs.push(Cost {
            contender: contender.name.clone(),
            plugins: part.plugins,
            median: sample::median(own),
            spread: sample::spread(own),
            added_us: sample::middle(added.clone()),
            added_spread_us: sample::half_range(&added),
        });
    }
    Ok(costs)
}
