//! Seals fields that leave the PoP and opens them where they come back.
//!
//! This file is glue between the host's messages and the decision in [`rule`]. The host does the
//! cryptography: neither the content of a field nor a key ever comes here.

pub mod rule;

use forebay_plugin_sdk::{Message, OnForward, OnResponse, OnReturn, Plugin, Response, Verdict, plugin};
use rule::{Config, Refusal, forward, give_back, respond};

struct FieldSeal(Config);

impl Plugin for FieldSeal {
    fn configure(config: &str) -> Result<Self, String> {
        Config::parse(config).map(Self)
    }
}

impl OnForward for FieldSeal {
    fn on_forward(&self, message: &Message) -> Verdict {
        verdict(forward(&self.0, message))
    }
}

impl OnReturn for FieldSeal {
    fn on_return(&self, message: &Message) -> Verdict {
        verdict(give_back(&self.0, message))
    }
}

impl OnResponse for FieldSeal {
    fn on_response(&self, _: &Response, message: Option<&Message>) -> Verdict {
        verdict(message.map_or(Ok(()), |message| respond(&self.0, message)))
    }
}

fn verdict(result: Result<(), Refusal>) -> Verdict {
    match result {
        Ok(()) => Verdict::Continue,
        Err(refusal) => Verdict::answer(refusal.status, refusal.problem, &refusal.detail),
    }
}

plugin!(FieldSeal: on_forward, on_return, on_response);
