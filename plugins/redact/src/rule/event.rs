//! Events of a stream (`text/event-stream`), each of which has a little piece of one long text.
//!
//! A model writes a few characters an event, so a match mostly lies in several. Where an event has its piece is
//! configured; the end of the pieces so far is held back and goes on with the next one. When events without a piece come,
//! or none at all, what is held goes before them in an event of its own, made like the last.

use serde_json::Value;

use super::config::Config;
use super::flow::{Counts, Flow};
use super::json::Json;
use super::text::Text;

/// The events of one stream.
#[derive(Debug, Default)]
pub(super) struct Events {
    flow: Flow,
    /// The last event that had a piece: its other lines, its value, and where the piece was.
    last: Option<(String, Value, String)>,
}

impl Events {
    /// One event, and what goes on in its place.
    pub(super) fn push(&mut self, config: &Config, event: &[u8], last: bool, counts: &mut Counts) -> Vec<u8> {
        let mut out = Vec::new();
        match read(config, event) {
            Some((other, mut value, pointer)) => {
                let piece = value.pointer(&pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
                if self.last.as_ref().is_some_and(|(_, before, at)| *at != pointer || index(before) != index(&value)) {
                    self.flush(config, counts, &mut out);
                }
                let goes_on = self.flow.push(config, &piece, last, counts);
                put(&mut value, &pointer, String::new());
                let mut value = without_data(config, &value, counts);
                put(&mut value, &pointer, goes_on);
                write(&other, &value, &mut out);
                self.last = Some((other, value, pointer));
            }
            None => {
                self.flush(config, counts, &mut out);
                out.extend(alone(config, event, counts));
            }
        }
        if last {
            self.flush(config, counts, &mut out);
        }
        out
    }

    /// What is held goes on now.
    fn flush(&mut self, config: &Config, counts: &mut Counts, out: &mut Vec<u8>) {
        let Some((other, mut value, pointer)) = self.last.take().filter(|_| !self.flow.is_empty()) else { return };
        let held = self.flow.push(config, "", true, counts);
        put(&mut value, &pointer, held);
        write(&other, &value, out);
    }
}

/// Which of several texts an event is about, where a stream has several.
fn index(value: &Value) -> Option<u64> {
    value.pointer("/choices/0/index").or_else(|| value.get("output_index")).and_then(Value::as_u64)
}

/// An event whose data is JSON with a piece of text: its other lines, the data, and where the piece is.
fn read(config: &Config, event: &[u8]) -> Option<(String, Value, String)> {
    let (other, data) = lines(std::str::from_utf8(event).ok()?);
    let value: Value = serde_json::from_str(&data).ok()?;
    let has_piece = |pointer: &&String| value.pointer(pointer).is_some_and(Value::is_string);
    let pointer = config.event_text.iter().find(has_piece)?.clone();
    Some((other, value, pointer))
}

/// The data of an event, and its other lines.
fn lines(event: &str) -> (String, String) {
    let (mut other, mut data) = (String::new(), Vec::new());
    for line in event.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("data:") {
            Some(value) => data.push(value.strip_prefix(' ').unwrap_or(value)),
            None => {
                other.push_str(line);
                other.push('\n');
            }
        }
    }
    (other, data.join("\n"))
}

fn put(value: &mut Value, pointer: &str, text: String) {
    if let Some(place) = value.pointer_mut(pointer) {
        *place = Value::String(text);
    }
}

/// The data of an event with its strings redacted. What a string says, nobody else can make JSON of.
fn without_data(config: &Config, value: &Value, counts: &mut Counts) -> Value {
    let data = Json::default().push(config, value.to_string().as_bytes(), true, counts);
    serde_json::from_slice(&data).unwrap_or_default()
}

fn write(other: &str, value: &Value, out: &mut Vec<u8>) {
    out.extend(format!("{other}data: {value}\n\n").into_bytes());
}

/// An event that stands for itself.
fn alone(config: &Config, event: &[u8], counts: &mut Counts) -> Vec<u8> {
    let (_, data) = lines(std::str::from_utf8(event).unwrap_or_default());
    if data.starts_with(['{', '[', '"']) {
        return Json::default().push(config, event, true, counts);
    }
    Text::default().push(config, event, true, counts)
}
