//! HTTP/2 requests that are answered before they have ended.

use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use h2::Ping;

use crate::harness::Node;
use crate::limits;

#[tokio::test]
async fn an_early_answer_does_not_reset_the_request() {
    let node = Node::plain(limits()).await;
    let (mut sender, mut connection) = h2::client::handshake(node.connect().await).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let connection = tokio::spawn(connection);

    let request = http::Request::post("http://localhost/version").body(()).unwrap();
    let (response, mut body) = sender.send_request(request, false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    let mut answer = response.into_body();
    while let Some(data) = answer.data().await {
        let data = data.unwrap();
        answer.flow_control().release_capacity(data.len()).unwrap();
    }

    // Whatever the server sent after the answer has come when the pong has.
    pings.ping(Ping::opaque()).await.unwrap();
    body.send_data(Bytes::from_static(b"late"), true).expect("the stream still takes the body");
    drop((sender, body, answer));
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_long_body_that_nobody_wants_is_not_read_for_ever() {
    let node = Node::plain(limits()).await;
    let (mut sender, connection) = h2::client::handshake(node.connect().await).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::post("http://localhost/version").body(()).unwrap();
    let (response, mut body) = sender.send_request(request, false).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    // Sends as long as it may, until the server has had enough.
    let reset = poll_fn(|cx| {
        loop {
            if let Poll::Ready(reset) = body.poll_reset(cx) {
                return Poll::Ready(reset.unwrap());
            }
            body.reserve_capacity(16 * 1024);
            match std::task::ready!(body.poll_capacity(cx)) {
                Some(Ok(bytes)) => drop(body.send_data(Bytes::from(vec![0; bytes]), false)),
                Some(Err(_)) | None => return Poll::Pending,
            }
        }
    });
    assert_eq!(reset.await, h2::Reason::NO_ERROR);
    connection.abort();
}
