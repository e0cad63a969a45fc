//! Header fields that are set, removed and required, by configuration. The decision is in [`rule`].

pub mod rule;

use forebay_plugin_sdk::{Message, OnRequest, OnResponse, Plugin, Request, Response, Verdict, plugin};
use rule::Config;

struct Headers(Config);

impl Plugin for Headers {
    fn configure(config: &str) -> Result<Self, String> {
        Config::parse(config).map(Self)
    }
}

impl OnRequest for Headers {
    fn on_request(&self, request: &Request) -> Verdict {
        self.0.on_request(request)
    }
}

impl OnResponse for Headers {
    fn on_response(&self, response: &Response, _: Option<&Message>) -> Verdict {
        self.0.on_response(response);
        Verdict::Continue
    }
}

plugin!(Headers: on_request, on_response);
