//! Stages `forward` to `finish` of a request that becomes a WebSocket (RFC 6455): the origin is asked for one too, and
//! what follows the two 101s goes from one to the other.
//!
//! Where no plugin of the route looks at messages, the bytes are tunnelled as they are. Otherwise each side speaks with
//! this node, and every message goes through the plugins. Either way the request lasts as long as the WebSocket: it
//! keeps its place among the requests in work, its connection keeps its own, and one line is logged at the end.

mod frames;
mod leg;
mod opening;
mod relay;
mod tunnel;

use std::time::{Duration, Instant};

use forebay_http::{ProblemType, ResponseBody, Upgrade, Upgraded};
use forebay_policy::Side;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, UPGRADE};
use http::{Response, StatusCode};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_util::sync::CancellationToken;

use super::{Work, passing, respond};
use crate::error::Refusal;
use crate::exchange::{Ending, Exchange};
use crate::identity::{Over, Span};
use crate::policy::body::{Messages, Stopped};
use crate::telemetry::timing::Stage;
use crate::upstream::proxy::Passing;
use crate::upstream::websocket::{Opened, TO_UPGRADE, WEBSOCKET};
use leg::Leg;

pub(super) use opening::Opening;

/// How long a peer may take for the closing handshake.
const GOODBYE: Duration = Duration::from_secs(5);

/// A WebSocket that begins when the client has its 101.
pub(crate) struct Switch {
    upgrade: Upgrade,
    origin: Upgraded,
    /// None: nobody looks at messages.
    policies: Option<Policies>,
    bounds: Bounds,
}

/// What messages go through.
struct Policies {
    request: Messages,
    response: Messages,
}

/// What a WebSocket is held to.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// How long both sides may be silent.
    idle: Duration,
    /// How long a side may take no bytes.
    stall: Duration,
    /// Bytes of one message that is looked at.
    message_bytes: usize,
}

/// How a WebSocket ended. Sides are those that messages come from: `Request` is the client.
#[derive(Debug)]
enum Ended {
    /// By a closing handshake that one side began.
    Closed(Option<CloseFrame>),
    /// By a closing handshake that went through unread.
    Over,
    /// That side is gone.
    Lost(Side),
    /// That side broke the protocol or sent too much, and is told so.
    Faulty(Side, CloseFrame),
    /// A plugin stopped it.
    Stopped(Stopped),
    /// Nobody said anything for too long.
    Idle,
    /// A side took no bytes for too long.
    Stalled,
    /// The node leaves.
    Draining,
    /// What let it in holds no longer, or it took as long as it may.
    Withdrawn(Over),
}

/// What ends a WebSocket, whatever its two sides do.
struct Until {
    shutdown: CancellationToken,
    span: Option<Span>,
}

impl Until {
    /// Waits for it.
    async fn reached(&self) -> Ended {
        let over = async {
            match &self.span {
                Some(span) => span.over().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.shutdown.cancelled() => Ended::Draining,
            over = over => Ended::Withdrawn(over),
        }
    }
}

/// Opens a WebSocket to the origin, and arranges for what follows the answer.
pub(super) async fn answer(
    work: &Work<'_>,
    exchange: &mut Exchange,
    forward_authorization: bool,
    opening: Opening,
) -> Result<Response<ResponseBody>, Refusal> {
    exchange.enter(Stage::Forward);
    let (chain, limits) = (&work.route.chain, &work.edge.limits);
    let looks = chain.looks_at_messages();
    let passing = Passing {
        facts: &work.facts,
        pop: &work.edge.pop.name,
        forward_authorization,
        trace: exchange.trace.header(),
        deadline: work.deadline,
        look_inside: chain.looks_into(Side::Response),
        changed: false,
        idle: limits.listener.idle,
    };
    let Some(origin) = &work.route.origin else {
        return Err(Refusal::new(ProblemType::Internal, "this route has no origin"));
    };
    let (mut headers, origin) = match origin.open(&passing, opening.key(), !looks).await? {
        Opened::Switched { headers, io } => (headers, io),
        Opened::Answered(answer) => return passing::back(work, exchange, answer).await,
    };
    exchange.enter(Stage::PolicyResponse);
    let status = StatusCode::SWITCHING_PROTOCOLS;
    chain.on_response(status, &mut headers, None, &work.context).await?;
    if looks {
        headers.remove(SEC_WEBSOCKET_EXTENSIONS);
    }
    headers.insert(CONNECTION, TO_UPGRADE);
    headers.insert(UPGRADE, WEBSOCKET);
    headers.insert(SEC_WEBSOCKET_ACCEPT, opening.accept()?);
    let message_bytes = limits.websocket_message_bytes;
    let policies = match looks {
        true => Some(Policies {
            request: Messages::begin(chain, Side::Request, &work.context, message_bytes).await?,
            response: Messages::begin(chain, Side::Response, &work.context, message_bytes).await?,
        }),
        false => None,
    };
    let bounds = Bounds { idle: limits.listener.idle, stall: limits.listener.write_stall, message_bytes };
    exchange.switch = Some(Box::new(Switch { upgrade: opening.into_upgrade(), origin, policies, bounds }));
    Ok(respond(status, headers, ResponseBody::empty()))
}

impl Switch {
    /// Begins once the response, which must be the 101, is with the client.
    pub(crate) fn begin(self, mut ending: Ending, span: Option<Span>) {
        let Self { upgrade, origin, policies, bounds } = self;
        upgrade.then(move |client, shutdown: CancellationToken| async move {
            let (began, until) = (Instant::now(), Until { shutdown, span });
            let (client, origin) =
                (Leg::new(client, began, ending.sent()), Leg::new(origin, began, Default::default()));
            let ended = match policies {
                Some(policies) => Box::pin(relay::run(client, origin, policies, &bounds, &until)).await,
                None => tunnel::run(client, origin, &bounds, &until).await,
            };
            match &ended {
                Ended::Stopped(stopped) => ending.refused(&stopped.refusal),
                ended => ending.because(ended.reason()),
            }
        });
    }
}

impl Ended {
    /// For the log; None where it ended as it should.
    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Closed(_) | Self::Over => None,
            Self::Lost(Side::Request) => Some("client-left"),
            Self::Lost(Side::Response) => Some("origin-left"),
            Self::Faulty(Side::Request, _) => Some("client-fault"),
            Self::Faulty(Side::Response, _) => Some("origin-fault"),
            Self::Stopped(stopped) => Some(stopped.refusal.reason()),
            Self::Idle => Some("idle"),
            Self::Stalled => Some("stalled"),
            Self::Draining => Some("draining"),
            Self::Withdrawn(over) => Some(over.reason()),
        }
    }
}
