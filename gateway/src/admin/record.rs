//! `POST /v1/plugins/{name}/record?count=N&wait_s=T`: the next decisions of a plugin, as evidence.
//!
//! Answers with one JSON record in each line (`forebay_policy::replay::Record`) as soon as there are `count`, and with
//! those there are after `wait_s`. Records hold what the plugin read of requests, header fields and claims among it:
//! they are made because an operator asks, go to that operator, and are kept nowhere.

use std::time::Duration;

use forebay_http::{Problem, ProblemType, ResponseBody};
use forebay_policy::replay::Record;
use forebay_policy::{NotRecorded, Plugin};
use http::{Response, StatusCode};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout_at};

use super::respond;

const LINES: &str = "application/x-ndjson";
/// Decisions, where the query does not say.
const COUNT: usize = 10;
/// Time to wait for them, where the query does not say.
const WAIT_S: u64 = 10;
/// The longest that can be asked for.
const WAIT_MAX_S: u64 = 60;
/// Bytes of one answer; it ends early when it gets longer.
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Records.
pub(super) async fn answer(plugin: &Plugin, query: Option<&str>) -> Response<ResponseBody> {
    let asked = Asked::read(query.unwrap_or_default()).and_then(|asked| {
        let records = plugin.record(asked.count).map_err(|error| refusal(&error))?;
        Ok((records, asked.wait))
    });
    match asked {
        Ok((records, wait)) => {
            tracing::info!(plugin = plugin.name(), "decisions recorded for an operator");
            respond(StatusCode::OK, LINES, lines(records, Instant::now() + wait).await)
        }
        Err(problem) => problem.into_response(),
    }
}

async fn lines(mut records: Receiver<Record>, until: Instant) -> String {
    let mut lines = String::new();
    while let Ok(Some(record)) = timeout_at(until, records.recv()).await {
        lines.push_str(&record.to_line());
        lines.push('\n');
        if lines.len() >= ANSWER_MAX_BYTES {
            break;
        }
    }
    lines
}

struct Asked {
    count: usize,
    wait: Duration,
}

impl Asked {
    fn read(query: &str) -> Result<Self, Problem> {
        let mut asked = Self { count: COUNT, wait: Duration::from_secs(WAIT_S) };
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match (key.as_ref(), value.parse::<u64>()) {
                ("count", Ok(count)) => asked.count = usize::try_from(count).unwrap_or(usize::MAX),
                ("wait_s", Ok(wait_s)) if (1..=WAIT_MAX_S).contains(&wait_s) => {
                    asked.wait = Duration::from_secs(wait_s);
                }
                _ => {
                    let detail = format!("`{key}`: expected count=N and wait_s=1 to {WAIT_MAX_S}");
                    return Err(Problem::new(ProblemType::BadRequest).detail(detail));
                }
            }
        }
        Ok(asked)
    }
}

fn refusal(error: &NotRecorded) -> Problem {
    let kind = if *error == NotRecorded::Busy { ProblemType::Overloaded } else { ProblemType::BadRequest };
    Problem::new(kind).detail(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_query_says_how_many_and_how_long() {
        let read = |query| Asked::read(query).map(|asked| (asked.count, asked.wait.as_secs()));
        assert_eq!(read("").unwrap(), (COUNT, WAIT_S));
        assert_eq!(read("wait_s=3&count=7").unwrap(), (7, 3));
        for query in ["count=x", "wait_s=0", "wait_s=61", "other=1", "count=-1"] {
            assert!(read(query).is_err(), "{query}");
        }
    }
}
