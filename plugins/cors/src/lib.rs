//! Cross-origin requests as the Fetch standard wants them. The decision is in [`rule`].

pub mod rule;

use forebay_plugin_sdk::{Message, OnRequest, OnResponse, Plugin, Request, Response, Verdict, current_request, plugin};
use rule::Config;

struct Cors(Config);

impl Plugin for Cors {
    fn configure(config: &str) -> Result<Self, String> {
        Config::parse(config).map(Self)
    }
}

impl OnRequest for Cors {
    fn on_request(&self, request: &Request) -> Verdict {
        self.0.on_request(request)
    }
}

impl OnResponse for Cors {
    fn on_response(&self, response: &Response, _: Option<&Message>) -> Verdict {
        self.0.on_response(current_request().text("origin").as_deref(), response);
        Verdict::Continue
    }
}

plugin!(Cors: on_request, on_response);
