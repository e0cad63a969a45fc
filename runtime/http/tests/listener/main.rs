//! The listener over real sockets: protocols, limits, misbehaving peers and the drain.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod early;
mod harness;
mod upgrade;
mod window;

use std::time::{Duration, Instant};

use forebay_http::{Finish, Limits};
use harness::{Node, h1_get, header_section, text};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn limits() -> Limits {
    Limits { drain: Duration::from_secs(10), ..Limits::default() }
}

#[tokio::test]
async fn plaintext_speaks_http1_and_http2_by_prior_knowledge() {
    let node = Node::plain(limits()).await;
    let answer = node.exchange(&h1_get("/version")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("HTTP/1.1"), "{answer}");
    let mut client = node.h2().await;
    assert_eq!(text(client.get("/version").await).await, "HTTP/2.0");
}

#[tokio::test]
async fn tls_speaks_what_alpn_chose_with_a_post_quantum_exchange() {
    let node = Node::tls(limits()).await;
    let mut h2 = node.tls_h2().await;
    assert_eq!(text(h2.get("/tls").await).await, "TLSv1.3 X25519MLKEM768 h2 localhost");
    let answer = node.tls_exchange(&["http/1.1"], &h1_get("/tls")).await;
    assert!(answer.ends_with("TLSv1.3 X25519MLKEM768 http/1.1 localhost"), "{answer}");
    let answer = node.tls_exchange(&[], &h1_get("/tls")).await;
    assert!(answer.ends_with("TLSv1.3 X25519MLKEM768 - localhost"), "{answer}");
}

#[tokio::test]
async fn a_stalled_handshake_stalls_nobody_else_and_times_out() {
    let node = Node::tls(Limits { handshake: Duration::from_secs(1), ..limits() }).await;
    let mut silent = node.connect().await;
    let mut client = node.tls_h2().await;
    assert_eq!(client.get("/version").await.status(), 200);
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(node.counts().handshakes_timed_out, 1);
}

#[tokio::test]
async fn garbage_instead_of_a_handshake_is_counted() {
    let node = Node::tls(limits()).await;
    node.exchange(&h1_get("/")).await;
    assert_eq!(node.counts().handshakes_failed, 1);
}

#[tokio::test]
async fn header_limits_hold_in_http1() {
    let node = Node::plain(Limits { headers_count: 20, headers_bytes: 10_000, ..limits() }).await;
    for (fields, why) in [
        (format!("a: {}\r\n", "x".repeat(11_000)), "above our limit"),
        (format!("a: {}\r\n", "x".repeat(200_000)), "above hyper's buffer"),
        ((0..30).map(|number| format!("a{number}: 1\r\n")).collect(), "too many"),
    ] {
        let answer = node
            .exchange(&header_section("GET / HTTP/1.1", &format!("host: a\r\nconnection: close\r\n{fields}")))
            .await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{why}: {answer}");
    }
    let fits =
        header_section("GET / HTTP/1.1", &format!("host: a\r\nconnection: close\r\na: {}\r\n", "x".repeat(9_000)));
    assert!(node.exchange(&fits).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn header_limits_hold_in_http2() {
    let node = Node::plain(Limits { headers_count: 20, headers_bytes: 10_000, ..limits() }).await;
    let mut client = node.h2().await;
    let large = http::Request::get("http://localhost/").header("a", "x".repeat(20_000));
    // hyper answers by itself, or our client refuses to send what the server announced it would not take.
    if let Ok(response) = client.try_send(large.body(String::new()).unwrap()).await {
        assert_eq!(response.status(), 431);
    }
    let mut many = http::Request::get("http://localhost/");
    for number in 0..30 {
        many = many.header(format!("a{number}"), "1");
    }
    assert_eq!(node.h2().await.send(many.body(String::new()).unwrap()).await.status(), 431);
}

#[tokio::test]
async fn requests_that_are_for_nobody_are_problems() {
    let node = Node::plain(limits()).await;
    let answer = node.exchange(&header_section("GET / HTTP/1.1", "connection: close\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("https://forebay.dev/problems/bad-request"), "{answer}");
    assert_eq!(node.counts().requests_refused, 1);
}

#[tokio::test]
async fn a_slow_header_section_is_cut_although_idle_may_be_long() {
    let node = Node::plain(Limits { header_read: Duration::from_millis(100), ..limits() }).await;
    let mut client = node.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: a").await.unwrap();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert_eq!(node.counts().slow_headers, 1);
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_timeout_and_is_then_closed() {
    let idle = Duration::from_millis(500);
    let node = Node::plain(Limits { header_read: Duration::from_millis(50), idle, ..limits() }).await;
    let began = Instant::now();
    let mut client = node.connect().await;
    client.write_all(&header_section("GET / HTTP/1.1", "host: a\r\n")).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    assert!(began.elapsed() >= idle, "{:?}", began.elapsed());
    assert_eq!(node.counts().idle_closed, 1);
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed_and_a_busy_one_is_not() {
    let node = Node::plain(Limits { idle: Duration::from_millis(500), ..limits() }).await;
    let mut client = node.h2().await;
    let waiting = client.start("/wait").await;
    let silent = node.h2().await;
    silent.closed().await;
    node.until(|counts| counts.idle_closed == 1).await;
    node.release();
    assert_eq!(waiting.await.unwrap().status(), 200);
    client.closed().await;
    node.until(|counts| counts.idle_closed == 2).await;
}

#[tokio::test]
async fn a_peer_that_takes_no_bytes_is_cut() {
    let mut node = Node::plain(Limits { write_stall: Duration::from_millis(200), ..limits() }).await;
    let mut client = node.connect().await;
    client.write_all(&h1_get("/endless")).await.unwrap();
    assert!(!node.finished().await.completed);
    node.until(|counts| counts.write_stalls == 1 && counts.open == 0).await;
}

#[tokio::test]
async fn the_connection_limit_makes_others_wait() {
    let node = Node::plain(Limits { connections: 1, ..limits() }).await;
    let first = node.h2().await;
    node.until(|counts| counts.full == 1).await;
    let mut second = node.connect().await;
    second.write_all(&h1_get("/version")).await.unwrap();
    assert_eq!(node.counts().open, 1);
    drop(first);
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("HTTP/1.1"), "{answer}");
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_accepts_nothing_new() {
    let mut node = Node::plain(limits()).await;
    let mut h2 = node.h2().await;
    let waiting_h2 = h2.start("/wait").await;
    let mut h1 = node.connect().await;
    h1.write_all(&header_section("GET /wait HTTP/1.1", "host: a\r\n")).await.unwrap();
    let mut idle = node.connect().await;
    idle.write_all(&header_section("HEAD / HTTP/1.1", "host: a\r\n")).await.unwrap();
    node.until(|counts| counts.requests == 3).await;

    node.shut_down();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(rest.starts_with(b"HTTP/1.1 200 "));
    assert!(tokio::net::TcpStream::connect(node.address()).await.is_err());

    node.release();
    let mut answer = String::new();
    h1.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("connection: close") && answer.ends_with("released"), "{answer}");
    assert_eq!(waiting_h2.await.unwrap().status(), 200);
    h2.closed().await;
    assert_eq!(node.served().await.cut, 0);
}

#[tokio::test]
async fn a_drain_cuts_what_does_not_end() {
    let mut node = Node::plain(Limits { drain: Duration::from_millis(100), ..limits() }).await;
    let mut client = node.h2().await;
    let waiting = client.start("/wait").await;
    node.until(|counts| counts.requests == 1).await;
    node.shut_down();
    assert_eq!(node.served().await.cut, 1);
    assert!(waiting.await.is_err());
}

#[tokio::test]
async fn a_panic_is_a_problem_and_spares_the_other_streams() {
    let node = Node::plain(limits()).await;
    let mut client = node.h2().await;
    let waiting = client.start("/wait").await;
    let response = client.get("/panic").await;
    assert_eq!(response.status(), 500);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    node.release();
    assert_eq!(waiting.await.unwrap().status(), 200);
    assert_eq!(node.counts().handler_panics, 1);
}

#[tokio::test]
async fn the_end_of_a_response_is_told_once_and_truly() {
    let mut node = Node::plain(limits()).await;
    node.exchange(&h1_get("/hooked")).await;
    assert_eq!(node.finished().await, Finish { bytes: 6, completed: true });
    node.exchange(&header_section("HEAD /hooked HTTP/1.1", "host: a\r\nconnection: close\r\n")).await;
    assert_eq!(node.finished().await, Finish { bytes: 0, completed: true });
    let mut client = node.connect().await;
    client.write_all(&h1_get("/endless")).await.unwrap();
    client.read_exact(&mut [0; 1000]).await.unwrap();
    drop(client);
    assert!(!node.finished().await.completed);
}

#[tokio::test]
async fn a_response_whose_producer_died_never_looks_complete() {
    let node = Node::plain(limits()).await;
    let mut client = node.connect().await;
    client.write_all(&h1_get("/dies")).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"half\r\n") {
        assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0);
    }
    node.release();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"", "the final chunk must be missing");
    let mut client = node.h2().await;
    let response = client.get("/dies").await;
    assert!(http_body_util::BodyExt::collect(response.into_body()).await.is_err());
}

#[tokio::test]
async fn a_request_body_is_bounded_before_it_is_read() {
    let node = Node::plain(limits()).await;
    // The body is announced and never sent: only a refusal that does not wait for it can answer.
    let head = header_section("POST /echo HTTP/1.1", "host: a\r\ncontent-length: 2000\r\n");
    let mut client = node.connect().await;
    client.write_all(&head).await.unwrap();
    let mut status = [0; 13];
    client.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 413 ");
    let mut client = node.h2().await;
    assert_eq!(client.post("/echo", &"x".repeat(1001)).await.status(), 413);
    assert_eq!(text(client.post("/echo", "hello").await).await, "hello");
}

#[tokio::test]
async fn mutual_tls_names_the_client_and_refuses_strangers() {
    let node = Node::mutual_tls(limits()).await;
    let mut client = node.tls_h2_as("edge-1").await;
    let told = text(client.get("/client").await).await;
    let (subject, fingerprint) = told.split_once(' ').unwrap();
    assert_eq!(subject, "CN=edge-1");
    assert_eq!(fingerprint.len(), 43);
    node.expect_refusal_without_certificate().await;
}

#[tokio::test]
async fn a_replaced_certificate_serves_new_connections_and_old_ones_stay() {
    let node = Node::tls(limits()).await;
    let mut old = node.tls_h2().await;
    let before = node.presented_certificate().await;
    node.replace_certificate();
    assert_ne!(node.presented_certificate().await, before);
    assert_eq!(old.get("/version").await.status(), 200);
}
