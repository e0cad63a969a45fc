//! What is known of tokens beyond their signatures: proofs, certificates and revocations.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use forebay_tests::fakes::{Behaviour, FakeRegion, GOOD_ANSWER, Origin};
use forebay_tests::hand::{HEAD_END, HandOrigin, Streaming};
use forebay_tests::identity::{ISSUER, Prover, now_s, sha256};
use forebay_tests::questions::matmul;
use forebay_tests::sockets::{Left, Socket, SocketOrigin};
use forebay_tests::{Answer, Client, Gateway, GatewayFile, Place, Token, eventually, run};
use http::Method;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::lifecycle::{GUARDED, serve};

const PATH: &str = "/v2/models/matmul/infer";
const INVALID: &str =
    "Bearer realm=\"forebay\", error=\"invalid_token\", error_description=\"the access token is not valid here\"";
const ALGS: &str = "algs=\"ES256 ES384 EdDSA PS256 RS256\"";
const JWKS_FILE: &str = "jwks_file = \"jwks.json\"";

/// A gateway with one guarded route before a region that answers at once.
struct House {
    gateway: Gateway,
    place: Place,
    _region: FakeRegion,
}

async fn house(file: impl FnOnce(GatewayFile, &Place) -> GatewayFile) -> House {
    let place = Place::new();
    let region = FakeRegion::start("eu", Behaviour::Answers(200, GOOD_ANSWER.to_owned())).await;
    let file = file(GatewayFile::new(), &place).region("eu", &region.url(), "eu").route("infer", "", GUARDED);
    House { gateway: file.start(&place).await, place, _region: region }
}

impl House {
    /// Asks with a token and, beside it, these fields.
    async fn ask(&self, client: &Client, fields: &[(&str, &str)]) -> Answer {
        let ask = client.infer("", "matmul", &matmul(0.5));
        fields.iter().fold(ask, |ask, (name, value)| ask.header(name, value)).send().await
    }

    async fn bearer(&self, token: &str) -> Answer {
        self.ask(&self.gateway.client(), &[("authorization", &format!("Bearer {token}"))]).await
    }

    async fn dpop(&self, token: &str, proof: &str) -> Answer {
        self.gateway.client().infer("", "matmul", &matmul(0.5)).proved(token, proof).send().await
    }
}

fn bound_to(prover: &Prover) -> String {
    Token::of("acme").with("cnf", json!({"jkt": prover.thumbprint()})).signed()
}

fn challenges(answer: &Answer) -> Vec<&str> {
    answer.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect()
}

#[track_caller]
fn invalid(what: &str, answer: &Answer, expected: &[String]) {
    assert_eq!(answer.verdict(), (401, "invalid-token".to_owned()), "{what}");
    assert_eq!(challenges(answer), expected, "{what}");
}

#[test]
fn a_token_bound_to_a_key_is_good_with_a_proof_and_never_without() {
    run(async {
        let house = house(|file, _| file).await;
        let (prover, thief) = (Prover::new(), Prover::new());
        let token = bound_to(&prover);
        let url = house.gateway.url(PATH);
        let proof = || prover.proof("POST", &url, &token);

        house.dpop(&token, &proof().signed()).await.ok();
        house.dpop(&token, &proof().with("htu", format!("{url}?a=b")).signed()).await.ok();
        let over_http1 = house.gateway.http1().infer("", "matmul", &matmul(0.5));
        over_http1.proved(&token, &proof().signed()).send().await.ok();

        // Without, or as somebody else's: the bearer is told that proofs exist.
        let offered = [INVALID.to_owned(), format!("DPoP {ALGS}")];
        invalid("as a bearer's", &house.bearer(&token).await, &offered);
        let fields = [("authorization", format!("Bearer {token}")), ("dpop", proof().signed())];
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        invalid("as a bearer's with a proof", &house.ask(&house.gateway.client(), &fields).await, &offered);
        let scheme = format!("DPoP {token}");
        let none = house.ask(&house.gateway.client(), &[("authorization", &scheme)]).await;
        let as_dpop = INVALID.replacen("Bearer", "DPoP", 1);
        invalid("no proof", &none, &[format!("{as_dpop}, {ALGS}")]);

        let used = proof().signed();
        house.dpop(&token, &used).await.ok();
        let two = [("authorization", scheme.as_str()), ("dpop", &proof().signed()), ("dpop", &proof().signed())]
            .map(|(name, value)| (name, value.to_owned()));
        let two: Vec<_> = two.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let at_fault = [format!("DPoP realm=\"forebay\", error=\"invalid_dpop_proof\", {ALGS}")];
        invalid("two proofs", &house.ask(&house.gateway.client(), &two).await, &at_fault);
        for (what, wrong) in [
            ("one that came before", used),
            ("rubbish", "rubbish".to_owned()),
            ("a thief's", thief.proof("POST", &url, &token).signed()),
            ("for another method", proof().with("htm", "GET").signed()),
            ("for another path", proof().with("htu", house.gateway.url("/v2/models/other/infer")).signed()),
            ("for another host", proof().with("htu", format!("https://evil.test{PATH}")).signed()),
            ("for no TLS", proof().with("htu", url.replacen("https", "http", 1)).signed()),
            ("for another token", prover.proof("POST", &url, "another").signed()),
            ("made too long ago", proof().with("iat", now_s() - 300).signed()),
            ("made too early", proof().with("iat", now_s() + 300).signed()),
            ("of another type", proof().header("typ", "JWT").signed()),
            ("without a signature", proof().header("alg", "none").signed()),
            ("with a shared secret", proof().header("alg", "HS256").signed()),
            ("with a critical extension", proof().header("crit", json!(["exp"])).signed()),
        ] {
            invalid(what, &house.dpop(&token, &wrong).await, &at_fault);
        }
        let replayed = "forebay_unidentified_total{reason=\"proof-replayed\"}";
        assert_eq!(house.gateway.metric(replayed).await, Some(1.0));
        // What was refused was not spent, and the token is still good.
        house.dpop(&token, &proof().signed()).await.ok();

        // A scope is missing whatever the scheme; the challenge has the scheme that was used.
        let unscoped =
            Token::of("acme").with("scope", "read").with("cnf", json!({"jkt": prover.thumbprint()})).signed();
        let answer = house.dpop(&unscoped, &prover.proof("POST", &url, &unscoped).signed()).await;
        answer.refused(403, "forbidden");
        let scope = "DPoP realm=\"forebay\", error=\"insufficient_scope\", scope=\"infer\"";
        assert_eq!(challenges(&answer), [format!("{scope}, {ALGS}")]);
    });
}

#[test]
fn issuers_may_want_proofs_or_take_none() {
    run(async {
        let prover = Prover::new();
        let (token, plain) = (bound_to(&prover), Token::of("acme").signed());
        let wants = house(|file, _| file.issuer_keys(&format!("{JWKS_FILE}\ndpop = \"required\""))).await;
        let proof = |house: &House, token: &str| prover.proof("POST", &house.gateway.url(PATH), token).signed();
        wants.dpop(&token, &proof(&wants, &token)).await.ok();
        let offer = format!("DPoP {ALGS}");
        invalid("unbound", &wants.bearer(&plain).await, &[INVALID.to_owned(), offer.clone()]);
        let stranger = wants.ask(&wants.gateway.client(), &[]).await;
        stranger.refused(401, "missing-credentials");
        assert_eq!(challenges(&stranger), ["Bearer realm=\"forebay\"", &offer]);

        let takes_none = house(|file, _| file.issuer_keys(&format!("{JWKS_FILE}\ndpop = \"off\""))).await;
        takes_none.bearer(&plain).await.ok();
        takes_none.bearer(&token).await.refused(401, "invalid-token");
        takes_none.dpop(&token, &proof(&takes_none, &token)).await.refused(401, "invalid-token");
    });
}

#[test]
fn a_proof_is_for_this_node_as_its_operator_names_it() {
    run(async {
        let prover = Prover::new();
        let token = bound_to(&prover);
        let house = house(|file, _| file.listen("origins = [\"https://API.forebay.test\"]")).await;
        let named = prover.proof("POST", &format!("https://api.forebay.test:443{PATH}"), &token);
        house.dpop(&token, &named.signed()).await.ok();
        // A proof that was made for somebody else's server, sent here under that name.
        let elsewhere = prover.proof("POST", &house.gateway.url(PATH), &token).signed();
        house.dpop(&token, &elsewhere).await.refused(401, "invalid-token");
    });
}

#[test]
fn a_nonce_of_this_node_is_asked_for_and_then_taken() {
    run(async {
        let prover = Prover::new();
        let token = bound_to(&prover);
        let house = house(|file, _| file.issuer_keys(&format!("{JWKS_FILE}\ndpop_nonce = true"))).await;
        let proof = || prover.proof("POST", &house.gateway.url(PATH), &token);
        let answer = house.dpop(&token, &proof().signed()).await;
        answer.refused(401, "invalid-token");
        let challenge = "DPoP error=\"use_dpop_nonce\", error_description=\"the proof needs a nonce of this node\"";
        assert_eq!(challenges(&answer), [challenge]);
        let nonce = answer.header("dpop-nonce").to_owned();
        house.dpop(&token, &proof().with("nonce", nonce.clone()).signed()).await.ok();
        let forged = house.dpop(&token, &proof().with("nonce", format!("{nonce}AA")).signed()).await;
        forged.refused(401, "invalid-token");
        assert!(!forged.header("dpop-nonce").is_empty());
    });
}

#[test]
fn no_plugin_and_no_origin_sees_a_proof() {
    run(async {
        let (place, origin, prover) = (Place::new(), Origin::start().await, Prover::new());
        let gateway = GatewayFile::new()
            .origin("site", "/site/", &origin.url(), "policies = [\"access\"]")
            .origin("trusted", "/trusted/", &origin.url(), "policies = [\"access\"]\nforward_authorization = true")
            .start(&place)
            .await;
        let token = bound_to(&prover);
        for path in ["/site/a", "/trusted/a"] {
            let proof = prover.proof("GET", &gateway.url(path), &token).signed();
            gateway.client().get(path).proved(&token, &proof).send().await.ok();
        }
        let seen = origin.seen();
        assert!(!seen[0].headers.contains_key("dpop") && !seen[0].headers.contains_key("authorization"));
        assert!(seen[1].headers.contains_key("dpop") && seen[1].headers.contains_key("authorization"));
    });
}

#[test]
fn a_token_bound_to_a_certificate_is_good_over_its_connection_only() {
    run(async {
        let house = house(|file, _| file.listen("client_ca = \"ca.pem\"\nclient_certificates = \"optional\"")).await;
        let client_of = |name: &str| {
            let (certificate, key) = house.place.authority().issue_client(name).unwrap();
            let der = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let (certificate, key) = (
                house.place.write(&format!("{name}.pem"), &certificate),
                house.place.write(&format!("{name}.key"), &key),
            );
            (house.gateway.client_as(&certificate, &key), sha256(&der))
        };
        let ((ann, ann_print), (bob, _)) = (client_of("ann"), client_of("bob"));
        let token = Token::of("acme").with("cnf", json!({"x5t#S256": ann_print})).signed();
        let fields = [("authorization", format!("Bearer {token}"))];
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        for _ in 0..2 {
            house.ask(&ann, &fields).await.ok();
        }
        // A second connection resumes the session, and with it the certificate.
        let again = house.place.file("ann.pem");
        house.ask(&house.gateway.client_as(&again, &house.place.file("ann.key")), &fields).await.ok();
        invalid("another's certificate", &house.ask(&bob, &fields).await, &[INVALID.to_owned()]);
        invalid("no certificate", &house.bearer(&token).await, &[INVALID.to_owned()]);
        // A token that is bound to nothing needs none.
        house.bearer(&Token::of("acme").signed()).await.ok();
        let plain = format!("Bearer {}", Token::of("acme").signed());
        house.ask(&bob, &[("authorization", &plain)]).await.ok();
        // Bound to both: both are needed.
        let prover = Prover::new();
        let both = json!({"x5t#S256": ann_print, "jkt": prover.thumbprint()});
        let both = Token::of("acme").with("cnf", both).signed();
        let proof = || prover.proof("POST", &house.gateway.url(PATH), &both).signed();
        ann.infer("", "matmul", &matmul(0.5)).proved(&both, &proof()).send().await.ok();
        bob.infer("", "matmul", &matmul(0.5)).proved(&both, &proof()).send().await.refused(401, "invalid-token");
        ann.infer("", "matmul", &matmul(0.5)).token(&both).send().await.refused(401, "invalid-token");
    });
}

#[test]
fn a_binding_that_cannot_be_checked_is_refused() {
    run(async {
        let house = house(|file, _| file).await;
        for cnf in
            [json!({"jwk": {}}), json!({}), json!("x"), json!({"jkt": 1}), json!({"x5t#S256": "short"}), Value::Null]
        {
            let token = Token::of("acme").with("cnf", cnf.clone()).signed();
            assert_eq!(house.bearer(&token).await.verdict(), (401, "invalid-token".to_owned()), "{cnf}");
        }
        // Nobody asks for certificates here, so none can have been shown.
        let token = Token::of("acme").with("cnf", json!({"x5t#S256": URL_SAFE_NO_PAD.encode([1; 32])})).signed();
        house.bearer(&token).await.refused(401, "invalid-token");
    });
}

#[test]
fn a_node_may_let_in_nobody_without_a_certificate() {
    run(async {
        let house = house(|file, _| file.listen("client_ca = \"ca.pem\"\nclient_certificates = \"required\"")).await;
        let stranger = house.gateway.client().get("/v2/health/live").try_send().await;
        assert!(stranger.is_err(), "{stranger:?}");
        let (certificate, key) = house.place.authority().issue_client("ann").unwrap();
        let (certificate, key) = (house.place.write("ann.pem", &certificate), house.place.write("ann.key", &key));
        let ann = house.gateway.client_as(&certificate, &key);
        let token = format!("Bearer {}", Token::of("acme").signed());
        house.ask(&ann, &[("authorization", &token)]).await.ok();
    });
}

#[test]
fn a_revocation_holds_from_the_next_request_on() {
    run(async {
        let house = house(|file, _| file).await;
        let admin = house.gateway.admin();
        let token = Token::of("acme").with("jti", "j 1").signed();
        let other = Token::of("globex").with("jti", "j2").signed();
        let path = "/v1/revocations";
        for (name, value, query) in [("jti", "j 1", "jti=j%201"), ("sub", "acme", "sub=acme"), ("kid", "es", "kid=es")]
        {
            house.bearer(&token).await.ok();
            let entry = json!({"issuer": ISSUER, name: value, "until": now_s() + 600});
            let told = admin.post(path).json(&entry).send().await.ok().json();
            assert_eq!(told["revoked"], entry);
            house.bearer(&token).await.refused(401, "invalid-token");
            let others = house.bearer(&other).await;
            assert_eq!(others.status, if name == "kid" { 401 } else { 200 });
            let listed = admin.get(path).send().await.ok().json();
            assert_eq!(listed, json!({"told": [entry], "in_file": 0}));
            let taken = format!("{path}?issuer={}&{query}", ISSUER.replace(':', "%3A"));
            admin.ask(Method::DELETE, &taken).send().await.ok();
            admin.ask(Method::DELETE, &taken).send().await.refused(404, "not-found");
        }
        house.bearer(&token).await.ok();
        for wrong in [
            json!({"issuer": ISSUER}),
            json!({"issuer": "https://another.test", "jti": "j"}),
            json!({"issuer": ISSUER, "jti": "j", "sub": "s"}),
            json!([]),
        ] {
            assert_eq!(
                admin.post(path).json(&wrong).send().await.verdict(),
                (400, "bad-request".to_owned()),
                "{wrong}"
            );
        }
        admin.ask(Method::PUT, path).send().await.refused(405, "method-not-allowed");
        admin.ask(Method::DELETE, path).send().await.refused(400, "bad-request");
        let from_a_page = admin.post(path).header("origin", "https://evil.test");
        from_a_page.json(&json!({"issuer": ISSUER, "jti": "j"})).send().await.refused(403, "forbidden");
    });
}

#[test]
fn revocations_are_bounded_and_the_file_is_read_again() {
    run(async {
        let place = Place::new();
        let region = FakeRegion::start("eu", Behaviour::Answers(200, GOOD_ANSWER.to_owned())).await;
        place.write("revoked.jsonl", "# none yet\n");
        let file = GatewayFile::new()
            .plus("[tokens]\nrevocations_file = \"revoked.jsonl\"\nrevocations = 1")
            .region("eu", &region.url(), "eu")
            .route("infer", "", GUARDED);
        let gateway = serve(&place, &file);
        let (client, admin) = (gateway.client().await, gateway.admin().await);
        let (told, filed) =
            (Token::of("acme").with("jti", "told").signed(), Token::of("acme").with("jti", "filed").signed());
        let ask = |token: &str| client.infer("", "matmul", &matmul(0.5)).token(token).send();
        ask(&told).await.ok();
        ask(&filed).await.ok();

        let entry = |jti: &str| json!({"issuer": ISSUER, "jti": jti});
        admin.post("/v1/revocations").json(&entry("told")).send().await.ok();
        let full = admin.post("/v1/revocations").json(&entry("another")).send().await;
        full.refused(503, "overloaded");
        ask(&told).await.refused(401, "invalid-token");
        place.write("revoked.jsonl", &format!("{}\n", entry("filed")));
        ask(&filed).await.ok();
        admin.post("/v1/reload").send().await.ok();
        ask(&filed).await.refused(401, "invalid-token");
        ask(&told).await.refused(401, "invalid-token");
        assert_eq!(admin.get("/v1/revocations").send().await.ok().json()["in_file"], 1);

        place.write("revoked.jsonl", &format!("{}\nrubbish\n", entry("filed")));
        let refused = admin.post("/v1/reload").send().await;
        refused.refused(400, "bad-request");
        assert!(refused.json()["detail"].as_str().unwrap().contains("line 2"), "{refused:?}");
        ask(&filed).await.refused(401, "invalid-token");
    });
}

/// A token that is good for two seconds: the issuer's leeway is five.
fn brief() -> String {
    Token::of("acme").with("exp", now_s() - 3).signed()
}

const SITE: &str = "policies = [\"access\"]";

#[test]
fn a_stream_ends_with_its_token_and_does_not_look_complete() {
    run(async {
        let (place, origin) = (Place::new(), HandOrigin::start().await);
        let file = GatewayFile::new().origin("site", "/site/", &origin.url(), SITE);
        let gateway = file.origin("open", "/open/", &origin.url(), "access = \"public\"").start(&place).await;
        let (client, token) = (Streaming::to(&gateway).await, brief());
        let mut streams = Vec::new();
        for path in ["/site/events", "/open/events"] {
            let client = client.clone();
            let (coming, mut talk) = tokio::join!(client.get(path, &token), async {
                let mut talk = origin.meets().await;
                talk.until(HEAD_END).await;
                talk.says("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
                    .await;
                talk.chunk("data: 1\n\n").await;
                talk
            });
            talk.chunk("data: 2\n\n").await;
            streams.push((coming, talk));
        }
        let (coming, talk) = streams.remove(0);
        assert_eq!(coming.rest().await.unwrap_err(), "data: 1\n\ndata: 2\n\n");
        // The origin hears of it.
        talk.rest().await;
        let cut = "forebay_requests_total{route=\"site\",status=\"200\",reason=\"token-expired\"}";
        eventually("it was counted", || async { gateway.metric(cut).await == Some(1.0) }).await;
        // Where nobody judged who it is, the token does not matter.
        let (coming, mut talk) = streams.remove(0);
        talk.chunk("data: 3\n\n").await;
        talk.says("0\r\n\r\n").await;
        assert_eq!(coming.rest().await.unwrap().0, "data: 1\n\ndata: 2\n\ndata: 3\n\n");
        gateway.stop().await;
    });
}

#[test]
fn a_websocket_ends_with_its_token_and_no_stream_goes_on_for_ever() {
    run(async {
        let (place, origin) = (Place::new(), SocketOrigin::start().await);
        let guarded = format!("{SITE}\nwebsocket = true");
        let file = GatewayFile::new()
            .plus("[limits]\nstream_ms = 4000")
            .origin("guarded", "/guarded/", &origin.url(), &guarded)
            .origin("open", "/open/", &origin.url(), "access = \"public\"\nwebsocket = true");
        let gateway = file.start(&place).await;
        let authorization = format!("Bearer {}", brief());
        let fields = [("authorization", authorization.as_str())];
        let (mut guarded, _) = Socket::open(&gateway, "/guarded/echo", &fields).await.unwrap();
        let (mut open, _) = Socket::open(&gateway, "/open/echo", &fields).await.unwrap();
        assert_eq!((guarded.ask("a").await, open.ask("a").await), ("a".to_owned(), "a".to_owned()));
        let expired = "the access token is not valid any more".to_owned();
        assert_eq!(guarded.left().await, Left::Closed(1008, expired));
        assert_eq!(open.ask("b").await, "b");
        assert_eq!(open.left().await, Left::Closed(1001, "it has been open for as long as it may".to_owned()));
        gateway.stop().await;
    });
}
