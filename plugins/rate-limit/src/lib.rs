//! Token buckets by subject, tenant, model, route and address. The decision is in [`rule`].

pub mod rule;

use forebay_plugin_sdk::{Message, OnRequest, OnResponse, Plugin, Request, Response, Verdict, plugin};
use rule::Config;

struct RateLimit(Config);

impl Plugin for RateLimit {
    fn configure(config: &str) -> Result<Self, String> {
        Config::parse(config).map(Self)
    }
}

impl OnRequest for RateLimit {
    fn on_request(&self, request: &Request) -> Verdict {
        rule::on_request(&self.0, request)
    }
}

impl OnResponse for RateLimit {
    fn on_response(&self, response: &Response, _: Option<&Message>) -> Verdict {
        rule::on_response(response);
        Verdict::Continue
    }
}

plugin!(RateLimit: on_request, on_response);
