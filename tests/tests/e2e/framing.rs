//! Bytes that are no request, or could be two: each is refused before a handler could read it one way and someone else
//! another.

use std::time::Duration;

use forebay_tests::raw::statuses;
use forebay_tests::run;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::bad_input::still_serves;
use super::house::house;

#[test]
fn heads_that_are_too_large() {
    run(async {
        let gateway = &house().await.gateway;
        let fields: String = (0..2000).map(|index| format!("x-{index}: {}\r\n", "y".repeat(100))).collect();
        let mut raw = gateway.raw().await;
        raw.send(format!("GET /open/v2/health/live HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n").as_bytes()).await;
        let answer = raw.rest().await;
        assert_eq!(statuses(&answer), [431], "{answer}");

        let client = gateway.http1();
        let ask = |fields: usize, bytes: usize| {
            let value = "y".repeat(bytes);
            let ask = client.get("/open/v2/health/live");
            (0..fields).fold(ask, |ask, index| ask.header(&format!("x-{index}"), &value)).send()
        };
        ask(20, 2_000).await.refused(431, "headers-too-large");
        ask(20, 100).await.ok();
        let answer = ask(150, 10).await;
        assert_eq!(answer.status, 431, "{answer:?}");
        still_serves().await;
    });
}

/// One request in bytes that asks for the connection's end; what follows would be the answer to a second one.
async fn bytes(text: &str) -> String {
    let mut raw = house().await.gateway.raw().await;
    raw.send(text.as_bytes()).await;
    raw.rest().await
}

#[test]
fn requests_that_could_be_read_in_two_ways() {
    run(async {
        let live = "GET /open/v2/health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
        let post = "POST /open/v2/models/matmul/infer HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
        for (what, request) in [
            ("two hosts", format!("{live}host: localhost\r\n\r\n")),
            ("no host", "GET /open/v2/health/live HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned()),
            (
                "a target for another host",
                "GET https://other.test/open/v2/health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
                    .to_owned(),
            ),
            (
                "a host with a user",
                "GET /open/v2/health/live HTTP/1.1\r\nhost: a@localhost\r\nconnection: close\r\n\r\n".to_owned(),
            ),
            ("two lengths", format!("{post}content-length: 3\r\ncontent-length: 5\r\n\r\n{{}}   ")),
            ("a list of lengths", format!("{post}content-length: 3, 5\r\n\r\n{{}}   ")),
            ("a signed length", format!("{post}content-length: +3\r\n\r\n{{}} ")),
            ("a coding that is not chunked", format!("{post}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n")),
            ("a coding before chunked", format!("{post}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n")),
            (
                "chunked twice",
                format!("{post}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            ),
            (
                "chunked in HTTP/1.0",
                format!("{}transfer-encoding: chunked\r\n\r\n0\r\n\r\n", post.replace("1.1", "1.0")),
            ),
            ("a space before the colon", format!("{live}x-a : b\r\n\r\n")),
            ("a folded line", format!("{live}x-a: b\r\n c\r\n\r\n")),
            ("a bare line feed in a value", format!("{live}x-a: b\nx-b: c\rd\r\n\r\n")),
            ("a zero byte", format!("{live}x-a: b\0c\r\n\r\n")),
            ("a chunk without a size", format!("{post}transfer-encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n")),
        ] {
            let answer = bytes(&request).await;
            let found = statuses(&answer);
            assert!(matches!(found[..], [400] | [431]), "{what}: {answer}");
        }
        still_serves().await;
    });
}

#[test]
fn http2_requests_that_could_be_read_in_two_ways() {
    run(async {
        let client = house().await.gateway.client();
        let live = || client.get("/open/v2/health/live");
        live().send().await.ok();
        for (name, value) in [("host", "other.test"), ("host", "localhost:1")] {
            live().header(name, value).send().await.refused(400, "bad-request");
        }
        for (name, value) in
            [("connection", "close"), ("transfer-encoding", "chunked"), ("te", "gzip"), ("upgrade", "x")]
        {
            // The client library or the node refuses it; a stream error is as good as a 400.
            let answer = live().header(name, value).try_send().await;
            assert!(answer.is_err() || answer.is_ok_and(|answer| [200, 400].contains(&answer.status)), "{name}");
        }
        still_serves().await;
    });
}

#[test]
fn bytes_that_are_no_tls_or_no_http() {
    run(async {
        let gateway = &house().await.gateway;
        for garbage in
            [&b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff, 1], &[0; 4096], &[0xff; 4096]]
        {
            let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
            let _ = stream.write_all(garbage).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            let _ =
                tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.expect("it ends");
            assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
        }
        for garbage in [
            "\r\n\r\n\r\n",
            "rubbish\r\n\r\n",
            "GET\r\n\r\n",
            "GET / HTTP/9.9\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            let mut raw = gateway.raw().await;
            raw.send(garbage.as_bytes()).await;
            raw.half_close().await;
            let answer = raw.rest().await;
            assert!(matches!(statuses(&answer)[..], [] | [400] | [404] | [405] | [505]), "{garbage:?}: {answer}");
        }
        still_serves().await;
    });
}

#[test]
fn a_length_beside_a_coding_smuggles_nothing() {
    run(async {
        // By its length the body would end inside, and a second request would begin there.
        let hidden = "GET /open/v2/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let chunked = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
        let request = format!(
            "POST /open/v2/models/matmul/infer HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 4\r\n\
             transfer-encoding: chunked\r\n\r\n{chunked}"
        );
        let answer = bytes(&request).await;
        assert_eq!(statuses(&answer), [400], "{answer}");
        assert!(!answer.contains("\"live\""), "{answer}");
        still_serves().await;
    });
}
