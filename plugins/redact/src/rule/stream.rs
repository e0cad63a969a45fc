//! A body on its way, of whatever form.

use forebay_plugin_sdk::body::Kind as PartKind;

use super::config::{Config, Other};
use super::event::Events;
use super::flow::Counts;
use super::json::Json;
use super::text::Text;

/// A body that nobody can look into, where that is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// How bodies of a media type are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Text,
}

impl Form {
    /// None: neither JSON nor text.
    pub(super) fn of(media: Option<&str>) -> Option<Self> {
        let media = media?;
        let (kind, subtype) = media.split_once('/')?;
        if subtype == "json" || subtype.ends_with("+json") || matches!(subtype, "x-ndjson" | "jsonl" | "json-seq") {
            return Some(Self::Json);
        }
        let text = kind == "text" || subtype == "xml" || subtype.ends_with("+xml") || subtype == "javascript";
        text.then_some(Self::Text)
    }
}

/// A body on its way.
#[derive(Debug)]
pub struct Stream {
    form: Option<Form>,
    json: Json,
    text: Text,
    events: Events,
    counts: Counts,
}

impl Stream {
    /// A body of this media type (without parameters, in lower case).
    #[must_use]
    pub fn of(media: Option<&str>) -> Self {
        Self {
            form: Form::of(media),
            json: Json::default(),
            text: Text::default(),
            events: Events::default(),
            counts: Counts::new(),
        }
    }

    /// The next part, as it goes on.
    ///
    /// # Errors
    /// It is neither JSON nor text, and the configuration does not let it pass.
    pub fn part(&mut self, config: &Config, kind: PartKind, bytes: &[u8], last: bool) -> Result<Vec<u8>, Unreadable> {
        let counts = &mut self.counts;
        match kind {
            PartKind::Event => return Ok(self.events.push(config, bytes, last, counts)),
            // A message stands for itself.
            PartKind::Text if bytes.starts_with(b"{") || bytes.starts_with(b"[") => {
                return Ok(Json::default().push(config, bytes, true, counts));
            }
            PartKind::Text => return Ok(Text::default().push(config, bytes, true, counts)),
            PartKind::Binary => return self.pass(config, bytes),
            _ => {}
        }
        match self.form {
            Some(Form::Json) => Ok(self.json.push(config, bytes, last, counts)),
            Some(Form::Text) => Ok(self.text.push(config, bytes, last, counts)),
            None => self.pass(config, bytes),
        }
    }

    fn pass(&self, config: &Config, bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
        if bytes.is_empty() || config.other == Other::Pass { Ok(bytes.to_vec()) } else { Err(Unreadable) }
    }

    /// How often each pattern was found since this was asked last.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}
