//! The decision: is there room for one more request in every bucket that it belongs to?
//!
//! Buckets are asked in the order of the configuration, and the first that is empty refuses. What was taken from the ones
//! before it is not given back: who asks too often pays for it everywhere.

mod config;
mod fields;
mod partition;

use forebay_plugin_sdk::counters::{self, Taken};
use forebay_plugin_sdk::{Request, Response, Verdict, notes};

pub use config::{Config, Limit, Unavailable};

/// The note that carries the fields from the request's hook to the response's.
const POLICY_NOTE: &str = "policy";
const STATE_NOTE: &str = "state";

/// Takes from every bucket of the request.
#[must_use]
pub fn on_request(config: &Config, request: &Request) -> Verdict {
    let (route, model) = (request.route(), request.model());
    let applies = |limit: &&Limit| limit.is_for(&route, model.as_deref());
    let limits: Vec<&Limit> = config.limits.iter().filter(applies).collect();
    let mut tightest: Option<(&Limit, Taken)> = None;
    for limit in &limits {
        let bucket = partition::key(limit, request, &route, model.as_deref());
        let taken =
            match (counters::take(&bucket, limit.tokens, limit.capacity, limit.per_minute), config.on_unavailable) {
                (Ok(taken), _) => taken,
                (Err(_), Unavailable::Allow) => continue,
                (Err(_), Unavailable::Refuse) => {
                    return Verdict::cannot_decide("the rate of this request cannot be counted now");
                }
            };
        if !taken.granted {
            return refuse(config, &limits, limit, &taken);
        }
        if tightest.is_none_or(|(other, least)| is_tighter(limit, &taken, other, &least)) {
            tightest = Some((limit, taken));
        }
    }
    if let (true, Some((limit, taken))) = (config.fields, tightest) {
        // Without room for the notes the response only says less.
        let _ = notes::set(POLICY_NOTE, fields::policy(&limits).as_bytes());
        let _ = notes::set(STATE_NOTE, fields::state(limit, taken.remaining, taken.reset_ms).as_bytes());
    }
    Verdict::Continue
}

/// Says on the response what is left.
pub fn on_response(response: &Response) {
    for (note, field) in [(POLICY_NOTE, fields::POLICY), (STATE_NOTE, fields::STATE)] {
        if let Some(value) = notes::text(note) {
            response.set(field, &value);
        }
    }
}

fn refuse(config: &Config, limits: &[&Limit], limit: &Limit, taken: &Taken) -> Verdict {
    let wait_s = taken.retry_after_ms.div_ceil(1_000).max(1);
    let refusal = Verdict::too_many("this rate is over what is allowed", wait_s);
    if !config.fields {
        return refusal;
    }
    refusal
        .header(fields::POLICY, &fields::policy(limits))
        .header(fields::STATE, &fields::state(limit, taken.remaining, taken.retry_after_ms))
}

/// Whether less of this bucket is left than of the other, as a share of what each holds.
fn is_tighter(limit: &Limit, taken: &Taken, other: &Limit, least: &Taken) -> bool {
    let share = |part: u64, of: u64| u128::from(part) * u128::from(of);
    share(taken.remaining, other.capacity) < share(least.remaining, limit.capacity)
}

#[cfg(test)]
mod tests;
