//! A WebSocket whose messages go through the plugins of its route. Each side speaks with this node: fragments are put
//! together, pings are answered here, and there are no extensions.
//!
//! What was cut never looks complete: a side that is gone is not announced by a closing handshake to the other.

use forebay_policy::{PartKind, Side};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes, error::ProtocolError};

use super::leg::{Leg, watch};
use super::{Bounds, Ended, GOODBYE, Policies, Until};
use crate::identity::Over;
use crate::policy::body::{Messages, Stopped};

/// The node leaves, or nobody needs it any more.
const GOING_AWAY: CloseCode = CloseCode::Away;
/// Bytes read and written at once.
const BUFFER_BYTES: usize = 16 * 1024;
/// Bytes of control frames that may wait for a peer beside a message.
const CONTROL_BYTES: usize = 4 * 1024;
/// Longest reason in a close frame (RFC 6455, section 5.5).
const REASON_BYTES: usize = 123;

type Socket = WebSocketStream<Leg>;

/// Passes messages to the end.
pub(super) async fn run(client: Leg, origin: Leg, policies: Policies, bounds: &Bounds, until: &Until) -> Ended {
    let (at_client, at_origin) = (client.meter(), origin.meter());
    let client = WebSocketStream::from_raw_socket(client, Role::Server, Some(config(bounds))).await;
    let origin = WebSocketStream::from_raw_socket(origin, Role::Client, Some(config(bounds))).await;
    let ((mut to_client, mut from_client), (mut to_origin, mut from_origin)) = (client.split(), origin.split());
    let Policies { mut request, mut response } = policies;
    let ended = tokio::select! {
        ended = direction(Side::Request, &mut from_client, &mut to_origin, &mut request) => ended,
        ended = direction(Side::Response, &mut from_origin, &mut to_client, &mut response) => ended,
        ended = watch(&at_client, &at_origin, bounds) => ended,
        ended = until.reached() => ended,
    };
    let ended = match ended {
        Ended::Lost(Side::Request) => last_word(Side::Request, &mut from_client).await,
        Ended::Lost(Side::Response) => last_word(Side::Response, &mut from_origin).await,
        ended => ended,
    };
    // What plugins hold is given back before the peers take their time to leave.
    drop((request, response));
    if let (Ok(client), Ok(origin)) = (from_client.reunite(to_client), from_origin.reunite(to_origin)) {
        leave(&ended, client, origin).await;
    }
    ended
}

fn config(bounds: &Bounds) -> WebSocketConfig {
    // One message is written out before the next, so what waits beside it are control frames.
    let waiting_bytes = bounds.message_bytes.saturating_add(BUFFER_BYTES + CONTROL_BYTES);
    WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(waiting_bytes)
        .max_message_size(Some(bounds.message_bytes))
        .max_frame_size(Some(bounds.message_bytes))
}

/// Passes what comes from one side on to the other, until there is a reason to stop.
async fn direction(
    side: Side,
    from: &mut SplitStream<Socket>,
    to: &mut SplitSink<Socket, Message>,
    policies: &mut Messages,
) -> Ended {
    loop {
        let (kind, bytes) = match from.next().await {
            Some(Ok(Message::Text(text))) => (PartKind::Text, Bytes::from(text)),
            Some(Ok(Message::Binary(bytes))) => (PartKind::Binary, bytes),
            Some(Ok(Message::Close(frame))) => return closed(side, frame, to, policies).await,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Err(error)) => return fault(side, &error),
            None => return Ended::Lost(side),
        };
        match policies.pass(kind, bytes).await {
            Ok(None) => {}
            Ok(Some(bytes)) => {
                if send(to, kind, bytes).await.is_err() {
                    return Ended::Lost(opposite(side));
                }
            }
            Err(stopped) => return Ended::Stopped(stopped),
        }
    }
}

/// The last of a direction: what plugins held back goes before the closing handshake.
async fn closed(
    side: Side,
    frame: Option<CloseFrame>,
    to: &mut SplitSink<Socket, Message>,
    policies: &mut Messages,
) -> Ended {
    match policies.end().await {
        Err(stopped) => return Ended::Stopped(stopped),
        Ok(Some((kind, bytes))) => {
            if send(to, kind, bytes).await.is_err() {
                return Ended::Lost(opposite(side));
            }
        }
        Ok(None) => {}
    }
    Ended::Closed(frame)
}

/// A side that takes nothing any more may have closed properly, and that may be all that it still has to say.
async fn last_word(side: Side, from: &mut SplitStream<Socket>) -> Ended {
    let word = async {
        loop {
            match from.next().await {
                Some(Ok(Message::Close(frame))) => return Ended::Closed(frame),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                // A message that nobody got: what follows it cannot make it complete.
                _ => return Ended::Lost(side),
            }
        }
    };
    timeout(GOODBYE, word).await.unwrap_or(Ended::Lost(side))
}

async fn send(to: &mut SplitSink<Socket, Message>, kind: PartKind, bytes: Bytes) -> Result<(), Error> {
    let message = match kind {
        PartKind::Text => Message::Text(Utf8Bytes::try_from(bytes)?),
        _ => Message::Binary(bytes),
    };
    // Answers to pings may be waiting: the message needs their room.
    to.flush().await?;
    to.send(message).await
}

/// What an error of a side's stream means.
fn fault(side: Side, error: &Error) -> Ended {
    match error {
        Error::Capacity(_) => Ended::Faulty(side, close(CloseCode::Size, "a message is too long")),
        Error::Utf8(_) => Ended::Faulty(side, close(CloseCode::Invalid, "a text message is not UTF-8")),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Ended::Lost(side),
        Error::Protocol(_) => Ended::Faulty(side, close(CloseCode::Protocol, "this is not RFC 6455")),
        _ => Ended::Lost(side),
    }
}

/// Closes both sides as it is due to them. One that is not told anything is cut.
async fn leave(ended: &Ended, client: Socket, origin: Socket) {
    let both = match ended {
        Ended::Closed(frame) => frame.clone(),
        Ended::Stopped(stopped) => Some(verdict(stopped)),
        Ended::Idle | Ended::Draining | Ended::Withdrawn(_) => parting(ended),
        Ended::Faulty(side, frame) => {
            let (told, cut) = if *side == Side::Request { (client, origin) } else { (origin, client) };
            drop(cut);
            return farewell(told, Some(frame.clone())).await;
        }
        Ended::Lost(_) | Ended::Stalled | Ended::Over => return,
    };
    tokio::join!(farewell(client, both.clone()), farewell(origin, both));
}

/// The closing handshake, within its time: our close frame, unless the peer sent one that is being answered, and
/// whatever the peer still sends, which must not reset the connection before it has read ours.
pub(super) async fn farewell(mut socket: Socket, frame: Option<CloseFrame>) {
    let goodbye = async {
        let _ = socket.send(Message::Close(frame)).await;
        let _ = socket.flush().await;
        while let Some(Ok(_)) = socket.next().await {}
        let mut leg = socket.into_inner();
        let _ = leg.shutdown().await;
        let mut rest = [0; 1024];
        while leg.read(&mut rest).await.is_ok_and(|count| count > 0) {}
    };
    let _ = timeout(GOODBYE, goodbye).await;
}

/// What both sides are told when a plugin stopped a message: who, and nothing of why.
fn verdict(stopped: &Stopped) -> CloseFrame {
    let (code, did) = match stopped.is_decision() {
        true => (CloseCode::Policy, "refused a message"),
        false => (CloseCode::Error, "could not decide about a message"),
    };
    close(code, &format!("policy `{}` {did}", stopped.plugin))
}

/// What both sides are told where it is this node that goes away.
pub(super) fn parting(ended: &Ended) -> Option<CloseFrame> {
    let (code, why) = match ended {
        Ended::Idle => (GOING_AWAY, "nobody said anything for too long"),
        Ended::Draining => (GOING_AWAY, "this node is leaving"),
        Ended::Withdrawn(Over::TooLong) => (GOING_AWAY, "it has been open for as long as it may"),
        Ended::Withdrawn(_) => (CloseCode::Policy, "the access token is not valid any more"),
        _ => return None,
    };
    Some(close(code, why))
}

pub(super) fn close(code: CloseCode, reason: &str) -> CloseFrame {
    let reason = reason.get(..reason.floor_char_boundary(REASON_BYTES)).unwrap_or_default();
    CloseFrame { code, reason: reason.into() }
}

fn opposite(side: Side) -> Side {
    match side {
        Side::Request => Side::Response,
        Side::Response => Side::Request,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_fits_its_frame() {
        assert_eq!(close(CloseCode::Policy, "short").reason.as_str(), "short");
        let long = close(CloseCode::Policy, &"ä".repeat(100));
        assert_eq!(long.reason.len(), REASON_BYTES - 1);
    }
}
