//! The decision: is this prompt short enough, and free of what it must not hold?

mod config;
mod json;
mod prompts;

use forebay_plugin_sdk::{Part, Verdict, metrics};

pub use config::{Config, Deny, Other};

/// Decides on a whole body.
#[must_use]
pub fn decide(config: &Config, part: &Part) -> Verdict {
    if part.size() == 0 {
        return Verdict::Continue;
    }
    if part.size() > config.max_bytes {
        return refuse(
            "too_large",
            Verdict::answer(413, "body-too-large", "the request's body is larger than allowed here"),
        );
    }
    if !part.media_type().is_some_and(|media| media == "application/json" || media.ends_with("+json")) {
        return match config.other {
            Other::Pass => Verdict::Continue,
            Other::Refuse => {
                refuse("unreadable", Verdict::answer(415, "unsupported-encoding", "this route takes JSON bodies only"))
            }
        };
    }
    let body = match json::read(&part.bytes()) {
        Ok(body) => body,
        Err(why) => return refuse("unreadable", Verdict::answer(400, "malformed-body", why)),
    };
    let prompts = prompts::find(&body, &config.pointers);
    let parts = prompts.len() as u64;
    let chars: u64 = prompts.iter().map(|prompt| prompt.chars().count() as u64).sum();
    if parts > config.max_parts || chars > config.max_chars {
        return refuse("too_long", Verdict::answer(413, "body-too-large", "the prompt is longer than allowed here"));
    }
    let text = prompts::plain(&prompts);
    match config.deny.iter().find(|deny| deny.matches(&text)) {
        // Which pattern it was is for the metrics: who is told learns to write around it.
        Some(deny) => refuse(&deny.name, Verdict::bad_request("the prompt holds what is not allowed here")),
        None => Verdict::Continue,
    }
}

fn refuse(why: &str, verdict: Verdict) -> Verdict {
    metrics::count(&format!("refused_{why}"), 1);
    verdict
}

#[cfg(test)]
mod tests;
