//! Bounds prompts and refuses those that hold what they must not. The decision is in [`rule`].

pub mod rule;

use forebay_plugin_sdk::{OnRequestBody, Part, Plugin, Verdict, plugin};
use rule::{Config, decide};

struct PromptGuard(Config);

impl Plugin for PromptGuard {
    fn configure(config: &str) -> Result<Self, String> {
        Config::parse(config).map(Self)
    }
}

impl OnRequestBody for PromptGuard {
    fn on_request_body(&self, part: &Part) -> Verdict {
        decide(&self.0, part)
    }
}

plugin!(PromptGuard: on_request_body);
