//! Connections that go on in another protocol.

use std::time::Duration;

use forebay_http::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Node, header_section};
use crate::limits;

/// A connection that switched; `ahead` was sent before the answer came.
async fn switched(node: &Node, path: &str, ahead: &str) -> TcpStream {
    let mut stream = node.connect().await;
    let mut request =
        header_section(&format!("GET {path} HTTP/1.1"), "host: localhost\r\nupgrade: echo\r\nconnection: upgrade\r\n");
    request.extend_from_slice(ahead.as_bytes());
    stream.write_all(&request).await.unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap().into());
    }
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: echo"), "{head}");
    stream
}

async fn said(stream: &mut TcpStream, text: &str) {
    let mut got = vec![0; text.len()];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(String::from_utf8(got).unwrap(), text);
}

#[tokio::test]
async fn what_was_sent_ahead_is_not_lost_and_the_connection_still_counts() {
    let mut node = Node::plain(Limits { connections: 1, idle: Duration::from_millis(50), ..limits() }).await;
    let mut stream = switched(&node, "/switch", "early ").await;
    stream.write_all(b"late").await.unwrap();
    said(&mut stream, "early late").await;
    // The limit on idle connections is for HTTP, and the only place is taken.
    let mut waits = node.connect().await;
    waits.write_all(&header_section("GET /version HTTP/1.1", "host: localhost\r\n")).await.unwrap();
    node.until(|counts| counts.full == 1).await;
    assert_eq!((node.counts().open, node.counts().requests), (1, 1));
    drop(stream);
    node.until(|counts| counts.requests == 2).await;
    drop(waits);
    node.shut_down();
    assert_eq!(node.served().await.cut, 0);
}

#[tokio::test]
async fn a_drain_tells_it_and_cuts_what_does_not_leave() {
    let mut node = Node::plain(limits()).await;
    let mut leaves = switched(&node, "/switch", "").await;
    node.shut_down();
    said(&mut leaves, "bye").await;
    assert_eq!(leaves.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(node.served().await.cut, 0);

    let mut node = Node::plain(Limits { drain: Duration::from_millis(100), ..limits() }).await;
    let mut stays = switched(&node, "/stay", "").await;
    node.shut_down();
    assert_eq!(node.served().await.cut, 1);
    assert_eq!(stays.read(&mut [0]).await.unwrap_or(0), 0);
    assert_eq!((node.counts().cut, node.counts().open), (1, 0));
}

#[tokio::test]
async fn only_http_1_1_can_switch() {
    let node = Node::plain(limits()).await;
    for line in ["GET /switch HTTP/1.0", "GET /switch HTTP/1.1"] {
        let answer = node.exchange(&header_section(line, "host: localhost\r\nconnection: close\r\n")).await;
        assert!(answer.contains(" 200 OK") && answer.ends_with("cannot switch"), "{answer}");
    }
    let asks = "host: localhost\r\nupgrade: echo\r\nconnection: upgrade\r\n";
    let answer = node.exchange(&header_section("GET /switch HTTP/1.0", asks)).await;
    assert!(answer.ends_with("cannot switch"), "{answer}");
}
