//! What is known of one request while it is in work, and how it ends: exactly one access-log line, counted once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use forebay_http::{Finish, ResponseBody};
use forebay_policy::{Context, Phase};
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response};
use http_body::Body as _;
use tokio::sync::OwnedSemaphorePermit;

use crate::config::ServerTiming;
use crate::error::{NO_STORE, Refusal};
use crate::identity::challenge::Challenge;
use crate::identity::{Cut, Span, Verified};
use crate::pipeline::websocket::Switch;
use crate::policy::Chain;
use crate::route::Route;
use crate::telemetry::access_log::Line;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::timing::{Stage, StageClock};
use crate::telemetry::trace::Trace;
use crate::upstream::forward::Trail;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
const REGION: HeaderName = HeaderName::from_static("forebay-region");

/// One request.
pub(crate) struct Exchange {
    /// Which stage is in work.
    pub(crate) clock: StageClock,
    /// Its place in a trace.
    pub(crate) trace: Trace,
    /// Where it was forwarded to.
    pub(crate) trail: Trail,
    /// The region's own times.
    pub(crate) region_timing: Option<String>,
    /// RFC 9211 member, without the cache's name.
    pub(crate) cache_status: Option<String>,
    /// Room for the body; given back when the answer is there.
    pub(crate) room: Option<OwnedSemaphorePermit>,
    /// The policies that were asked about it, where they look at responses too.
    pub(crate) heard: Option<(Arc<Chain>, Context)>,
    /// Given back at the end.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
    /// How long the response may go on.
    pub(crate) span: Option<Span>,
    /// The WebSocket that the response begins.
    pub(crate) switch: Option<Box<Switch>>,
    challenge: Challenge,
    /// For the client's next proof.
    nonce: Option<String>,
    end: Option<End>,
}

/// The facts that the end needs. Taken out exactly once.
struct End {
    line: Line,
    /// Why there is no identity.
    unidentified: Option<&'static str>,
    route: Option<Arc<Route>>,
    started: Instant,
    metrics: Arc<Metrics>,
}

impl Exchange {
    /// A request whose head just came.
    pub(crate) fn begin(head: &Parts, peer: SocketAddr, metrics: &Arc<Metrics>) -> Self {
        let started = Instant::now();
        metrics.began();
        let trace = Trace::of(&head.headers);
        let line = Line {
            peer,
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            version: head.version,
            route: None,
            model: None,
            tenant: None,
            status: 499,
            reason: None,
            cause: None,
            cache: None,
            region: None,
            attempts: 0,
            trace: trace.id().to_owned(),
            bytes_out: 0,
            completed: false,
            duration: std::time::Duration::ZERO,
        };
        Self {
            clock: StageClock::start(started),
            trace,
            trail: Trail::default(),
            region_timing: None,
            cache_status: None,
            room: None,
            heard: None,
            permit: None,
            span: None,
            switch: None,
            challenge: Challenge::default(),
            nonce: None,
            end: Some(End { line, unidentified: None, route: None, started, metrics: Arc::clone(metrics) }),
        }
    }

    /// Begins a stage.
    pub(crate) fn enter(&mut self, stage: Stage) {
        self.clock.enter(stage);
    }

    /// The route that was found.
    pub(crate) fn route(&mut self, route: &Arc<Route>) {
        if let Some(end) = &mut self.end {
            end.line.route = Some(route.config.name.clone());
            end.route = Some(Arc::clone(route));
        }
    }

    /// The model that was asked.
    pub(crate) fn model(&mut self, name: &str) {
        if let Some(end) = &mut self.end {
            end.line.model = Some(name.to_owned());
        }
    }

    /// Who asks, or why that is not known.
    pub(crate) fn identified(&mut self, verified: &Verified) {
        self.challenge = verified.challenge;
        self.nonce.clone_from(&verified.nonce);
        if let Some(end) = &mut self.end {
            end.line.tenant = verified.identity.tenant().map(str::to_owned);
            end.unidentified = verified.reason();
            if let Some(reason) = end.unidentified {
                end.metrics.unidentified(reason);
            }
        }
    }

    /// What the cache did.
    pub(crate) fn cache(&mut self, result: &'static str, member: String) {
        if let Some(end) = &mut self.end {
            end.line.cache = Some(result);
            end.metrics.cache(result);
        }
        self.cache_status = Some(member);
    }

    /// Remembers whom the request was shown to.
    ///
    /// # Errors
    /// What they refused it with.
    pub(crate) fn heard<T>(
        &mut self,
        chain: &Arc<Chain>,
        heard: Result<(T, Context), (Refusal, Context)>,
    ) -> Result<(T, Context), Refusal> {
        let (Ok((_, context)) | Err((_, context))) = &heard;
        if chain.has(Phase::Response) {
            self.heard = Some((Arc::clone(chain), context.clone()));
        }
        heard.map_err(|(refusal, _)| refusal)
    }

    /// The response to a refusal.
    pub(crate) fn refuse(&mut self, refusal: Refusal) -> Response<ResponseBody> {
        if let Some(end) = &mut self.end {
            end.line.reason = Some(refusal.reason());
            let unidentified = end.unidentified.filter(|_| refusal.is_about_identity());
            end.line.cause = refusal.cause().or(unidentified).map(str::to_owned);
        }
        let mut response = refusal.into_response(&format!("urn:trace:{}", self.trace.id()));
        self.challenge.complete(response.headers_mut());
        response
    }

    /// Stage `finish`: the response with what it tells of its making; the line and the permit wait for its last byte.
    pub(crate) fn finish(mut self, pop: &str, response: Response<ResponseBody>) -> Response<ResponseBody> {
        let now = Instant::now();
        self.clock.close(now);
        let (mut head, body) = response.into_parts();
        let end = self.end.as_ref();
        let route = end.and_then(|end| end.route.as_ref()).map(|route| &route.config);
        if let Some(route) = route {
            let refusal = end.is_some_and(|end| end.line.reason.is_some());
            let own = head.headers.get(CACHE_CONTROL).filter(|_| refusal).cloned();
            head.headers.extend(route.response_headers.clone());
            // What a route says of its answers is not said of refusals, which are one caller's.
            if let Some(own) = own {
                head.headers.insert(CACHE_CONTROL, own);
            }
        }
        if self.nonce.is_some() {
            // Its nonce is to be used once (RFC 9449, section 8.2).
            head.headers.insert(CACHE_CONTROL, NO_STORE);
        }
        let detail = route.map_or(ServerTiming::default(), |route| route.server_timing);
        let mut set = |name: HeaderName, value: &str, unique: bool| {
            if let Ok(mut value) = HeaderValue::try_from(value) {
                // HTTP/2 then keeps it out of the table of values seen (RFC 7541, section 6.2.3): it never comes again.
                value.set_sensitive(unique);
                head.headers.insert(name, value);
            }
        };
        set(SERVER_TIMING, &self.clock.header(now, self.region_timing.as_deref(), detail), true);
        set(REQUEST_ID, self.trace.id(), true);
        if let Some(member) = &self.cache_status {
            set(CACHE_STATUS, &format!("{pop}; {member}"), false);
        }
        if let Some(nonce) = &self.nonce {
            set(DPOP_NONCE, nonce, true);
        }
        if let Some(region) = self.trail.region.as_deref() {
            set(REGION, region, false);
        }
        let Some(mut end) = self.end.take() else {
            return Response::from_parts(head, body);
        };
        end.metrics.stages(&self.clock);
        end.line.status = head.status.as_u16();
        end.line.region = self.trail.region.take();
        end.line.attempts = self.trail.attempts;
        if let Some(switch) = self.switch.take() {
            end.line.reason = Some("cut");
            let permit = self.permit.take();
            let ending = Ending { end: Some(end), sent: Arc::default(), completed: false, permit };
            switch.begin(ending, self.span.take());
            return Response::from_parts(head, body);
        }
        // An answer that is all there is the connection's to send, within its own limits: a client that does not take it
        // must not hold a place that others wait for. A stream holds its place to the end.
        let streams = body.as_full().is_none() && !body.is_end_stream();
        let permit = self.permit.take().filter(|_| streams);
        let (body, cut) = match self.span.take().filter(|_| streams) {
            Some(span) => span.hold(body),
            None => (body, Cut::default()),
        };
        let body = body.on_finish(move |finish: Finish| {
            drop(permit);
            end.line.reason = cut.get().map(|over| over.reason()).or(end.line.reason);
            end.close(finish);
        });
        Response::from_parts(head, body)
    }
}

/// The end of a request whose connection goes on in another protocol: it keeps its place until this is dropped, which
/// writes its line.
pub(crate) struct Ending {
    end: Option<End>,
    sent: Arc<AtomicU64>,
    completed: bool,
    #[expect(dead_code, reason = "held for its drop")]
    permit: Option<OwnedSemaphorePermit>,
}

impl Ending {
    /// Counts the bytes sent to the client.
    pub(crate) fn sent(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.sent)
    }

    /// Why it ended; None: as it should.
    pub(crate) fn because(&mut self, reason: Option<&'static str>) {
        self.completed = reason.is_none();
        if let Some(end) = &mut self.end {
            end.line.reason = reason;
        }
    }

    /// A refusal ended it.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        self.because(Some(refusal.reason()));
        if let Some(end) = &mut self.end {
            end.line.cause = refusal.cause().map(str::to_owned);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end.close(Finish { bytes: self.sent.load(Ordering::Relaxed), completed: self.completed });
        }
    }
}

impl End {
    fn close(mut self, finish: Finish) {
        self.line.bytes_out = finish.bytes;
        self.line.completed = finish.completed;
        self.line.duration = self.started.elapsed();
        let route = self.route.as_ref().map(|route| (route.config.name.as_str(), &route.metrics));
        self.metrics.finished(route, &self.line);
        self.line.write();
    }
}

/// A client that left before there was a response still has its line: status 499, not completed.
impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(mut end) = self.end.take() {
            end.line.region = self.trail.region.take();
            end.line.attempts = self.trail.attempts;
            end.line.reason = Some("client-left");
            end.close(Finish { bytes: 0, completed: false });
        }
    }
}
