//! `forebay plugin try`: a plugin's verdict on a request from a file, hook by hook, without a gateway.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use forebay_policy::{Answer, Failure as CallFailure, HeadEdit, HeadEdits, Outcome, PartKind, Phase, Plugin, Side};
use serde::Serialize;

use super::component::{Candidate, Which, usage};
use super::sample::Sample;
use super::say_json;
use crate::cli::{Failure, block_on, say};

/// What to ask.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    which: Which,
    /// The request, as TOML or JSON. Default: request.toml beside the component, or here.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// Print one JSON object for each hook, one a line.
    #[arg(long)]
    json: bool,
}

/// How one hook ended.
#[derive(Debug, Default, Serialize)]
struct Verdict {
    hook: &'static str,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Header fields set; none: removed.
    headers: Vec<(String, Option<String>)>,
    /// What it put in the place of a body.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    micros: u128,
}

/// Asks.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let candidate = options.which.candidate()?;
    let sample = Sample::read(options.request.as_deref(), &candidate.file)?;
    let plugin = candidate.load(&Candidate::engine()?).map_err(|error| usage(&candidate.file, error))?;
    block_on(async {
        let mut trial = Trial { plugin: &plugin, sample, json: options.json };
        if trial.through().await? {
            return Ok(());
        }
        Err(Failure::Failed("the plugin failed: a gateway would refuse this request".to_owned()))
    })
}

struct Trial<'p> {
    plugin: &'p Plugin,
    sample: Sample,
    json: bool,
}

impl Trial<'_> {
    /// Takes the request through the hooks in their order. False: one failed.
    async fn through(&mut self) -> Result<bool, Failure> {
        for phase in Phase::ALL {
            if !self.plugin.phases().has(phase) {
                continue;
            }
            let started = Instant::now();
            let Some(ended) = self.hook(phase).await else {
                self.skipped(phase);
                continue;
            };
            let failed = ended.is_err();
            let verdict = verdict(phase, ended, started.elapsed());
            if self.json {
                say_json(&verdict)?;
            } else {
                show(&verdict);
            }
            if failed || verdict.status.is_some() {
                return Ok(!failed);
            }
        }
        Ok(true)
    }

    /// Calls one hook. None: the file has nothing to ask it about.
    async fn hook(&mut self, phase: Phase) -> Option<Result<Outcome<Change>, CallFailure>> {
        let context = self.sample.context();
        Some(match phase {
            Phase::Request => {
                let ended = self.plugin.on_request(&context).await;
                heads(ended, &mut self.sample.request.headers)
            }
            Phase::Response => {
                let response = self.sample.response.as_mut()?;
                let ended = self.plugin.on_response(std::sync::Arc::new(response.clone()), None, &context).await;
                heads(ended.map(|outcome| map(outcome, |(edits, _)| edits)), &mut response.headers)
            }
            Phase::RequestBody | Phase::ResponseBody => {
                let side = if phase == Phase::RequestBody { Side::Request } else { Side::Response };
                let part = self.sample.part(side, PartKind::Whole)?;
                let before = part.bytes.clone();
                bodies(self.plugin.on_body(part, &context).await, &before)
            }
            Phase::RequestChunk | Phase::ResponseChunk => {
                let side = if phase == Phase::RequestChunk { Side::Request } else { Side::Response };
                let part = self.sample.part(side, PartKind::Chunk)?;
                let before = part.bytes.clone();
                match self.plugin.stream(side, context).await {
                    Ok(stream) => bodies(stream?.part(part).await, &before),
                    Err(failure) => Err(failure),
                }
            }
            // A message is an inference in work; only a gateway has one.
            Phase::Forward | Phase::Return | Phase::Trailers => return None,
        })
    }

    fn skipped(&self, phase: Phase) {
        if !self.json {
            let why = match phase {
                Phase::Response => "the file has no [response]",
                Phase::Forward | Phase::Return | Phase::Trailers => "try it in a gateway",
                _ => "the file has no body for it",
            };
            say(&format!("{phase}: not called ({why})"));
        }
    }
}

/// What a hook changed.
enum Change {
    Head(HeadEdits),
    Body(Option<Bytes>),
}

fn heads(
    ended: Result<Outcome<HeadEdits>, CallFailure>,
    headers: &mut http::HeaderMap,
) -> Result<Outcome<Change>, CallFailure> {
    ended.map(|outcome| {
        map(outcome, |edits| {
            edits.apply(headers);
            Change::Head(edits)
        })
    })
}

fn bodies(ended: Result<Outcome<Bytes>, CallFailure>, before: &Bytes) -> Result<Outcome<Change>, CallFailure> {
    ended.map(|outcome| map(outcome, |after| Change::Body(Some(after).filter(|after| after != before))))
}

fn map<T, U>(outcome: Outcome<T>, with: impl FnOnce(T) -> U) -> Outcome<U> {
    match outcome {
        Outcome::Continue(value) => Outcome::Continue(with(value)),
        Outcome::Answer(answer) => Outcome::Answer(answer),
    }
}

fn verdict(phase: Phase, ended: Result<Outcome<Change>, CallFailure>, took: Duration) -> Verdict {
    let blank = Verdict { hook: phase.hook(), micros: took.as_micros(), ..Verdict::default() };
    match ended {
        Ok(Outcome::Continue(Change::Head(edits))) => {
            Verdict { verdict: "continue", headers: edits.iter().map(edit).collect(), ..blank }
        }
        Ok(Outcome::Continue(Change::Body(body))) => {
            let body = body.map(|body| String::from_utf8_lossy(&body).into_owned());
            Verdict { verdict: "continue", body, ..blank }
        }
        Ok(Outcome::Answer(answer)) => answered(answer, blank),
        Err(failure) => Verdict { verdict: "failure", detail: Some(failure.to_string()), ..blank },
    }
}

fn answered(answer: Answer, blank: Verdict) -> Verdict {
    let headers = answer.headers.iter().map(|(name, value)| (name.to_string(), Some(text(value.as_bytes()))));
    Verdict {
        verdict: "answer",
        status: Some(answer.status),
        problem: answer.problem,
        headers: headers.collect(),
        detail: Some(answer.detail),
        ..blank
    }
}

fn edit(edit: &HeadEdit) -> (String, Option<String>) {
    match edit {
        HeadEdit::Set(name, value) => (name.to_string(), Some(text(value.as_bytes()))),
        HeadEdit::Remove(name) => (name.to_string(), None),
        HeadEdit::Restrict(areas) => ("(jurisdictions)".to_owned(), Some(areas.join(", "))),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn show(verdict: &Verdict) {
    let problem = verdict.problem.as_deref().unwrap_or_default();
    let status = verdict.status.map(|status| format!(" {status} {problem}")).unwrap_or_default();
    let detail = verdict.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
    say(&format!("{}: {}{status}{detail} ({} µs)", verdict.hook, verdict.verdict, verdict.micros));
    for (name, value) in &verdict.headers {
        match value {
            Some(value) => say(&format!("  {name}: {value}")),
            None => say(&format!("  {name} removed")),
        }
    }
    if let Some(body) = &verdict.body {
        say(&format!("  body: {body}"));
    }
}
