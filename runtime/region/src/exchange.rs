//! The account of one request: what the access log and the metrics say about it.
//!
//! It is closed when it is dropped, since a request can end in three places: its last byte left, its caller went away while
//! bytes were left, or its caller went away before there was an answer. Bodies, tensors, header values and paths are not in
//! it; the words that are there come from closed sets, apart from the names of our models and the trace's number.

use std::sync::Arc;
use std::time::Instant;

use forebay_http::Finish;
use http::StatusCode;

use crate::metrics::Metrics;

/// The outcome of a request whose caller did not wait for the answer.
const CALLER_GONE: &str = "caller-gone";
/// The outcome of a request that was answered.
const OK: &str = "ok";

/// The operation whose requests are counted by model.
pub(crate) const INFER: &str = "infer";

/// The operation that edges probe with.
pub(crate) const PROBE: &str = "node";

/// One request, from its head to its last byte.
pub(crate) struct Exchange {
    metrics: Arc<Metrics>,
    /// When the request's head had arrived.
    pub(crate) received: Instant,
    /// What was asked for; a word of ours.
    pub(crate) operation: &'static str,
    /// The model, once it was found.
    pub(crate) model: Option<String>,
    /// The trace that the caller says this belongs to.
    pub(crate) trace_id: Option<String>,
    /// Length of the request's body.
    pub(crate) bytes_in: usize,
    /// Inputs that came sealed and were opened.
    pub(crate) sealed_inputs: usize,
    answer: Option<(StatusCode, Option<&'static str>)>,
    finish: Option<Finish>,
}

impl Exchange {
    pub(crate) fn begin(metrics: Arc<Metrics>, trace_id: Option<String>) -> Self {
        Exchange {
            metrics,
            received: Instant::now(),
            operation: "none",
            model: None,
            trace_id,
            bytes_in: 0,
            sealed_inputs: 0,
            answer: None,
            finish: None,
        }
    }

    /// There is an answer: its status and, for a problem, its type.
    pub(crate) fn answered(&mut self, status: StatusCode, problem: Option<&'static str>) {
        self.answer = Some((status, problem));
    }

    /// The answer's body is done with.
    pub(crate) fn finished(mut self, finish: Finish) {
        self.finish = Some(finish);
    }

    fn outcome(&self) -> &'static str {
        match (self.answer, self.finish) {
            (Some((_, Some(problem))), _) => problem,
            (Some(_), Some(Finish { completed: true, .. })) => OK,
            _ => CALLER_GONE,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let outcome = self.outcome();
        if self.operation == INFER {
            self.metrics.finished(self.model.as_deref(), outcome);
        }
        // Every edge probes every second or so; those who watch would not find the requests among them.
        if self.operation == PROBE {
            return;
        }
        tracing::info!(
            target: "forebay::access",
            operation = self.operation,
            model = self.model.as_deref(),
            status = self.answer.map(|(status, _)| status.as_u16()),
            outcome,
            bytes_in = self.bytes_in,
            sealed_inputs = self.sealed_inputs,
            bytes_out = self.finish.map(|finish| finish.bytes),
            duration_ms = self.received.elapsed().as_secs_f64() * 1000.0,
            trace_id = self.trace_id.as_deref(),
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use forebay_http::ListenerCounts;

    use super::*;

    fn outcome_of(end: impl FnOnce(Exchange)) -> String {
        let metrics = Arc::new(Metrics::new());
        let mut exchange = Exchange::begin(Arc::clone(&metrics), None);
        exchange.operation = INFER;
        end(exchange);
        let text = metrics.text(&[], true, &ListenerCounts::default()).unwrap();
        let line = text.lines().find(|line| line.starts_with("forebay_region_requests_total{")).unwrap();
        line.split("outcome=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }

    #[test]
    fn every_way_to_end_is_counted_once() {
        let whole = Finish { bytes: 10, completed: true };
        let cut = Finish { bytes: 5, completed: false };
        assert_eq!(outcome_of(drop), "caller-gone");
        assert_eq!(outcome_of(|mut exchange| exchange.answered(StatusCode::OK, None)), "caller-gone");
        let answered = |finish| {
            outcome_of(move |mut exchange| {
                exchange.answered(StatusCode::OK, None);
                exchange.finished(finish);
            })
        };
        assert_eq!(answered(whole), "ok");
        assert_eq!(answered(cut), "caller-gone");
        let refused = |mut exchange: Exchange| exchange.answered(StatusCode::SERVICE_UNAVAILABLE, Some("queue-full"));
        assert_eq!(outcome_of(refused), "queue-full");
    }
}
