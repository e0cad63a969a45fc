//! The tour: a real client asks over TLS, and a table says what came of it and whether that was as expected.

use std::time::{Duration, Instant};

use bytes::Bytes;
use comfy_table::{Cell, CellAlignment, Color, Table, presets};
use forebay_oip::{Encoding, HEADER_LENGTH, InferRequest, Parameters, Tensor};
use http::header::AUTHORIZATION;
use http::response::Parts;
use http::{HeaderMap, Request};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::ports::Ports;
use super::state::State;
use super::steps;
use crate::upstream::client::Client;

const TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// What came of every step.
#[derive(Default)]
pub(super) struct Tour {
    lines: Vec<Line>,
}

/// One line of the table.
pub(super) struct Line {
    asked: &'static str,
    status: String,
    verdict: String,
    cache: String,
    region: String,
    time: Duration,
    /// What was not as expected.
    surprise: Option<String>,
}

/// The body of an inference.
pub(super) struct Question {
    body: Bytes,
    json_length: Option<usize>,
}

/// A client of the demo's gateway.
pub(super) struct Visitor {
    client: Client,
    base: String,
}

/// What an answer must look like; `None`: anything.
#[derive(Default, Clone, Copy)]
pub(super) struct Expected {
    pub(super) status: u16,
    pub(super) problem: Option<&'static str>,
    pub(super) cache: Option<&'static str>,
    pub(super) region: Option<&'static str>,
}

/// An answer as the tour sees it.
pub(super) struct Seen {
    head: Parts,
    body: Value,
    time: Duration,
}

/// Goes through every step.
pub(super) async fn run(state: &State, ports: &Ports, cluster: &mut Cluster) -> Result<Tour, String> {
    let ca = state.file("ca.pem");
    let client = Client::new(Some(&ca), None, Duration::from_secs(2)).map_err(|error| error.to_string())?;
    let visitor = Visitor { client, base: format!("https://localhost:{}", ports.gateway) };
    let mut tour = Tour::default();
    steps::access(&mut tour, &visitor, state).await?;
    steps::inference(&mut tour, &visitor, state).await?;
    steps::sealing(&mut tour, &visitor, state).await?;
    steps::regions(&mut tour, &visitor, state, cluster).await?;
    Ok(tour)
}

impl Visitor {
    /// Asks for an inference.
    pub(super) async fn infer(
        &self,
        prefix: &str,
        model: &str,
        token: Option<&str>,
        question: &Question,
    ) -> Result<Seen, String> {
        let uri = format!("{}{prefix}/v2/models/{model}/infer", self.base);
        let mut request = Request::post(&uri);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(length) = question.json_length {
            request = request.header(HEADER_LENGTH, length);
        }
        let request = request.body(question.body.clone()).map_err(|error| error.to_string())?;
        let started = Instant::now();
        let (head, body) =
            self.client.fetch(request, ANSWER_MAX_BYTES, TIMEOUT).await.map_err(|error| format!("{uri}: {error}"))?;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(Seen { head, body, time: started.elapsed() })
    }
}

/// The body that asks for the embedding of texts.
pub(super) fn texts(texts: &[&str]) -> Question {
    let input = json!({ "name": "text", "shape": [texts.len()], "datatype": "BYTES", "data": texts });
    Question { body: json!({ "inputs": [input] }).to_string().into(), json_length: None }
}

/// The body that asks what stands on a picture, as a binary tensor.
pub(super) fn picture(png: &[u8]) -> Result<Question, String> {
    let inputs = vec![Tensor::from_strings("image", [1], [png])];
    let request = InferRequest { id: None, parameters: Parameters::new(), inputs, outputs: Vec::new() };
    let encoded = forebay_oip::encode_request(&request, Encoding::Binary).map_err(|error| error.to_string())?;
    Ok(Question { body: encoded.body, json_length: encoded.json_length })
}

impl Seen {
    /// An output's data.
    pub(super) fn data(&self, output: &str) -> Option<&Vec<Value>> {
        let outputs = self.body.get("outputs")?.as_array()?;
        outputs
            .iter()
            .find(|candidate| candidate.get("name").and_then(Value::as_str) == Some(output))?
            .get("data")?
            .as_array()
    }

    fn text(headers: &HeaderMap, name: &str) -> String {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    }

    /// `hit`, `miss`, `bypass`: the word of RFC 9211 that says it.
    fn cache(&self) -> String {
        let member = Self::text(&self.head.headers, "cache-status");
        let word = member.split(';').nth(1).map(str::trim).unwrap_or_default();
        word.strip_prefix("fwd=").unwrap_or(word).to_owned()
    }

    fn region(&self) -> String {
        Self::text(&self.head.headers, "forebay-region")
    }

    fn problem(&self) -> String {
        let kind = self.body.get("type").and_then(Value::as_str).unwrap_or_default();
        kind.rsplit('/').next().unwrap_or_default().to_owned()
    }
}

impl Tour {
    /// Adds a line and judges it; `also` is what else must hold of the answer.
    pub(super) fn judge(&mut self, asked: &'static str, seen: &Seen, expected: Expected, also: Option<String>) {
        let (status, cache, region, problem) = (seen.head.status.as_u16(), seen.cache(), seen.region(), seen.problem());
        let mut surprises: Vec<String> = also.into_iter().collect();
        if status != expected.status {
            surprises.push(format!("expected status {}", expected.status));
        }
        for (name, found, wanted) in [
            ("problem", &problem, expected.problem),
            ("cache", &cache, expected.cache),
            ("region", &region, expected.region),
        ] {
            if let Some(wanted) = wanted
                && found != wanted
            {
                surprises.push(format!("expected {name} {wanted}"));
            }
        }
        self.lines.push(Line {
            asked,
            status: status.to_string(),
            verdict: if problem.is_empty() { "allowed".into() } else { problem },
            cache,
            region,
            time: seen.time,
            surprise: (!surprises.is_empty()).then(|| surprises.join(", ")),
        });
    }

    /// Whether every line was.
    pub(super) fn as_expected(&self) -> bool {
        !self.lines.is_empty() && self.lines.iter().all(|line| line.surprise.is_none())
    }

    /// The table.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_BORDERS_ONLY);
        table.set_header(["asked", "status", "verdict", "cache", "region", "ms", "as expected"]);
        for line in &self.lines {
            let judged = match &line.surprise {
                None => Cell::new("yes").fg(Color::Green),
                Some(surprise) => Cell::new(format!("NO: {surprise}")).fg(Color::Red),
            };
            table.add_row([
                Cell::new(line.asked),
                Cell::new(&line.status),
                Cell::new(&line.verdict),
                Cell::new(&line.cache),
                Cell::new(&line.region),
                Cell::new(format!("{:.1}", line.time.as_secs_f64() * 1e3)).set_alignment(CellAlignment::Right),
                judged,
            ]);
        }
        table.to_string()
    }
}
