//! Hashed keys for clients without tokens. The decision is in [`rule`].

pub mod rule;

use forebay_plugin_sdk::{OnRequest, Plugin, Request, Verdict, plugin};
use rule::{Config, decide};

struct ApiKey(Config);

impl Plugin for ApiKey {
    fn configure(config: &str) -> Result<Self, String> {
        Config::parse(config).map(Self)
    }
}

impl OnRequest for ApiKey {
    fn on_request(&self, request: &Request) -> Verdict {
        decide(&self.0, request)
    }
}

plugin!(ApiKey: on_request);
