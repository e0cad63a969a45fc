//! Who is let in: tokens good and bad.

use forebay_tests::fakes::{JwksServer, Origin};
use forebay_tests::identity::{AUDIENCE, SIGNERS, Signer, jwks, now_s};
use forebay_tests::questions::matmul;
use forebay_tests::raw::statuses;
use forebay_tests::region::RegionFile;
use forebay_tests::{Answer, GatewayFile, Place, Token, eventually, run};
use serde_json::json;

use super::house::{acme, house};

const NO_TOKEN: &str = "Bearer realm=\"forebay\"";
const EXPIRED: &str =
    "Bearer realm=\"forebay\", error=\"invalid_token\", error_description=\"the access token has expired\"";
const INVALID: &str =
    "Bearer realm=\"forebay\", error=\"invalid_token\", error_description=\"the access token is not valid here\"";

async fn ask_with(authorization: &[&str]) -> Answer {
    let ask = house().await.gateway.client().infer("", "matmul", &matmul(0.5));
    authorization.iter().fold(ask, |ask, value| ask.header("authorization", value)).send().await
}

async fn ask_as(token: &str) -> Answer {
    ask_with(&[&format!("Bearer {token}")]).await
}

#[track_caller]
fn challenged(answer: &Answer, kind: &str, challenge: &str) {
    answer.refused(401, kind);
    assert_eq!(answer.header("www-authenticate"), challenge);
}

#[test]
fn without_a_token_a_caller_is_told_to_bring_one() {
    run(async {
        challenged(&ask_with(&[]).await, "missing-credentials", NO_TOKEN);
        challenged(&ask_with(&["Basic YTpi"]).await, "missing-credentials", NO_TOKEN);
    });
}

#[test]
fn a_good_token_of_every_algorithm_is_let_in() {
    run(async {
        for signer in SIGNERS.iter() {
            let answer = ask_as(&Token::of("acme").signed_by(signer)).await;
            assert_eq!(answer.status, 200, "{}: {answer:?}", signer.algorithm());
        }
        ask_as(&Token::of("acme").with("aud", json!(["another", AUDIENCE])).signed()).await.ok();
        ask_with(&[&format!("bearer {}", acme())]).await.ok();
    });
}

#[test]
fn a_token_that_is_not_one_is_refused() {
    run(async {
        let good = acme();
        let (head, signature) = good.rsplit_once('.').unwrap();
        let long = Token::of("acme").with("padding", "x".repeat(8 * 1024)).signed();
        for (what, token) in [
            ("rubbish", "rubbish".to_owned()),
            ("two parts", head.to_owned()),
            ("four parts", format!("{good}.x")),
            ("an empty signature", format!("{head}.")),
            ("another's signature", format!("{head}.{}", signature.chars().rev().collect::<String>())),
            ("padding", format!("{good}=")),
            ("more than 8 KiB", long),
            ("nothing but dots", "..".to_owned()),
        ] {
            let answer = ask_as(&token).await;
            assert_eq!(answer.verdict(), (401, "invalid-token".to_owned()), "{what}");
            assert_eq!(answer.header("www-authenticate"), INVALID, "{what}");
        }
        challenged(&ask_with(&["Bearer"]).await, "invalid-token", INVALID);
        let twice = format!("Bearer {good}");
        challenged(&ask_with(&[&twice, &twice]).await, "invalid-token", INVALID);
    });
}

#[test]
fn a_token_cannot_choose_how_it_is_verified() {
    run(async {
        let es = &SIGNERS[0];
        let stranger = Signer::es256("es");
        let token = Token::of("acme");
        for (what, forged) in [
            ("alg none", token.unsigned()),
            ("a hash with the public key as its secret", token.hashed_with(es.public_pem().as_bytes(), "es")),
            ("a stranger's key under a known name", token.signed_by(&stranger)),
            ("a key that it brings along", token.clone().header("jwk", stranger.jwk()).signed_by(&stranger)),
            ("a name that no key has", token.clone().header("kid", "nobody").signed()),
            ("another algorithm's key", token.clone().header("kid", "rs").signed()),
            ("another algorithm for the same key", token.clone().header("alg", "PS256").signed_by(&SIGNERS[1])),
            ("an extension it calls critical", token.clone().header("crit", json!(["exp"])).signed()),
        ] {
            let answer = ask_as(&forged).await;
            assert_eq!(answer.verdict(), (401, "invalid-token".to_owned()), "{what}");
            assert_eq!(answer.header("www-authenticate"), INVALID, "{what}");
        }
    });
}

#[test]
fn a_token_for_another_place_or_time_is_refused() {
    run(async {
        let (token, now) = (Token::of("acme"), now_s());
        for (what, claims, challenge) in [
            ("another audience", token.clone().with("aud", "another"), INVALID),
            ("another issuer", token.clone().with("iss", "https://another.test"), INVALID),
            ("not yet valid", token.clone().with("nbf", now + 600), INVALID),
            ("expired", token.clone().with("exp", now - 600), EXPIRED),
            ("no expiry", token.clone().without("exp"), INVALID),
            ("no beginning", token.clone().without("nbf"), INVALID),
            ("no audience", token.clone().without("aud"), INVALID),
            ("no issuer", token.clone().without("iss"), INVALID),
            ("an expiry in words", token.clone().with("exp", "tomorrow"), INVALID),
        ] {
            let answer = ask_as(&claims.signed()).await;
            assert_eq!(answer.verdict(), (401, "invalid-token".to_owned()), "{what}");
            assert_eq!(answer.header("www-authenticate"), challenge, "{what}");
        }
    });
}

#[test]
fn a_token_without_the_scope_is_known_and_may_not() {
    run(async {
        for claims in [
            Token::of("acme").without("scope"),
            Token::of("acme").with("scope", "inference"),
            Token::of("acme").with("scope", "read write"),
        ] {
            let answer = ask_as(&claims.signed()).await;
            answer.refused(403, "forbidden");
            let challenge = "Bearer realm=\"forebay\", error=\"insufficient_scope\", scope=\"infer\"";
            assert_eq!(answer.header("www-authenticate"), challenge);
        }
        ask_as(&Token::of("acme").with("scope", "read infer").signed()).await.ok();
    });
}

#[test]
fn every_path_of_a_guarded_route_is_guarded() {
    run(async {
        let client = house().await.gateway.client();
        for path in ["/v2", "/v2/", "/v2/health/ready", "/v2/models/minilm", "/v2/models/none/ready"] {
            let answer = client.get(path).send().await;
            assert!([401, 404].contains(&answer.status), "{path}: {answer:?}");
        }
        client.get("/v2/models/minilm").send().await.refused(401, "missing-credentials");
        client.get("/v2/models/minilm").token(&acme()).send().await.ok();
    });
}

#[test]
fn a_path_or_method_does_not_get_around_a_policy() {
    run(async {
        let place = Place::new();
        let origin = Origin::start().await;
        let gateway = GatewayFile::new()
            .origin("private", "/private/", &origin.url(), "policies = [\"access\"]\nmethods = [\"POST\"]")
            .origin("site", "/", &origin.url(), "access = \"public\"")
            .start(&place)
            .await;
        let client = gateway.http1();
        for path in [
            "/x/../private/a",
            "/./private/a",
            "//private/a",
            "/%70rivate/a",
            "/private%2fa",
            "/x/%2e%2e/private/a",
            "/x/..%2fprivate/a",
            "/x\\..\\private/a",
            "/private%00/a",
        ] {
            let mut raw = gateway.raw().await;
            let head =
                format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            raw.send(head.as_bytes()).await;
            let answer = raw.rest().await;
            assert_eq!(statuses(&answer), [400], "{path}: {answer}");
        }
        client.post("/private/a").send().await.refused(401, "missing-credentials");
        client.post("/private").send().await.refused(401, "missing-credentials");
        client.get("/private/a").send().await.refused(405, "method-not-allowed");
        assert!(origin.seen().is_empty(), "{:?}", origin.seen());
        client.get("/Private/a").send().await.ok();
        client.post("/private/a").token(&acme()).send().await.ok();
        assert_eq!(origin.seen().len(), 2);
    });
}

#[test]
fn tenants_of_two_issuers_are_two_tenants() {
    run(async {
        let place = Place::new();
        let other = Signer::es256("other");
        place.write("other.json", &jwks([other.jwk()]));
        let region = RegionFile::new("eu", "eu").start(&place).await;
        let gateway = GatewayFile::new()
            .issuer_keys("jwks_file = \"jwks.json\"\ntenant_prefix = \"one/\"")
            .plus(&format!(
                "[[issuers]]\nissuer = \"https://other.test\"\naudiences = [\"{AUDIENCE}\"]\nalgorithms = [\"ES256\"]\n\
                 jwks_file = \"other.json\"\ntenant_prefix = \"other/\""
            ))
            .region("eu", &region.url(), "eu")
            .route("infer", "", "policies = [\"access\"]\ncache = { ttl_s = 300 }")
            .start(&place)
            .await;
        let others = Token::of("acme").with("iss", "https://other.test");
        for (token, cache) in
            [(acme(), "miss"), (acme(), "hit"), (others.signed_by(&other), "miss"), (others.signed_by(&other), "hit")]
        {
            let answer = gateway.client().infer("", "matmul", &matmul(0.5)).token(&token).send().await.ok();
            assert_eq!(answer.cache(), cache);
        }
        // One issuer's key is no key of the other's.
        for forged in [others.signed(), Token::of("acme").signed_by(&other)] {
            let answer = gateway.client().infer("", "matmul", &matmul(0.5)).token(&forged).send().await;
            answer.refused(401, "invalid-token");
        }
    });
}

#[test]
fn who_is_not_let_in_holds_no_place() {
    run(async {
        let place = Place::new();
        let region = RegionFile::new("eu", "eu").start(&place).await;
        let gateway = GatewayFile::new()
            .plus("[limits]\nrequests = 2\nrequest_ms = 60000")
            .region("eu", &region.url(), "eu")
            .route("infer", "", "policies = [\"access\"]")
            .route("open", "/open", "access = \"public\"")
            .start(&place)
            .await;
        let begin = |path: &str, token: &str| {
            let head = format!(
                "POST {path}/v2/models/matmul/infer HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
                 content-length: 100\r\n\r\n{{"
            );
            let connecting = gateway.raw();
            async move {
                let mut raw = connecting.await;
                raw.send(head.as_bytes()).await;
                raw
            }
        };
        let mut strangers = Vec::new();
        for _ in 0..6 {
            let mut raw = begin("", "none.of.these").await;
            assert_eq!(statuses(&raw.until("\r\n\r\n").await), [401]);
            strangers.push(raw);
        }
        let ask = || gateway.client().infer("/open", "matmul", &matmul(0.5)).send();
        ask().await.ok();

        let slow = [begin("/open", "x").await, begin("", &acme()).await];
        eventually("the node is full", || async { ask().await.status == 503 }).await;
        let answer = ask().await;
        answer.refused(503, "overloaded");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
        drop(slow);
        eventually("there is room again", || async { ask().await.status == 200 }).await;
    });
}

#[test]
fn keys_behind_https_are_fetched_and_rotated() {
    run(async {
        let place = Place::new();
        let (first, second, stranger) = (Signer::es256("first"), Signer::es256("second"), Signer::es256("third"));
        let server = JwksServer::start(&place, jwks([first.jwk()])).await;
        let region = RegionFile::new("eu", "eu").start(&place).await;
        let gateway = GatewayFile::new()
            .issuer_keys(&format!("jwks_url = {:?}\njwks_ca = \"ca.pem\"", server.url()))
            .region("eu", &region.url(), "eu")
            .route("infer", "", "policies = [\"access\"]")
            .start(&place)
            .await;
        let client = gateway.client();
        let as_signed_by = |signer: &Signer| {
            client.infer("", "matmul", &matmul(0.5)).token(&Token::of("acme").signed_by(signer)).send()
        };
        as_signed_by(&first).await.ok();

        server.rotate(jwks([second.jwk()]));
        as_signed_by(&second).await.ok();
        as_signed_by(&first).await.refused(401, "invalid-token");
        let fetched = server.fetched();
        for _ in 0..8 {
            as_signed_by(&stranger).await.refused(401, "invalid-token");
        }
        assert_eq!(server.fetched(), fetched, "unknown keys must not make us hammer the issuer");
    });
}
