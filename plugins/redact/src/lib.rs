//! Takes personal data out of bodies, whole or streamed. What is found and what comes in its place is in [`rule`].

pub mod rule;

use forebay_plugin_sdk::{
    Message, OnRequestChunk, OnResponse, OnResponseChunk, Part, Plugin, Response, Verdict, metrics, plugin,
};
use rule::{Config, Stream, Unreadable};

/// The configuration and, while a body streams, what is held back of it.
struct Redact {
    config: Config,
    stream: Option<Stream>,
}

impl Plugin for Redact {
    fn configure(config: &str) -> Result<Self, String> {
        Ok(Self { config: Config::parse(config)?, stream: None })
    }
}

impl Redact {
    fn part(&mut self, part: &Part) -> Result<(), Unreadable> {
        let stream = self.stream.get_or_insert_with(|| Stream::of(part.media_type().as_deref()));
        let bytes = part.bytes();
        let redacted = stream.part(&self.config, part.kind(), &bytes, part.last())?;
        if redacted != bytes {
            part.replace(&redacted);
        }
        for (name, count) in stream.take_counts() {
            metrics::count(&format!("redacted_{name}"), count);
        }
        Ok(())
    }
}

impl OnRequestChunk for Redact {
    fn on_request_chunk(&mut self, part: &Part) -> Verdict {
        if !self.config.requests {
            return Verdict::Continue;
        }
        match self.part(part) {
            Ok(()) => Verdict::Continue,
            Err(Unreadable) => Verdict::answer(
                415,
                "unsupported-encoding",
                "this route takes JSON and text only: personal data is taken out",
            ),
        }
    }
}

impl OnResponseChunk for Redact {
    fn on_response_chunk(&mut self, part: &Part) -> Verdict {
        if !self.config.responses {
            return Verdict::Continue;
        }
        match self.part(part) {
            Ok(()) => Verdict::Continue,
            Err(Unreadable) => unreadable_answer(),
        }
    }
}

impl OnResponse for Redact {
    /// Refuses early what would have to be cut later.
    fn on_response(&self, response: &Response, _: Option<&Message>) -> Verdict {
        let announced = response.text("content-type");
        let media =
            announced.as_deref().map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        let readable = media.is_none() || self.config.takes(media.as_deref());
        if self.config.responses && !readable { unreadable_answer() } else { Verdict::Continue }
    }
}

fn unreadable_answer() -> Verdict {
    Verdict::answer(502, "bad-gateway", "the answer is of a kind from which personal data cannot be taken out")
}

plugin!(Redact: on_request_chunk, on_response, on_response_chunk);
