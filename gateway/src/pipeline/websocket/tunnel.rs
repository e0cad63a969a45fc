//! A WebSocket that nobody looks at: its bytes go through as they are, with whatever extensions its two ends agreed on.

use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::leg::{Leg, lost, watch};
use super::relay::{farewell, parting};
use super::{Bounds, Ended, Until};

/// Tunnels to the end.
pub(super) async fn run(mut client: Leg, mut origin: Leg, bounds: &Bounds, until: &Until) -> Ended {
    let (at_client, at_origin) = (client.meter(), origin.meter());
    let ended = tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut origin) => lost(&at_client, &at_origin),
        ended = watch(&at_client, &at_origin, bounds) => ended,
        ended = until.reached() => ended,
    };
    if let Some(frame) = parting(&ended) {
        tokio::join!(leave(client, Role::Server, frame.clone()), leave(origin, Role::Client, frame));
        return ended;
    }
    // However the connections ended after the closing handshake.
    if client.has_closed() && origin.has_closed() { Ended::Over } else { ended }
}

/// Says that this node goes away, where the peer can read it: in the middle of a frame it cannot.
async fn leave(leg: Leg, role: Role, frame: CloseFrame) {
    if leg.is_between_frames() {
        let socket = WebSocketStream::from_raw_socket(leg, role, None).await;
        farewell(socket, Some(frame)).await;
    }
}
