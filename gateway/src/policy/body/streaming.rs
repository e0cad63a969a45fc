//! A body on its way through the plugins that want its parts, and its trailers through those that want them.
//!
//! Nothing is done ahead: a part is read when its reader asks for more. Each plugin has one instance for the whole body.
//! Once a plugin refuses, nothing more of the body goes on: it is cut, and never looks complete.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use forebay_http::{Body, BodyError};
use forebay_policy::{BodyStream, Context, Part, PartKind, Phase, Side};
use futures_util::stream;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use parking_lot::Mutex;

use super::events::Events;
use crate::error::Refusal;
use crate::policy::{Chain, Policy};

/// How long the plugins may take for one part, waiting included. The request's own deadline is for the head: a stream
/// may go on for much longer.
const PART: Duration = Duration::from_secs(10);

/// How long what went before has to leave the node until a response is cut: HTTP/1.1 closes, and HTTP/2 resets, over what
/// still waits to be sent.
const LEAVING: Duration = Duration::from_millis(20);

/// Why a plugin stopped a body, for whoever finds it cut.
pub(crate) type Fault = Arc<Mutex<Option<Refusal>>>;

/// A body between its source and its reader.
pub(super) struct Streaming {
    chain: Arc<Chain>,
    side: Side,
    content_type: Option<Arc<str>>,
    source: Body,
    context: Context,
    instances: Vec<(Arc<Policy>, BodyStream)>,
    /// Set for a stream of events.
    events: Option<Events>,
    /// Events that came and were not shown yet.
    waiting: VecDeque<Bytes>,
    ready: VecDeque<Frame<Bytes>>,
    ended: bool,
    /// Set once a plugin stopped it: what its reader gets behind what is ready.
    broken: Option<BodyError>,
    fault: Fault,
}

impl Streaming {
    /// Makes the instances.
    pub(super) async fn begin(
        chain: Arc<Chain>,
        side: Side,
        content_type: Option<Arc<str>>,
        source: Body,
        context: Context,
    ) -> Result<Self, Refusal> {
        let mut instances = Vec::new();
        for policy in chain.with(Phase::chunk(side)) {
            let made = policy.plugin.stream(side, context.clone()).await;
            if let Some(instance) = made.map_err(|failure| chain.failed(policy, &failure))? {
                instances.push((Arc::clone(policy), instance));
            }
        }
        let events = content_type.as_deref().is_some_and(is_event_stream).then(Events::default);
        let ready = VecDeque::new();
        let fault = Fault::default();
        Ok(Self {
            chain,
            side,
            content_type,
            source,
            context,
            instances,
            events,
            waiting: VecDeque::new(),
            ready,
            ended: false,
            broken: None,
            fault,
        })
    }

    /// The body that its reader gets, and where it finds out why it was cut.
    pub(super) fn into_body(self) -> (Body, Fault) {
        let fault = Arc::clone(&self.fault);
        let frames = stream::unfold(self, |mut streaming| async move {
            let frame = streaming.next().await?;
            Some((frame, streaming))
        });
        (Body::boxed(StreamBody::new(frames)), fault)
    }

    async fn next(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(Ok(frame));
            }
            if let Some(error) = self.broken.take() {
                if self.side == Side::Response {
                    tokio::time::sleep(LEAVING).await;
                }
                return Some(Err(error));
            }
            if self.ended {
                return None;
            }
            if let Some(event) = self.waiting.pop_front() {
                if let Err(refusal) = self.part(PartKind::Event, event, false).await {
                    self.cut(refusal);
                }
                continue;
            }
            let taken = match self.source.frame().await {
                Some(Ok(frame)) => self.take(frame).await,
                Some(Err(error)) => {
                    self.ended = true;
                    return Some(Err(error));
                }
                None => self.end().await,
            };
            if let Err(refusal) = taken {
                self.cut(refusal);
            }
        }
    }

    async fn take(&mut self, frame: Frame<Bytes>) -> Result<(), Refusal> {
        let frame = match frame.into_data() {
            Ok(data) => return self.data(data).await,
            Err(frame) => frame,
        };
        if let Ok(trailers) = frame.into_trailers() {
            self.end().await?;
            let trailers = through_policies(&self.chain, self.side, trailers, &self.context).await?;
            self.ready.push_back(Frame::trailers(trailers));
        }
        Ok(())
    }

    async fn data(&mut self, data: Bytes) -> Result<(), Refusal> {
        let Some(events) = &mut self.events else {
            return self.part(PartKind::Chunk, data, false).await;
        };
        let whole = events.push(&data).map_err(|_| {
            let detail = "an event of this stream is longer than policies may look at";
            Refusal::new(forebay_http::ProblemType::BodyTooLarge, detail)
        })?;
        // Each is shown when the reader has taken what the one before became: a plugin may make much of little.
        self.waiting.extend(whole);
        Ok(())
    }

    async fn end(&mut self) -> Result<(), Refusal> {
        self.ended = true;
        let (kind, rest) = match &mut self.events {
            Some(events) => (PartKind::Event, events.rest()),
            None => (PartKind::Chunk, Bytes::new()),
        };
        self.part(kind, rest, true).await
    }

    /// One part through all plugins, each of which sees what the one before left.
    async fn part(&mut self, kind: PartKind, mut bytes: Bytes, last: bool) -> Result<(), Refusal> {
        for (policy, instance) in &mut self.instances {
            // What one plugin holds back, the next does not see.
            if bytes.is_empty() && !last {
                break;
            }
            let deadline = Instant::now() + PART;
            instance.wait_until(deadline);
            let part = Part { kind, side: self.side, content_type: self.content_type.clone(), last, bytes };
            bytes = self.chain.run(policy, deadline, instance.part(part)).await?;
        }
        if !bytes.is_empty() {
            self.ready.push_back(Frame::data(bytes));
        }
        Ok(())
    }

    /// Ends the body behind what was given back before. A client of an event stream is told so in its own terms.
    fn cut(&mut self, refusal: Refusal) {
        self.ended = true;
        self.waiting.clear();
        self.instances.clear();
        if self.side == Side::Response {
            // A request's refusal is answered, and so in the access log.
            let trace = self.context.request.trace_id();
            tracing::warn!(trace, reason = refusal.reason(), "a policy cut this response");
        }
        self.broken = Some(BodyError::Broken(format!("stopped by policy: {}", refusal.reason())));
        if self.side == Side::Response && self.events.is_some() {
            self.ready.push_back(Frame::data(error_event(&refusal)));
        }
        *self.fault.lock() = Some(refusal);
    }
}

/// Trailers through all plugins that want them.
async fn through_policies(
    chain: &Chain,
    side: Side,
    mut trailers: HeaderMap,
    context: &Context,
) -> Result<HeaderMap, Refusal> {
    for policy in chain.with(Phase::Trailers) {
        let deadline = Instant::now() + PART;
        let context = Context { deadline, ..context.clone() };
        let call = policy.plugin.on_trailers(side, Arc::new(trailers.clone()), &context);
        chain.run(policy, deadline, call).await?.apply(&mut trailers);
    }
    Ok(trailers)
}

/// The last event of a stream that a policy cut.
fn error_event(refusal: &Refusal) -> Bytes {
    let mut event = BytesMut::from("event: error\ndata: ");
    event.extend_from_slice(refusal.summary().to_string().as_bytes());
    event.extend_from_slice(b"\n\n");
    event.freeze()
}

fn is_event_stream(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("text/event-stream"))
}
