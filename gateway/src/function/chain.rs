//! A request through the functions of a route, each with what is behind it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_http::{Body, ProblemType};
use forebay_wasi_http::{Call, Exchange, Failure, Upstream, UpstreamError};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use parking_lot::Mutex;

use super::Stack;
use crate::edge::Edge;
use crate::error::Refusal;
use crate::policy::view::RequestFacts;
use crate::route::Route;
use crate::upstream::proxy::{Answer, Origin, Passing, strip_hop_by_hop};

/// One request on its way through a stack. What is behind it outlives the stage that sent it, so it owns what it needs.
struct Way {
    edge: Arc<Edge>,
    stack: Stack,
    origin: Option<Arc<Origin>>,
    facts: RequestFacts,
    forward_authorization: bool,
    trace: Option<HeaderValue>,
    deadline: Instant,
    look_inside: bool,
    idle: Duration,
    /// Why there was no answer, from behind a function that may not want one of its own.
    refusal: Mutex<Option<Refusal>>,
}

/// Passes a request to the first function of its route and waits for the head of the answer.
///
/// # Errors
/// A function failed, or something behind it did and no function made an answer of that.
pub(crate) async fn pass(
    edge: &Arc<Edge>,
    route: &Route,
    passing: &Passing<'_>,
    body: Body,
) -> Result<Answer, Refusal> {
    let way = Way {
        edge: Arc::clone(edge),
        stack: route.stack.clone(),
        origin: route.origin.clone(),
        facts: passing.facts.clone(),
        forward_authorization: passing.forward_authorization,
        trace: passing.trace.clone(),
        deadline: passing.deadline,
        look_inside: passing.look_inside,
        idle: passing.idle,
        refusal: Mutex::default(),
    };
    let request = way.request(passing.headers(), body)?;
    let (mut head, body) = ask(Arc::new(way), 0, request).await?.into_parts();
    strip_hop_by_hop(&mut head.headers);
    Ok(Answer { status: head.status, headers: head.headers, body })
}

type Answered = Pin<Box<dyn Future<Output = Result<Response<Body>, Refusal>> + Send>>;

/// Asks what stands in a place of the stack; behind its end, the origin.
fn ask(way: Arc<Way>, place: usize, request: Request<Body>) -> Answered {
    Box::pin(async move {
        let Some(function) = way.stack.0.get(place) else {
            return way.ask_origin(request).await;
        };
        let next: Arc<dyn Upstream> = Arc::new(Behind { way: Arc::clone(&way), place: place + 1 });
        let answered = function.call(Call { request, deadline: way.deadline, next: Some(next) }).await;
        answered.map_err(|failure| way.failed(function.name(), &failure))
    })
}

/// What is behind a function.
struct Behind {
    way: Arc<Way>,
    place: usize,
}

impl Upstream for Behind {
    fn send(&self, request: Request<Body>) -> Exchange {
        let way = Arc::clone(&self.way);
        let answered = ask(Arc::clone(&way), self.place, request);
        Box::pin(async move {
            answered.await.map_err(|refusal| {
                *way.refusal.lock() = Some(refusal);
                UpstreamError::Unreachable
            })
        })
    }
}

impl Way {
    /// The request as the first function sees it.
    fn request(&self, headers: HeaderMap, body: Body) -> Result<Request<Body>, Refusal> {
        let facts = &self.facts;
        let internal = |error: http::Error| {
            Refusal::new(ProblemType::Internal, "this request could not be handed on").because(error)
        };
        let path = match &facts.query {
            Some(query) => format!("{}?{query}", facts.path),
            None => facts.path.clone(),
        };
        let uri = Uri::builder()
            .scheme(Scheme::HTTPS)
            .authority(if facts.host.is_empty() { "localhost" } else { &facts.host })
            .path_and_query(path);
        let uri = uri.build().map_err(internal)?;
        let mut request = Request::builder().method(facts.method.clone()).uri(uri).body(body).map_err(internal)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The route's origin, asked what the last function asks.
    async fn ask_origin(&self, request: Request<Body>) -> Result<Response<Body>, Refusal> {
        let Some(origin) = &self.origin else {
            return Err(Refusal::new(ProblemType::Internal, "nothing is behind this route's function"));
        };
        let (head, body) = request.into_parts();
        let facts = RequestFacts {
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().map(str::to_owned),
            headers: head.headers,
            ..self.facts.clone()
        };
        let passing = Passing {
            facts: &facts,
            pop: &self.edge.pop.name,
            forward_authorization: self.forward_authorization,
            trace: self.trace.clone(),
            deadline: self.deadline,
            look_inside: self.look_inside,
            // What the function says of its body is its own word.
            changed: false,
            idle: self.idle,
        };
        let Answer { status, headers, body } = origin.pass(&passing, body).await?;
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    /// A function that only handed on what failed behind it is not to blame.
    fn failed(&self, name: &str, failure: &Failure) -> Refusal {
        if let (Failure::Refused(_), Some(refusal)) = (failure, self.refusal.lock().take()) {
            return refusal;
        }
        self.edge.metrics.policy_failed(name, failure.reason());
        Refusal::function_failed(name, failure)
    }
}
