//! Bodies in the hands of plugins: whole and part by part, events and trailers, both ways.

use forebay_tests::fakes::Origin;
use forebay_tests::hand::{HEAD_END, HandOrigin, Streaming};
use forebay_tests::questions::matmul;
use forebay_tests::raw::{Raw, statuses};
use forebay_tests::region::RegionFile;
use forebay_tests::{Gateway, GatewayFile, Place, assets, run};
use http::{HeaderMap, Method};

use super::house::acme;

/// The guest of that name as the plugin `guest`, with these rules.
fn guest(component: &str, rules: &str) -> String {
    let component = assets::plugin(component);
    format!(
        "[[plugins]]\nname = \"guest\"\ncomponent = {component:?}\ngrants = [\"http\", \"body\"]\ndeadline_ms = 200\n\
         config = {{ behaviour = {rules:?} }}"
    )
}

const GUARDED: &str = "policies = [\"access\", \"guest\"]";

/// A gateway with that guest before an origin.
async fn before(origin: &str, component: &str, rules: &str) -> (Place, Gateway) {
    let place = Place::new();
    let file = GatewayFile::new().plus(&guest(component, rules)).origin("site", "/", origin, GUARDED);
    let gateway = file.start(&place).await;
    (place, gateway)
}

/// The head of a request over HTTP/1.1 whose body comes in chunks.
fn chunked(method: &str, fields: &str) -> String {
    let token = acme();
    format!(
        "{method} /x HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ntransfer-encoding: chunked\r\n{fields}\r\n"
    )
}

/// The head of a request over HTTP/1.1 without a body.
fn get() -> String {
    format!("GET /x HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n", acme())
}

async fn chunk(raw: &mut Raw, text: &str) {
    raw.send(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await;
}

const END: &str = "0\r\n\r\n";
// Each request has a connection of its own.
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
const EVENTS: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";

#[test]
fn whole_bodies_are_replaced_and_refused_both_ways() {
    run(async {
        let origin = Origin::start().await;
        let rules = "q:ping>pong|a:pong>done|q:secret>!refuse|q:leak>leaked|a:leaked>!refuse|q:bad>!trap|q:late>later|a:later>!loop";
        let (_place, gateway) = before(&origin.url(), "body", rules).await;
        for client in [gateway.client(), gateway.http1()] {
            let send = |body: &str| client.post("/x").token(&acme()).body(body.to_owned()).send();
            let answer = send("a ping and a ping").await.ok();
            assert_eq!((&answer.body[..], answer.header("content-length")), (&b"a done and a done"[..], "17"));
            assert_eq!(origin.seen().pop().unwrap().body, "a pong and a pong");

            let asked = origin.seen().len();
            let refused = send("a secret").await;
            assert_eq!(refused.refused(403, "forbidden").json()["plugin"], "guest");
            send("bad").await.refused(503, "policy-failed");
            assert_eq!(origin.seen().len(), asked, "what was refused must not reach the origin");
            assert_eq!(send("a leak").await.refused(403, "forbidden").json()["plugin"], "guest");
            let failed = send("late").await;
            assert!(!String::from_utf8_lossy(&failed.refused(503, "policy-failed").body).contains("later"));
        }
    });
}

#[test]
fn inferences_are_replaced_and_refused_on_cache_hits_too() {
    run(async {
        let place = Place::new();
        let region = RegionFile::new("eu", "eu").start(&place).await;
        let rules = "q:0.5>1.5|a:8.5>9.25|q:0.25>!refuse|a:7.75>!refuse";
        let keys = format!("{GUARDED}\ncache = {{ ttl_s = 300 }}");
        let file = GatewayFile::new().region("eu", &region.url(), "eu").plus(&guest("body", rules));
        let gateway = file.route("infer", "/i", &keys).start(&place).await;
        let infer = |bias| gateway.client().infer("/i", "matmul", &matmul(bias)).token(&acme()).send();
        for cache in ["miss", "hit"] {
            let answer = infer(0.5).await.ok();
            assert_eq!((answer.cache(), answer.f32s("y")), (cache, vec![9.25, 11.5]));
        }
        infer(0.25).await.refused(403, "forbidden");
        for _ in 0..2 {
            assert_eq!(infer(0.75).await.refused(403, "forbidden").json()["plugin"], "guest");
        }
    });
}

#[test]
fn a_coding_that_no_plugin_could_look_behind_is_refused() {
    run(async {
        for component in ["body", "streams"] {
            let origin = HandOrigin::start().await;
            let (_place, gateway) = before(&origin.url(), component, "q:ping>pong").await;
            let ask = gateway.client().post("/x").token(&acme()).header("content-encoding", "gzip").body("zip");
            ask.send().await.refused(415, "unsupported-encoding");
            origin.answers(
                "HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 3\r\nconnection: close\r\n\r\nzip",
            );
            gateway.client().get("/x").token(&acme()).send().await.refused(502, "bad-gateway");
        }
    });
}

#[test]
fn what_was_said_of_the_bytes_is_corrected_where_they_may_have_changed() {
    run(async {
        for (component, length) in [("body", "8"), ("streams", "")] {
            let origin = HandOrigin::start().await;
            let (_place, gateway) = before(&origin.url(), component, "a:pong>other").await;
            origin.answers(
                "HTTP/1.1 200 OK\r\netag: \"a\"\r\naccept-ranges: bytes\r\ncontent-digest: sha-256=:AA==:\r\nx-mine: kept\r\n\
                 content-length: 7\r\nconnection: close\r\n\r\nno pong",
            );
            let answer = gateway.http1().get("/x").token(&acme()).send().await.ok();
            assert_eq!((&answer.body[..], answer.header("content-length")), (&b"no other"[..], length));
            assert_eq!((answer.header("etag"), answer.header("x-mine")), ("", "kept"));
            assert_eq!((answer.header("accept-ranges"), answer.header("content-digest")), ("", ""));
        }
    });
}

#[test]
fn answers_without_a_body_say_nothing_of_the_bytes_of_another() {
    run(async {
        for component in ["body", "streams"] {
            for (method, status, answer) in [
                (
                    Method::HEAD,
                    200,
                    "HTTP/1.1 200 OK\r\netag: \"a\"\r\nx-mine: kept\r\ncontent-length: 7\r\nconnection: close\r\n\r\n",
                ),
                (
                    Method::GET,
                    204,
                    "HTTP/1.1 204 No Content\r\netag: \"a\"\r\nx-mine: kept\r\nconnection: close\r\n\r\n",
                ),
                (
                    Method::GET,
                    304,
                    "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\nx-mine: kept\r\nconnection: close\r\n\r\n",
                ),
            ] {
                let origin = HandOrigin::start().await;
                let (_place, gateway) = before(&origin.url(), component, "a:pong>other").await;
                origin.answers(answer);
                for client in [gateway.client(), gateway.http1()] {
                    let answer = client.ask(method.clone(), "/x").token(&acme()).send().await;
                    assert_eq!((answer.status, answer.header("x-mine"), answer.body.len()), (status, "kept", 0));
                    assert_eq!((answer.header("etag"), answer.header("content-length")), ("", ""));
                }
            }
        }
    });
}

#[test]
fn a_download_streams_through_before_its_origin_has_sent_the_rest() {
    run(async {
        let origin = HandOrigin::start().await;
        let (_place, gateway) = before(&origin.url(), "streams", "a:one>first|a:two>second").await;
        let mut raw = gateway.raw().await;
        raw.send(get().as_bytes()).await;
        let mut talk = origin.meets().await;
        let head = talk.until(HEAD_END).await;
        assert!(!head.contains("transfer-encoding"), "a request without a body stays one: {head}");
        talk.says(CHUNKED).await;
        talk.chunk("one").await;
        raw.until("first").await;
        talk.chunk("two").await;
        raw.until("second").await;
        talk.says(END).await;
        raw.until(END).await;

        let client = Streaming::to(&gateway).await;
        let token = acme();
        let playing = async {
            let mut talk = origin.meets().await;
            talk.until(HEAD_END).await;
            talk.says(CHUNKED).await;
            talk
        };
        let (mut response, mut talk) = tokio::join!(client.get("/x", &token), playing);
        talk.chunk("one").await;
        assert_eq!(response.next().await.unwrap().unwrap(), "first");
        talk.chunk("two").await;
        talk.says(END).await;
        assert_eq!(response.rest().await.unwrap().0, "second");
    });
}

#[test]
fn an_upload_streams_through_before_its_client_has_sent_the_rest() {
    run(async {
        let origin = HandOrigin::start().await;
        let (_place, gateway) = before(&origin.url(), "streams", "q:one>first|q:two>second").await;
        let mut raw = gateway.raw().await;
        raw.send(chunked("POST", "").as_bytes()).await;
        chunk(&mut raw, "one").await;
        let mut talk = origin.meets().await;
        talk.until("first").await;
        chunk(&mut raw, "two").await;
        talk.until("second").await;
        raw.send(END.as_bytes()).await;
        assert!(talk.until(END).await.contains("6\r\nsecond"));
        talk.says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(statuses(&raw.until(HEAD_END).await), [200]);
    });
}

#[test]
fn what_a_plugin_remembers_is_of_one_body_alone() {
    run(async {
        let origin = HandOrigin::start().await;
        let (_place, gateway) = before(&origin.url(), "streams", "q:number>!count|q:wait>!hold").await;
        let client = Streaming::to(&gateway).await;
        let token = acme();
        let (one, _one) = client.post("/x", &token, &[]);
        one.send("number").await.unwrap();
        let mut first = origin.meets().await;
        first.until("1\r\n1\r\n").await;
        let (other, _other) = client.post("/x", &token, &[]);
        other.send("number").await.unwrap();
        let mut second = origin.meets().await;
        second.until("1\r\n1\r\n").await;
        one.send("number").await.unwrap();
        first.until("1\r\n2\r\n").await;
        one.send("wait for ").await.unwrap();
        other.send("mine").await.unwrap();
        assert!(!second.until("mine").await.contains("wait"));
        one.send("it").await.unwrap();
        one.finish();
        first.until("wait for it").await;
    });
}

#[test]
fn a_stream_goes_on_with_the_version_that_it_began_with() {
    run(async {
        let (place, origin) = (Place::new(), HandOrigin::start().await);
        let file =
            |rules| GatewayFile::new().plus(&guest("streams", rules)).origin("site", "/", &origin.url(), GUARDED);
        let (gateway, state) = file("a:word>old").start_from_file(&place).await;
        let client = Streaming::to(&gateway).await;
        let token = acme();
        let begin = async || {
            let playing = async {
                let mut talk = origin.meets().await;
                talk.until(HEAD_END).await;
                talk.says(CHUNKED).await;
                talk.chunk("word").await;
                talk
            };
            tokio::join!(client.get("/x", &token), playing)
        };
        let (mut before, mut talk) = begin().await;
        assert_eq!(before.next().await.unwrap().unwrap(), "old");
        place.write("forebay.toml", &file("a:word>new").text());
        state.reload().await.unwrap();
        let (mut after, _talk) = begin().await;
        assert_eq!(after.next().await.unwrap().unwrap(), "new");
        talk.chunk("word").await;
        talk.says(END).await;
        assert_eq!(before.rest().await.unwrap().0, "old");
    });
}

#[test]
fn a_hook_that_fails_or_refuses_keeps_the_origin_from_a_complete_request() {
    run(async {
        for (word, status, kind) in
            [("bad", 503, "policy-failed"), ("spin", 503, "policy-failed"), ("secret", 403, "forbidden")]
        {
            let origin = HandOrigin::start().await;
            let rules = "q:bad>!trap|q:spin>!loop|q:secret>!refuse";
            let (_place, gateway) = before(&origin.url(), "streams", rules).await;
            let mut raw = gateway.raw().await;
            raw.send(chunked("POST", "").as_bytes()).await;
            chunk(&mut raw, "good").await;
            let mut talk = origin.meets().await;
            talk.until("good").await;
            chunk(&mut raw, word).await;
            raw.send(END.as_bytes()).await;
            let answer = raw.until("\"guest\"").await;
            assert_eq!(statuses(&answer), [status], "{word}: {answer}");
            assert!(answer.contains(kind), "{word}: {answer}");
            let heard = talk.rest().await;
            assert!(!heard.ends_with(END) && !heard.contains(word), "{word}: {heard}");
        }
    });
}

#[test]
fn each_event_is_seen_whole_wherever_the_network_cut_it() {
    run(async {
        let origin = HandOrigin::start().await;
        let rules = "a:data: one>data: first|a:unwanted>!drop|a:number>!count";
        let (_place, gateway) = before(&origin.url(), "streams", rules).await;
        let client = Streaming::to(&gateway).await;
        let token = acme();
        let playing = async {
            let mut talk = origin.meets().await;
            talk.until(HEAD_END).await;
            talk.says(EVENTS).await;
            for part in
                ["data: o", "ne\n\nda", "ta: unwa", "nted\r\n\r\ndata: number\n", "\nid: 4\ndata: number\n\ndata: rest"]
            {
                talk.chunk(part).await;
            }
            talk.says(END).await;
        };
        let (response, ()) = tokio::join!(client.get("/x", &token), playing);
        assert_eq!(response.header("content-type"), "text/event-stream");
        let (text, _) = response.rest().await.unwrap();
        assert_eq!(text, "data: first\n\ndata: 3\n\nid: 4\ndata: 4\n\ndata: rest");
    });
}

#[test]
fn a_refusal_amid_events_is_told_and_never_looks_like_an_end() {
    run(async {
        for (word, says) in [("secret", "a word that must not pass"), ("bad", "policy `guest` could not decide")] {
            let origin = HandOrigin::start().await;
            let (_place, gateway) = before(&origin.url(), "streams", "a:secret>!refuse|a:bad>!trap").await;
            let events = format!("data: kept\n\ndata: {word}\n\ndata: more\n\n");
            let play = async || {
                let mut talk = origin.meets().await;
                talk.until(HEAD_END).await;
                talk.says(EVENTS).await;
                talk.chunk(&events).await;
                talk
            };
            let mut raw = gateway.raw().await;
            raw.send(get().as_bytes()).await;
            let _talk = play().await;
            let answer = raw.rest().await;
            assert!(answer.contains("data: kept\n\n") && answer.contains("event: error\ndata: {"), "{answer}");
            assert!(answer.contains(says), "{answer}");
            assert!(!answer.contains("data: more") && !answer.contains(&format!("data: {word}")), "{answer}");
            assert!(!answer.ends_with(END), "{answer}");

            let client = Streaming::to(&gateway).await;
            let token = acme();
            let (response, _talk) = tokio::join!(client.get("/x", &token), play());
            let text = response.rest().await.expect_err("a stream that was cut never looks whole");
            assert!(text.starts_with("data: kept\n\nevent: error\ndata: {") && text.ends_with("}\n\n"), "{text}");
        }
    });
}

#[test]
fn a_refusal_amid_a_plain_download_cuts_it() {
    run(async {
        let origin = HandOrigin::start().await;
        let (_place, gateway) = before(&origin.url(), "streams", "a:secret>!refuse").await;
        let client = Streaming::to(&gateway).await;
        let token = acme();
        let playing = async {
            let mut talk = origin.meets().await;
            talk.until(HEAD_END).await;
            talk.says(CHUNKED).await;
            talk.chunk("good").await;
            talk
        };
        let (mut response, mut talk) = tokio::join!(client.get("/x", &token), playing);
        assert_eq!(response.next().await.unwrap().unwrap(), "good");
        talk.chunk("secret").await;
        talk.says(END).await;
        assert_eq!(response.rest().await.unwrap_err(), "");
    });
}

#[test]
fn trailers_are_edited_both_ways_and_refused() {
    run(async {
        let origin = HandOrigin::start().await;
        let (_place, gateway) = before(&origin.url(), "streams", "q:ping>pong").await;
        let client = Streaming::to(&gateway).await;
        let announced = [("trailer", "x-check, x-gone, x-seen"), ("te", "trailers")];
        let token = acme();
        let trailers = |fields: &[(&'static str, &str)]| {
            fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>()
        };
        let (body, response) = client.post("/x", &token, &announced);
        body.send("ping").await.unwrap();
        body.send_trailers(trailers(&[("x-check", "1"), ("x-gone", "drop")])).await.unwrap();
        body.finish();
        let mut talk = origin.meets().await;
        let heard = talk.until("\r\n0\r\n").await;
        assert!(heard.contains("pong"), "{heard}");
        let heard = talk.until("x-seen: request").await;
        assert!(heard.contains("x-check: 1") && !heard.contains("x-gone: "), "{heard}");
        talk.says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-a, x-b\r\nconnection: close\r\n\r\n")
            .await;
        talk.chunk("done").await;
        talk.says("0\r\nx-a: 1\r\nx-b: drop\r\n\r\n").await;
        let (text, trailers_back) = response.await.unwrap().rest().await.unwrap();
        assert_eq!((text.as_str(), trailers_back), ("done", trailers(&[("x-a", "1"), ("x-seen", "response")])));

        // Refused on the way back: what came before stands, and it never looks complete.
        let (body, response) = client.post("/x", &token, &announced);
        body.finish();
        let mut talk = origin.meets().await;
        talk.until("POST").await;
        talk.says(CHUNKED).await;
        talk.chunk("done").await;
        talk.says("0\r\nx-a: secret\r\n\r\n").await;
        assert_eq!(response.await.unwrap().rest().await.unwrap_err(), "done");

        // Refused on the way out: the origin never sees the end.
        let (body, response) = client.post("/x", &token, &announced);
        body.send("ping").await.unwrap();
        let mut talk = origin.meets().await;
        talk.until("pong").await;
        body.send_trailers(trailers(&[("x-check", "trap")])).await.unwrap();
        body.finish();
        assert_eq!(response.await.unwrap().status(), 503);
        let heard = talk.rest().await;
        assert!(!heard.contains("\r\n0\r\n"), "{heard}");
    });
}
