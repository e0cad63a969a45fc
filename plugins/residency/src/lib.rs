//! Keeps requests in the legal areas that a claim or a header field names. The decision is in [`rule`].

pub mod rule;

use forebay_plugin_sdk::{OnRequest, Plugin, Request, Verdict, plugin};
use rule::{Config, decide};

struct Residency(Config);

impl Plugin for Residency {
    fn configure(config: &str) -> Result<Self, String> {
        Config::parse(config).map(Self)
    }
}

impl OnRequest for Residency {
    fn on_request(&self, request: &Request) -> Verdict {
        decide(&self.0, request)
    }
}

plugin!(Residency: on_request);
