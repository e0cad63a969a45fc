//! What HTTP lets a client or an origin say beside the body that policies look into: ranges, codings, digests, trailers,
//! early answers. None of it gets around a policy.

use forebay_tests::fakes::Origin;
use forebay_tests::hand::{HEAD_END, HandOrigin, Streaming};
use forebay_tests::raw::statuses;
use forebay_tests::{Gateway, GatewayFile, Place, assets, run};
use http::{HeaderMap, Method};
use serde_json::json;

use super::house::{acme, house};

const GUARDED: &str = "policies = [\"access\", \"guest\"]";
const PUBLIC: &str = "access = \"public\"";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
const END: &str = "0\r\n\r\n";

/// The guest of that name as the plugin `guest`, with these rules.
fn guest(component: &str, rules: &str) -> String {
    let component = assets::plugin(component);
    format!(
        "[[plugins]]\nname = \"guest\"\ncomponent = {component:?}\ngrants = [\"http\", \"body\"]\ndeadline_ms = 1000\n\
         config = {{ behaviour = {rules:?} }}"
    )
}

/// A plugin of this tree as the plugin `guest`.
fn plugin(name: &str, grants: &str, config: &str) -> String {
    let component = assets::plugin(name);
    format!(
        "[[plugins]]\nname = \"guest\"\ncomponent = {component:?}\ngrants = [{grants}]\ndeadline_ms = 1000\n\
         [plugins.config]\n{config}"
    )
}

/// A plugin that seals `/secret`, which need not be there.
fn sealing(file: GatewayFile) -> GatewayFile {
    file.sealing("guest", "json = [{ pointer = \"/secret\", key = \"client\", required = false }]")
}

async fn before(origin: &str, keys: &str, file: GatewayFile) -> (Place, Gateway) {
    let place = Place::new();
    let gateway = file.origin("site", "/", origin, keys).start(&place).await;
    (place, gateway)
}

#[test]
fn answers_that_are_held_whole_share_the_room_for_bodies() {
    run(async {
        let origin = HandOrigin::start().await;
        let file = GatewayFile::new()
            .plus("[limits]\nbody_bytes = 4096\nanswer_bytes = 65536\nbuffered_bytes = 100000")
            .plus(&guest("body", "a:pong>other"));
        let (_place, gateway) = before(&origin.url(), GUARDED, file).await;
        let ask = async |path: &str| gateway.client().get(path).token(&acme()).send().await;
        let (one, other) = (Box::pin(ask("/one")), Box::pin(ask("/other")));
        let playing = async {
            let (mut one, mut other) = (origin.meets().await, origin.meets().await);
            for talk in [&mut one, &mut other] {
                talk.until(HEAD_END).await;
                // Without a length: each may become as long as an answer may be.
                talk.says(CHUNKED).await;
            }
            (one, other)
        };
        let asked = futures_util::future::select(one, other);
        let (asked, (mut one, mut other)) = tokio::join!(asked, playing);
        let (refused, waits) = asked.factor_first();
        refused.refused(503, "overloaded");
        // Nobody listens at one of them any more.
        for talk in [&mut one, &mut other] {
            talk.tries(&format!("4\r\npong\r\n{END}")).await;
        }
        assert_eq!(waits.await.ok().body, "other");
        let playing = async {
            let mut talk = origin.meets().await;
            talk.until(HEAD_END).await;
            talk.says(CHUNKED).await;
            talk.says(END).await;
        };
        let (again, ()) = tokio::join!(ask("/again"), playing);
        again.ok();
    });
}

#[test]
fn what_was_said_of_sealed_bytes_is_not_said_of_opened_ones() {
    run(async {
        let origin = HandOrigin::start().await;
        let (_place, gateway) = before(&origin.url(), GUARDED, sealing(GatewayFile::new())).await;
        origin.answers(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\netag: \"a\"\r\naccept-ranges: bytes\r\nrepr-digest: x=:AA==:\r\n\
             content-md5: AA==\r\nx-mine: kept\r\ncontent-length: 7\r\nconnection: close\r\n\r\n{\"a\":1}",
        );
        let answer = gateway.client().get("/x").token(&acme()).send().await.ok();
        assert_eq!((answer.json(), answer.header("x-mine")), (json!({"a": 1}), "kept"));
        for name in ["etag", "accept-ranges", "repr-digest", "content-md5"] {
            assert_eq!(answer.header(name), "", "{name}");
        }
    });
}

#[test]
fn what_a_client_says_of_its_bytes_goes_on_only_where_they_do() {
    run(async {
        let fields = ["content-digest", "repr-digest", "content-md5"];
        let send = async |gateway: &Gateway| {
            let ask = gateway.client().post("/x").token(&acme()).json(&json!({"secret": "s"}));
            fields.iter().fold(ask, |ask, name| ask.header(name, "x=:AA==:")).send().await.ok()
        };
        let body = GatewayFile::new().plus(&guest("body", "q:ping>pong"));
        for file in [sealing(GatewayFile::new()), body] {
            let origin = Origin::start().await;
            let (_place, gateway) = before(&origin.url(), GUARDED, file).await;
            send(&gateway).await;
            let seen = origin.seen().pop().unwrap();
            assert!(fields.iter().all(|name| !seen.headers.contains_key(*name)), "{:?}", seen.headers);
        }
        let origin = Origin::start().await;
        let (_place, gateway) = before(&origin.url(), "policies = [\"access\"]", GatewayFile::new()).await;
        send(&gateway).await;
        let seen = origin.seen().pop().unwrap();
        assert!(fields.iter().all(|name| seen.headers.contains_key(*name)), "{:?}", seen.headers);
    });
}

#[test]
fn a_part_of_an_answer_does_not_pass_for_the_whole() {
    run(async {
        for answer in [
            "HTTP/1.1 206 Partial Content\r\ncontent-length: 2\r\nconnection: close\r\n\r\nng",
            "HTTP/1.1 200 OK\r\ncontent-range: bytes 2-3/4\r\ncontent-length: 2\r\nconnection: close\r\n\r\nng",
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\nng",
        ] {
            for component in ["body", "streams"] {
                let origin = HandOrigin::start().await;
                let file = GatewayFile::new().plus(&guest(component, "a:pong>other"));
                let (_place, gateway) = before(&origin.url(), GUARDED, file).await;
                origin.answers(answer);
                let ask = gateway.client().get("/x").token(&acme()).header("range", "bytes=2-3");
                ask.send().await.refused(502, "bad-gateway");
            }
        }
    });
}

#[test]
fn a_body_with_two_types_or_a_coding_is_not_looked_into() {
    run(async {
        let chunks = GatewayFile::new().plus(&guest("streams", "q:ping>pong"));
        let body = GatewayFile::new().plus(&guest("body", "q:ping>pong"));
        for file in [sealing(GatewayFile::new()), body, chunks] {
            let origin = Origin::start().await;
            let (_place, gateway) = before(&origin.url(), GUARDED, file).await;
            let ask =
                || gateway.client().post("/x").token(&acme()).body("{}").header("content-type", "application/json");
            ask().header("content-type", "text/plain").send().await.refused(400, "bad-request");
            ask().header("content-encoding", "gzip").send().await.refused(415, "unsupported-encoding");
            ask().send().await.ok();
            assert_eq!(origin.seen().len(), 1);
        }
    });
}

#[test]
fn a_refusal_of_a_part_counts_though_somebody_behind_answers() {
    run(async {
        let origin = Origin::start().await;
        let component = assets::plugin("wasi-middleware");
        let file = GatewayFile::new().plus(&guest("streams", "q:secret>!refuse")).plus(&format!(
            "[[functions]]\nname = \"middleware\"\ncomponent = {component:?}\ngrants = [\"wasi-http\", \"clocks\", \"random\", \"stdio\"]\n\
             origins = [\"http://127.0.0.1:1\"]"
        ));
        let keys = format!("{GUARDED}\nmiddleware = [\"middleware\"]");
        let (_place, gateway) = before(&origin.url(), &keys, file).await;
        let send = async |body: &'static str| {
            let ask = gateway.client().post("/x").token(&acme()).header("x-middleware", "fall-back");
            ask.body(body).send().await
        };
        let refused = send("a secret").await;
        assert_eq!(refused.refused(403, "forbidden").json()["plugin"], "guest");
        send("a word").await.ok();
        gateway.stop().await;
    });
}

#[test]
fn a_refusal_of_a_late_part_cuts_the_answer_that_came_early() {
    run(async {
        let origin = HandOrigin::start().await;
        let file = GatewayFile::new().plus(&guest("streams", "q:secret>!refuse"));
        let (_place, gateway) = before(&origin.url(), GUARDED, file).await;
        let client = Streaming::to(&gateway).await;
        let token = acme();
        let (body, response) = client.post("/x", &token, &[]);
        body.send("good").await.unwrap();
        let mut talk = origin.meets().await;
        talk.until("good").await;
        talk.says(CHUNKED).await;
        talk.chunk("half").await;
        let mut response = response.await.unwrap();
        assert_eq!(response.next().await.unwrap().unwrap(), "half");
        body.send("secret").await.unwrap();
        assert!(response.rest().await.is_err());
        assert!(!talk.rest().await.contains("secret"));
    });
}

/// Fields that no head may have that comes through a policy.
const FORGED: [&str; 6] = ["authorization", "forwarded", "x-forwarded-for", "forebay-tenant", "cookie", "x-mine"];

fn fields(names: &[&'static str]) -> HeaderMap {
    names.iter().map(|name| (name.parse().unwrap(), "forged".parse().unwrap())).collect()
}

#[test]
fn trailers_say_nothing_that_a_head_could_not() {
    run(async {
        let names = "authorization, forwarded, x-forwarded-for, forebay-tenant, cookie, x-mine, x-check";
        for (file, keys) in [
            (GatewayFile::new(), "policies = [\"access\"]"),
            (GatewayFile::new().plus(&guest("streams", "q:ping>pong")), GUARDED),
        ] {
            let origin = HandOrigin::start().await;
            let (_place, gateway) = before(&origin.url(), keys, file).await;
            let client = Streaming::to(&gateway).await;
            let token = acme();
            let (body, response) = client.post("/x", &token, &[("trailer", names), ("x-mine", "as judged")]);
            body.send("data").await.unwrap();
            body.send_trailers(fields(&[&FORGED[..], &["x-check"]].concat())).await.unwrap();
            body.finish();
            let mut talk = origin.meets().await;
            let heard = talk.until("x-check: forged").await;
            assert_eq!(heard.matches("forged").count(), 1, "{heard}");
            talk.says(&CHUNKED.replace("\r\n\r\n", &format!("\r\ntrailer: {names}\r\n\r\n"))).await;
            talk.chunk("done").await;
            talk.says("0\r\nforebay-region: forged\r\nset-cookie: forged\r\nx-check: 1\r\n\r\n").await;
            let (text, back) = response.await.unwrap().rest().await.unwrap();
            assert_eq!((text.as_str(), &back["x-check"]), ("done", &"1".parse::<http::HeaderValue>().unwrap()));
            assert!(!back.contains_key("forebay-region") && !back.contains_key("set-cookie"), "{back:?}");
        }
    });
}

#[test]
fn trailers_that_no_plugin_looks_into_do_not_pass_one_that_looks_into_bodies() {
    run(async {
        let origin = HandOrigin::start().await;
        let file =
            GatewayFile::new().plus(&plugin("redact", "\"http\", \"body\", \"metrics\"", "patterns = [\"email\"]"));
        let (_place, gateway) = before(&origin.url(), GUARDED, file).await;
        let client = Streaming::to(&gateway).await;
        let token = acme();
        let sent = [("trailer", "x-note"), ("content-type", "text/plain")];
        let (body, response) = client.post("/x", &token, &sent);
        body.send("data ").await.unwrap();
        body.send_trailers([("x-note".parse().unwrap(), "ada@example.org".parse().unwrap())].into_iter().collect())
            .await
            .unwrap();
        body.finish();
        let mut talk = origin.meets().await;
        let heard = talk.until("\r\n0\r\n\r\n").await;
        assert!(!heard.contains("ada@example.org"), "{heard}");
        talk.says(&CHUNKED.replace("\r\n\r\n", "\r\ntrailer: x-note\r\ncontent-type: text/plain\r\n\r\n")).await;
        talk.chunk("done").await;
        talk.says("0\r\nx-note: ada@example.org\r\n\r\n").await;
        let (text, trailers) = response.await.unwrap().rest().await.unwrap();
        assert_eq!((text.as_str(), trailers), ("done", HeaderMap::new()));
    });
}

#[test]
fn a_body_behind_a_get_reaches_its_origin() {
    run(async {
        let chunks = GatewayFile::new().plus(&guest("streams", "q:ping>pong"));
        for (file, keys, expected) in
            [(GatewayFile::new(), "policies = [\"access\"]", "a ping"), (chunks, GUARDED, "a pong")]
        {
            let origin = Origin::start().await;
            let (_place, gateway) = before(&origin.url(), keys, file).await;
            let head = format!("GET /x HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n", acme());
            for framed in
                ["transfer-encoding: chunked\r\n\r\n6\r\na ping\r\n0\r\n\r\n", "content-length: 6\r\n\r\na ping"]
            {
                let mut raw = gateway.raw().await;
                raw.send(format!("{head}{framed}").as_bytes()).await;
                let answer = raw.until(expected).await;
                assert_eq!(statuses(&answer), [200], "{answer}");
                assert_eq!(origin.seen().pop().unwrap().body, expected, "{framed}");
            }
            gateway.client().get("/x").token(&acme()).send().await.ok();
            let seen = origin.seen().pop().unwrap();
            assert!(seen.body.is_empty() && !seen.headers.contains_key("transfer-encoding"), "{seen:?}");
        }
    });
}

#[test]
fn requests_that_are_read_in_two_ways_or_echo_are_refused() {
    run(async {
        let origin = Origin::start().await;
        let (_place, gateway) = before(&origin.url(), PUBLIC, GatewayFile::new()).await;
        for client in [gateway.client(), gateway.http1()] {
            for path in ["/a;b/c", "/a/..;/b", "/;x"] {
                client.get(path).send().await.refused(400, "bad-request");
            }
            client.get("/a%3Bb").send().await.ok();
            let refused = client.ask(Method::TRACE, "/").send().await;
            refused.refused(405, "method-not-allowed");
            assert!(!refused.header("allow").contains("TRACE"));
        }
    });
}

#[test]
fn a_refusal_is_never_kept_by_a_cache() {
    run(async {
        let origin = Origin::start().await;
        let keys =
            "policies = [\"access\", \"guest\"]\nresponse_headers = { \"cache-control\" = \"public, max-age=60\" }";
        let cors = plugin("cors", "\"http\"", "origins = [\"https://app.test\"]\nmethods = [\"PUT\"]");
        let (_place, gateway) =
            before(&origin.url(), "policies = [\"guest\", \"access\"]", GatewayFile::new().plus(&cors)).await;
        let ask = gateway.client().ask(Method::OPTIONS, "/x").header("origin", "https://app.test");
        let preflight = ask.header("access-control-request-method", "PUT").send().await;
        assert_eq!((preflight.status, preflight.header("cache-control")), (200, "no-store"), "{preflight:?}");

        let (_place, gateway) = before(&origin.url(), keys, GatewayFile::new().plus(&cors)).await;
        gateway.client().get("/x").send().await.refused(401, "missing-credentials");
        let answer = gateway.client().get("/x").token(&acme()).send().await.ok();
        assert_eq!(answer.header("cache-control"), "public, max-age=60");
    });
}

#[test]
fn plugins_see_and_change_what_kind_of_answer_it_is() {
    run(async {
        let place = Place::new();
        let region = &house().await.eu;
        let set = "response = { set = { \"content-type\" = \"application/vnd.test+json\" } }";
        let file = GatewayFile::new().region("eu", &region.url(), "eu").plus(&plugin("headers", "\"http\"", set));
        let gateway = file.route("infer", "", GUARDED).start(&place).await;
        let live = gateway.client().get("/v2/health/live").token(&acme()).send().await.ok();
        assert_eq!(
            (live.header("content-type"), live.json()["live"].as_bool()),
            ("application/vnd.test+json", Some(true))
        );
        let question = forebay_tests::questions::matmul(0.5);
        let answer = gateway.client().infer("", "matmul", &question).token(&acme()).send().await.ok();
        assert_eq!(answer.header("content-type"), "application/vnd.test+json");
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    });
}

#[test]
fn how_long_decisions_took_is_told_only_where_the_route_says_so() {
    run(async {
        let origin = Origin::start().await;
        for (keys, told) in [("", false), ("\nserver_timing = \"coarse\"", false), ("\nserver_timing = \"full\"", true)]
        {
            let keys = format!("policies = [\"access\"]{keys}");
            let (_place, gateway) = before(&origin.url(), &keys, GatewayFile::new()).await;
            let answer = gateway.client().get("/x").token(&acme()).send().await.ok();
            let timing = answer.header("server-timing");
            assert!(timing.contains("total;dur=") && timing.contains("forward;dur="), "{timing}");
            assert_eq!((timing.contains("identity"), timing.contains("policy-request")), (told, told), "{timing}");
            assert_eq!(timing.contains('.'), told, "{timing}");
        }
    });
}
