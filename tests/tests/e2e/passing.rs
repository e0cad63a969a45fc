//! Routes that pass requests to an HTTP origin.

use forebay_tests::fakes::{Behaviour, FakeRegion, Origin};
use forebay_tests::raw::statuses;
use forebay_tests::{Gateway, GatewayFile, Place, run};
use serde_json::{Value, json};

use super::house::acme;

const PUBLIC: &str = "access = \"public\"";

async fn before(origin_url: &str, keys: &str) -> (Place, Gateway) {
    let place = Place::new();
    let gateway = GatewayFile::new().origin("site", "/", origin_url, keys).start(&place).await;
    (place, gateway)
}

#[test]
fn an_origin_sees_the_request_without_what_is_ours_or_forged() {
    run(async {
        let origin = Origin::start().await;
        let keys = format!("{PUBLIC}\nresponse_headers = {{ \"x-added\" = \"yes\" }}");
        let (_place, gateway) = before(&origin.url(), &keys).await;
        let answer = gateway
            .http1()
            .post("/a/b?c=d%20e")
            .json(&json!({"n": 1}))
            .token("secret")
            .header("x-forwarded-for", "1.2.3.4")
            .header("forwarded", "for=1.2.3.4")
            .header("x-real-ip", "1.2.3.4")
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .header("te", "trailers")
            .header("x-mine", "kept")
            .send()
            .await
            .ok();
        assert_eq!(
            (answer.json(), answer.header("x-added"), answer.header("via")),
            (json!({"n": 1}), "yes", "1.1 pop")
        );
        let seen = origin.seen().pop().unwrap();
        assert_eq!((seen.line.as_str(), &seen.body[..]), ("POST /a/b?c=d%20e", &b"{\"n\":1}"[..]));
        let field = |name: &str| seen.headers.get(name).map_or("", |value| value.to_str().unwrap());
        assert_eq!((field("x-mine"), field("via")), ("kept", "1.1 pop"));
        assert!(origin.url().ends_with(field("host")), "{}", field("host"));
        for name in ["authorization", "x-forwarded-for", "x-real-ip", "x-hop", "te"] {
            assert_eq!(field(name), "", "{name}");
        }
        assert!(!field("forwarded").contains("1.2.3.4"), "{}", field("forwarded"));
        assert_eq!(field("traceparent").split('-').nth(1), Some(answer.header("x-request-id")));
    });
}

#[test]
fn a_token_goes_on_only_where_the_route_says_so() {
    run(async {
        let origin = Origin::start().await;
        let (_place, gateway) = before(&origin.url(), &format!("{PUBLIC}\nforward_authorization = true")).await;
        gateway.client().get("/").token("secret").send().await.ok();
        assert_eq!(origin.seen()[0].headers["authorization"], "Bearer secret");
    });
}

#[test]
fn an_answer_that_was_cut_never_looks_whole() {
    run(async {
        let origin = FakeRegion::start("eu", Behaviour::BreaksOff).await;
        let (_place, gateway) = before(&origin.url(), PUBLIC).await;
        for client in [gateway.client(), gateway.http1()] {
            let got = client.get("/x/infer").try_send().await;
            assert!(got.is_err(), "{got:?}");
        }
        let mut raw = gateway.raw().await;
        raw.send(b"GET /x/infer HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let answer = raw.rest().await;
        assert!(matches!(statuses(&answer)[..], [] | [200]) && !answer.ends_with("0\r\n\r\n"), "{answer}");
        assert_eq!(origin.asked(), 3);
    });
}

#[test]
fn an_origin_that_is_not_there_is_a_bad_gateway() {
    run(async {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (_place, gateway) = before(&format!("http://{closed}"), PUBLIC).await;
        gateway.client().get("/").send().await.refused(502, "bad-gateway");
        let origin = FakeRegion::start("eu", Behaviour::Hangs).await;
        let (_place, gateway) = before(&origin.url(), &format!("{PUBLIC}\nrequest_ms = 200")).await;
        gateway.client().get("/x/infer").send().await.refused(504, "deadline-exceeded");
    });
}

#[test]
fn bodies_stream_within_their_limit() {
    run(async {
        let origin = Origin::start().await;
        let (_place, gateway) = before(&origin.url(), &format!("{PUBLIC}\nbody_bytes = 100000")).await;
        let whole = "x".repeat(100_000);
        for client in [gateway.client(), gateway.http1()] {
            assert_eq!(client.post("/").body(whole.clone()).send().await.ok().body, whole);
            client.post("/").body(format!("{whole}x")).send().await.refused(413, "body-too-large");
        }
        // Without a length, so that only reading tells.
        let mut raw = gateway.raw().await;
        raw.send(b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n").await;
        raw.send(format!("{:x}\r\n{whole}x\r\n0\r\n\r\n", whole.len() + 1).as_bytes()).await;
        let answer = raw.until("body-too-large").await;
        assert_eq!(statuses(&answer), [413], "{answer}");
        assert!(origin.seen().iter().all(|seen| seen.body.len() == whole.len()));
    });
}

/// A route whose plugin seals `/patient/name`, which a request need not have.
async fn sealing(origin: &Origin) -> (Place, Gateway) {
    let place = Place::new();
    let gateway = GatewayFile::new()
        .sealing("json", "json = [{ pointer = \"/patient/name\", key = \"client\", required = false }]")
        .origin("notes", "/notes", &origin.url(), "policies = [\"access\", \"json\"]")
        .start(&place)
        .await;
    (place, gateway)
}

#[test]
fn a_sealed_field_cannot_be_hidden_from_the_plugin() {
    run(async {
        let origin = Origin::start().await;
        let (_place, gateway) = sealing(&origin).await;
        for body in [
            r#"{"patient":{"name":"Ada"},"patient":{}}"#,
            r#"{"patient":{},"patient":{"name":"Ada"}}"#,
            r#"{"patient":{"name":"Ada","name":1}}"#,
            r#"{"patient":{"name":1,"n\u0061me":"Ada"}}"#,
            r#"{"p\u0061tient":{"n\u0061me":"Ada"}}"#,
            "\u{feff}{\"patient\":{\"name\":\"Ada\"}}",
            r#"{"patient":{"name":"Ada"}} {}"#,
            r#"{"patient":{"name":"Ada"},}"#,
            r#"{"patient":{"name":"Ada"}/**/}"#,
        ] {
            for kind in ["application/json", "application/json; charset=utf-16", "text/json", "application/ld+json"] {
                let ask = gateway.client().post("/notes").token(&acme()).header("content-type", kind).body(body);
                let answer = ask.send().await;
                assert!([200, 400, 415].contains(&answer.status), "{body}: {answer:?}");
            }
        }
        for seen in origin.seen() {
            let text = String::from_utf8_lossy(&seen.body);
            assert!(!text.contains("Ada"), "{text}");
        }
    });
}

#[test]
fn what_is_beside_a_sealed_field_goes_on_as_it_is() {
    run(async {
        let origin = Origin::start().await;
        let (_place, gateway) = sealing(&origin).await;
        let question = json!({"patient": {"name": "Ada", "id": u64::MAX}, "weight": 0.1, "least": i64::MIN, "text": "ä\u{1f600}\u{0}"});
        let ask = |body: String| {
            let client = gateway.client();
            async move {
                client
                    .post("/notes")
                    .token(&acme())
                    .header("content-type", "application/json")
                    .body(body)
                    .send()
                    .await
                    .ok()
            }
        };
        let answer = ask(question.to_string()).await;
        assert_eq!(answer.json(), question);
        let mut seen: Value = serde_json::from_slice(&origin.seen().pop().unwrap().body).unwrap();
        assert!(seen["patient"]["name"].as_str().unwrap().starts_with("eyJ"));
        seen["patient"]["name"] = json!("Ada");
        assert_eq!(seen, question);
        // Where there is nothing to seal, not a byte changes.
        let as_written = "{ \"b\": 1.50, \"a\": 123456789012345678901234567890 }";
        ask(as_written.to_owned()).await;
        assert_eq!(origin.seen().pop().unwrap().body, as_written);
    });
}
