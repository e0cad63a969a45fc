//! A WebSocket that nobody looks at: its bytes go through as they are, with whatever extensions its two ends agreed on.

use forebay_policy::Side;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::CancellationToken;

use super::leg::{Leg, watch};
use super::relay::{GOING_AWAY, close, farewell};
use super::{Bounds, Ended};

/// Tunnels to the end.
pub(super) async fn run(mut client: Leg, mut origin: Leg, bounds: &Bounds, shutdown: &CancellationToken) -> Ended {
    let (at_client, at_origin) = (client.meter(), origin.meter());
    let ended = tokio::select! {
        copied = tokio::io::copy_bidirectional(&mut client, &mut origin) => match copied {
            Ok(_) => Ended::Over,
            // Nobody knows which: the client mostly.
            Err(_) => Ended::Lost(Side::Request),
        },
        ended = watch(&at_client, &at_origin, bounds) => ended,
        () = shutdown.cancelled() => Ended::Draining,
    };
    if matches!(ended, Ended::Draining) {
        tokio::join!(leave(client, Role::Server), leave(origin, Role::Client));
    }
    ended
}

/// Says that this node leaves, where the peer can read it: in the middle of a frame it cannot.
async fn leave(leg: Leg, role: Role) {
    if leg.is_between_frames() {
        let socket = WebSocketStream::from_raw_socket(leg, role, None).await;
        farewell(socket, Some(close(GOING_AWAY, "this node is leaving"))).await;
    }
}
