//! A hash-chained log of who came and what was answered. The decision is in [`rule`].

pub mod rule;

use forebay_plugin_sdk::{Message, OnRequest, OnResponse, Plugin, Request, Response, Verdict, current_request, plugin};
use rule::{Config, Event, write};

struct Audit(Config);

impl Plugin for Audit {
    fn configure(config: &str) -> Result<Self, String> {
        Config::parse(config).map(Self)
    }
}

impl OnRequest for Audit {
    fn on_request(&self, request: &Request) -> Verdict {
        write(&self.0, request, Event::Asked)
    }
}

impl OnResponse for Audit {
    fn on_response(&self, response: &Response, _: Option<&Message>) -> Verdict {
        write(&self.0, &current_request(), Event::Answered(response.status()))
    }
}

plugin!(Audit: on_request, on_response);
