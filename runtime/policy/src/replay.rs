//! Decisions made again from what was recorded of them, without a gateway.
//!
//! A pure plugin decides alike whenever it reads alike. So a record is evidence that anybody with the component and
//! its configuration can check: feed it the recorded values and nothing else, and see whether it asks the same
//! questions and comes to the same verdict.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::context::{Context, Notes};
use crate::edits::HeadEdits;
use crate::error::Failure;
use crate::phase::Phase;
use crate::plugin::Plugin;
use crate::recorder::RECORD_LIMITS;
use crate::trace::{Reads, Tracer};
use crate::verdict::Outcome;
use crate::views::{Message, RequestView};

mod record;
mod world;

pub use record::{
    RECORD_VERSION, Record, RecordError, RecordedAnswer, RecordedEdit, RecordedRead, RecordedValue, RecordedVerdict,
};
use world::{NoMessage, World};

/// When the request of a replay is over: never, for a plugin that waits for nothing.
const LIFE: Duration = Duration::from_secs(3600);

/// How a replay ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The plugin read the same and decided the same.
    Same,
    /// It read the same and decided otherwise.
    Different {
        /// What it decided now.
        verdict: RecordedVerdict,
        /// And its edits.
        edits: Vec<RecordedEdit>,
    },
    /// It read something else than was recorded. What it decided then says nothing.
    ReadDiffers {
        /// Which read, from 0.
        index: usize,
        /// What it read then; none: it had read everything.
        recorded: Option<RecordedRead>,
        /// What it read now; none: it had read everything.
        now: Option<RecordedRead>,
    },
    /// It read the same and came to no decision.
    Failed(Failure),
    /// The record is of another component or configuration.
    OtherDigest {
        /// The digest in the record.
        recorded: String,
        /// The plugin's.
        plugin: String,
    },
}

/// Makes a recorded decision again.
///
/// # Errors
/// The record does not describe a run.
pub async fn replay(plugin: &Plugin, record: &Record) -> Result<Replayed, RecordError> {
    let reads = record.parsed_reads()?;
    if record.digest != plugin.digest() {
        let (recorded, plugin) = (record.digest.clone(), plugin.digest().to_owned());
        return Ok(Replayed::OtherDigest { recorded, plugin });
    }
    let tracer = Tracer::new(RECORD_LIMITS);
    let outcome = match record.phase.as_str() {
        phase if phase == Phase::Request.hook() => on_request(plugin, &reads, &tracer).await,
        phase if phase == Phase::Response.hook() => on_response(plugin, &reads, &tracer).await,
        other => return Err(RecordError::Phase(other.to_owned())),
    };
    let now = tracer.finish().unwrap_or_default();
    if let Some(differs) = first_difference(&reads, &now) {
        return Ok(differs);
    }
    Ok(match outcome {
        Err(failure) => Replayed::Failed(failure),
        Ok(outcome) => {
            let (verdict, edits) = record::verdict(&outcome);
            let same = verdict == record.verdict && edits == record.edits;
            if same { Replayed::Same } else { Replayed::Different { verdict, edits } }
        }
    })
}

async fn on_request(plugin: &Plugin, reads: &Reads, tracer: &Tracer) -> Result<Outcome<HeadEdits>, Failure> {
    let world = Arc::new(World::of(reads));
    plugin.decide_request(&context(&world), Some(tracer.clone())).await
}

async fn on_response(plugin: &Plugin, reads: &Reads, tracer: &Tracer) -> Result<Outcome<HeadEdits>, Failure> {
    let world = Arc::new(World::of(reads));
    let message = world.has_message().then(|| Box::new(NoMessage) as Box<dyn Message>);
    let context = context(&world);
    let outcome = plugin.decide_response(world, message, &context, Some(tracer.clone())).await?;
    Ok(match outcome {
        Outcome::Continue((edits, _)) => Outcome::Continue(edits),
        Outcome::Answer(answer) => Outcome::Answer(answer),
    })
}

fn context(world: &Arc<World>) -> Context {
    let request: Arc<dyn RequestView> = Arc::clone(world) as Arc<dyn RequestView>;
    let deadline = Instant::now() + LIFE;
    Context { request, identity: Arc::clone(world) as _, deadline, notes: Arc::new(Notes::default()) }
}

fn first_difference(recorded: &Reads, now: &Reads) -> Option<Replayed> {
    let pairs = (0..recorded.len().max(now.len())).map(|index| (index, recorded.get(index), now.get(index)));
    let (index, recorded, now) = pairs.into_iter().find(|(_, recorded, now)| recorded != now)?;
    let shown = |pair: Option<&(_, _)>| pair.map(|(read, value)| record::recorded(read, value));
    Some(Replayed::ReadDiffers { index, recorded: shown(recorded), now: shown(now) })
}
