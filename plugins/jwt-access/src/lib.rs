//! Who may use which route and model, by verified token claims.
//!
//! This file is glue. The decision is in [`rule`]. The token never comes here: the host verified it, or says why it
//! could not.

pub mod rule;

use forebay_plugin_sdk::{OnRequest, Plugin, Request, Verdict, plugin};
use rule::{Config, decide};

struct JwtAccess(Config);

impl Plugin for JwtAccess {
    fn configure(config: &str) -> Result<Self, String> {
        Config::parse(config).map(Self)
    }
}

impl OnRequest for JwtAccess {
    fn on_request(&self, request: &Request) -> Verdict {
        decide(&self.0, request)
    }
}

plugin!(JwtAccess: on_request);
