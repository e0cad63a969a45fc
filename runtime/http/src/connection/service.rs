//! One request: checked, handed to the handler, and tied to its connection until the response's body is done with.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;

use super::activity::Activity;
use super::info::ConnectionInfo;
use super::outgoing::Outgoing;
use super::upgrade::Slot;
use super::{Shared, strict};
use crate::body::Body;
use crate::listener::Handler;
use crate::problem::{Problem, ProblemType};
use crate::stats::count;

/// The handler as seen from one connection.
pub(super) struct Service<H>(Arc<Inner<H>>);

struct Inner<H> {
    shared: Arc<Shared<H>>,
    info: Arc<ConnectionInfo>,
    activity: Arc<Activity>,
    slot: Slot,
}

impl<H: Handler> Service<H> {
    pub(super) fn new(shared: Arc<Shared<H>>, info: Arc<ConnectionInfo>, activity: Arc<Activity>, slot: Slot) -> Self {
        Self(Arc::new(Inner { shared, info, activity, slot }))
    }

    pub(super) fn call(
        &self,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Outgoing>, Infallible>> + Send + use<H> {
        let inner = Arc::clone(&self.0);
        async move {
            let http2 = request.version() == Version::HTTP_2;
            let in_flight = inner.activity.begin(http2);
            let head = request.method() == Method::HEAD;
            inner.slot.offer(&mut request);
            let response = inner.respond(request.map(|incoming| Body::of_request(incoming, http2))).await;
            let bodyless = head || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
            Ok(response.map(|body| Outgoing::new(body, in_flight, http2, bodyless)))
        }
    }
}

impl<H: Handler> Inner<H> {
    async fn respond(&self, request: Request<Body>) -> Response<Body> {
        let Shared { handler, limits, stats, .. } = &*self.shared;
        count(&stats.requests);
        if let Err(problem) = strict::check(&request, limits) {
            count(&stats.requests_refused);
            return problem.into_response();
        }
        // A panic is a bug of ours; it must not take the other streams of the connection along.
        let handled = AssertUnwindSafe(handler.handle(&self.info, request)).catch_unwind().await;
        handled.unwrap_or_else(|_| {
            count(&stats.handler_panics);
            // What it said may hold data of the request. Where it was, the panic hook knows.
            tracing::error!("a request handler panicked");
            Problem::new(ProblemType::Internal).into_response()
        })
    }
}
