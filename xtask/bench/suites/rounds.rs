//! Interleaved rounds: every contender once, then every contender again.
//!
//! So a slow minute of the machine hits every contender alike, and contenders of one round can be compared in pairs.

use std::time::Duration;

use anyhow::{Result, bail};

use super::Suite;
use crate::arena::Arena;
use crate::cli::Bench;
use crate::contender::Contender;
use crate::load::Protocol;
use crate::report::{Outcome, Row};
use crate::sample::{self, Sample};

/// More origin CPU than this while caches answer means that one of them does not.
const STANDSTILL_MS: u128 = 100;

/// Who is measured, and how they are asked.
pub(super) struct Plan<'a> {
    pub(super) arena: &'a Arena,
    pub(super) contenders: &'a [Contender],
    pub(super) protocols: &'a [Protocol],
    pub(super) answers_from_cache: bool,
}

impl Plan<'_> {
    pub(super) fn run(&self, suite: Suite, bench: &Bench) -> Result<Outcome> {
        let mut rows = Vec::new();
        for protocol in self.protocols {
            let samples = self.rounds(*protocol, bench)?;
            let row = |(contender, samples): (&Contender, &Vec<Sample>)| Row {
                contender: contender.name.clone(),
                protocol: protocol.name().to_owned(),
                median: sample::median(samples),
                spread: sample::spread(samples),
                has_cpu: !contender.servers.is_empty(),
            };
            rows.extend(self.contenders.iter().zip(&samples).map(row));
        }
        Ok(Outcome::new(suite, bench, rows))
    }

    /// For each contender, one sample of each round.
    pub(super) fn rounds(&self, protocol: Protocol, bench: &Bench) -> Result<Vec<Vec<Sample>>> {
        for contender in self.contenders {
            // Twice: the first answer may come from the origin.
            contender.check(self.arena, protocol)?;
            contender.check(self.arena, protocol)?;
        }
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); self.contenders.len()];
        let duration = Duration::from_secs(bench.seconds);
        for round in 1..=bench.rounds {
            eprintln!("bench: {} round {round} of {}", protocol.name(), bench.rounds);
            for (contender, samples) in self.contenders.iter().zip(&mut samples) {
                let origin = self.arena.origin_cpu_ms()?;
                samples.push(contender.measure(self.arena, protocol, bench.concurrency, duration)?);
                if self.answers_from_cache && self.arena.origin_cpu_ms()? - origin > STANDSTILL_MS {
                    bail!("{} asks the origin where it should answer from its cache", contender.name);
                }
            }
        }
        Ok(samples)
    }
}
