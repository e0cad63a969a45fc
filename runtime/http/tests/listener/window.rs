//! HTTP/2 peers that hold responses by giving their streams no window.

use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay_http::Limits;
use h2::RecvStream;
use h2::client::SendRequest;
use tokio::task::JoinHandle;

use crate::harness::{Node, text};
use crate::limits;

/// A client that takes no more of any response than its streams' first window.
struct Hoarder {
    sender: SendRequest<Bytes>,
    connection: JoinHandle<()>,
    unread: Vec<RecvStream>,
}

impl Hoarder {
    async fn with_window(node: &Node, bytes: u32) -> Self {
        let stream = node.connect().await;
        let (sender, connection) =
            h2::client::Builder::new().initial_window_size(bytes).handshake(stream).await.unwrap();
        let connection = tokio::spawn(async move { connection.await.unwrap_or(()) });
        Self { sender, connection, unread: Vec::new() }
    }

    async fn take_head(&mut self, path: &str) {
        let request = http::Request::get(format!("http://localhost{path}")).body(()).unwrap();
        self.sender = self.sender.clone().ready().await.unwrap();
        let (response, _) = self.sender.send_request(request, true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        self.unread.push(response.into_body());
    }

    /// Waits until the server closed the connection; nothing here would.
    async fn cut(self) {
        tokio::time::timeout(Duration::from_secs(10), self.connection).await.expect("the server cuts").unwrap();
    }
}

fn impatient() -> Limits {
    Limits { write_stall: Duration::from_millis(200), ..limits() }
}

#[tokio::test]
async fn a_response_whose_stream_gets_no_window_cuts_the_connection() {
    let node = Node::plain(impatient()).await;
    for (cuts, path) in [(1, "/version"), (2, "/endless"), (3, "/event")] {
        let mut client = Hoarder::with_window(&node, 0).await;
        client.take_head(path).await;
        client.cut().await;
        node.until(|counts| counts.write_stalls == cuts && counts.open == 0).await;
    }
}

#[tokio::test]
async fn a_response_that_hyper_has_handed_on_is_still_followed() {
    let node = Node::plain(impatient()).await;
    let mut client = Hoarder::with_window(&node, 1).await;
    client.take_head("/version").await;
    client.cut().await;
    node.until(|counts| counts.write_stalls == 1 && counts.open == 0).await;
}

#[tokio::test]
async fn one_held_response_cuts_a_connection_that_is_otherwise_busy() {
    let node = Node::plain(impatient()).await;
    let mut client = Hoarder::with_window(&node, 0).await;
    client.take_head("/version").await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while !client.connection.is_finished() && Instant::now() < deadline {
        let request = http::Request::get("http://localhost/").body(()).unwrap();
        let Ok(mut sender) = client.sender.clone().ready().await else { break };
        let Ok((response, _)) = sender.send_request(request, true) else { break };
        let _ = response.await;
    }
    client.cut().await;
    node.until(|counts| counts.write_stalls == 1 && counts.open == 0).await;
}

#[tokio::test]
async fn silent_sources_and_slow_handlers_are_not_the_peers_fault() {
    let node = Node::plain(impatient()).await;
    let mut client = node.h2().await;
    let waiting = client.start("/wait").await;
    let mut events = client.get("/event").await;
    let first = http_body_util::BodyExt::frame(&mut events).await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "first ");
    // Others that are cut one after the other tell that the limit has passed several times.
    for cuts in 1..=3 {
        let mut clock = Hoarder::with_window(&node, 0).await;
        clock.take_head("/version").await;
        clock.cut().await;
        node.until(|counts| counts.write_stalls == cuts).await;
    }
    node.release();
    assert_eq!(waiting.await.unwrap().status(), 200);
    assert_eq!(text(events).await, "last");
    assert_eq!(node.counts().open, 1);
}

#[tokio::test]
async fn responses_to_head_have_no_body_in_http2() {
    let node = Node::plain(limits()).await;
    let mut client = Hoarder::with_window(&node, 1_000).await;
    let request = http::Request::head("http://localhost/version").body(()).unwrap();
    let (response, _) = client.sender.send_request(request, true).unwrap();
    let mut body = response.await.unwrap().into_body();
    assert!(body.data().await.is_none());
}
