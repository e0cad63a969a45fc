//! An issuer's keys behind an address: not to be had, old, and new ones under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use forebay_tests::fakes::{Behaviour, FakeRegion, GOOD_ANSWER, JwksServer};
use forebay_tests::identity::{Signer, jwks};
use forebay_tests::questions::matmul;
use forebay_tests::{GatewayFile, Place, Token, eventually, run};

use super::lifecycle::GUARDED;

#[test]
fn an_issuer_that_cannot_be_reached_is_not_the_callers_fault() {
    run(async {
        let place = Place::new();
        let signer = Signer::es256("first");
        let server = JwksServer::start(&place, String::new()).await;
        server.fail();
        let region = FakeRegion::start("eu", Behaviour::Answers(200, GOOD_ANSWER.to_owned())).await;
        let keys = format!(
            "jwks_url = {:?}\njwks_ca = \"ca.pem\"\njwks_refresh_ms = 1000\njwks_stale_ms = 2000",
            server.url()
        );
        let gateway = GatewayFile::new()
            .issuer_keys(&keys)
            .region("eu", &region.url(), "eu")
            .route("infer", "", GUARDED)
            .route("open", "/open", "access = \"public\"")
            .start(&place)
            .await;
        let client = gateway.client();
        let token = Token::of("acme").signed_by(&signer);
        let ask = |prefix: &str| client.infer(prefix, "matmul", &matmul(0.5)).token(&token).send();
        let answer = ask("").await;
        answer.refused(503, "keys-unavailable");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
        assert!(!answer.headers.contains_key("www-authenticate"));
        // Where nobody asks who it is, nobody is kept out.
        ask("/open").await.ok();
        // What is no token is no token, whoever can be reached.
        let rubbish = client.infer("", "matmul", &matmul(0.5)).token("none.of.these").send().await;
        rubbish.refused(401, "invalid-token");

        server.rotate(jwks([signer.jwk()]));
        eventually("the keys come", || async { ask("").await.status == 200 }).await;
        // Keys that were fetched outlive the issuer for a while, remembered tokens too, and then no longer.
        server.fail();
        eventually("the keys are too old", || async { ask("").await.verdict().1 == "keys-unavailable" }).await;
        server.rotate(jwks([signer.jwk()]));
        eventually("the keys come again", || async { ask("").await.status == 200 }).await;
    });
}

#[test]
fn keys_that_were_fetched_serve_while_the_issuer_fails() {
    run(async {
        let place = Place::new();
        let signer = Signer::es256("first");
        let server = JwksServer::start(&place, jwks([signer.jwk()])).await;
        let region = FakeRegion::start("eu", Behaviour::Answers(200, GOOD_ANSWER.to_owned())).await;
        let keys = format!("jwks_url = {:?}\njwks_ca = \"ca.pem\"\njwks_refresh_ms = 1000", server.url());
        let gateway = GatewayFile::new()
            .issuer_keys(&keys)
            .region("eu", &region.url(), "eu")
            .route("infer", "", GUARDED)
            .start(&place)
            .await;
        let client = gateway.client();
        let ask = |signer: &Signer| {
            client.infer("", "matmul", &matmul(0.5)).token(&Token::of("acme").signed_by(signer)).send()
        };
        server.fail();
        let fetched = server.fetched();
        eventually("fetches fail", || async { server.fetched() > fetched }).await;
        ask(&signer).await.ok();
        // A key that is not known may be a new one, which cannot be asked for now.
        ask(&Signer::es256("second")).await.refused(503, "keys-unavailable");
    });
}

#[test]
fn keys_rotate_under_load_without_a_refusal() {
    run(async {
        let place = Place::new();
        let (first, second) = (Arc::new(Signer::es256("first")), Arc::new(Signer::es256("second")));
        let server = JwksServer::start(&place, jwks([first.jwk()])).await;
        let region = FakeRegion::start("eu", Behaviour::Answers(200, GOOD_ANSWER.to_owned())).await;
        let gateway = GatewayFile::new()
            .issuer_keys(&format!("jwks_url = {:?}\njwks_ca = \"ca.pem\"", server.url()))
            .region("eu", &region.url(), "eu")
            .route("infer", "", GUARDED)
            .start(&place)
            .await;
        let (rotated, with_second) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let client = gateway.client();
                let (first, second) = (Arc::clone(&first), Arc::clone(&second));
                let (rotated, with_second) = (Arc::clone(&rotated), Arc::clone(&with_second));
                tokio::spawn(async move {
                    while with_second.load(Ordering::SeqCst) < 100 {
                        let is_rotated = rotated.load(Ordering::SeqCst);
                        let signer = if is_rotated { &second } else { &first };
                        let token = Token::of("acme").signed_by(signer);
                        client.infer("", "matmul", &matmul(0.5)).token(&token).send().await.ok();
                        if is_rotated {
                            with_second.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                })
            })
            .collect();
        let fetched = server.fetched();
        // The issuer publishes the new key before it signs with it, and keeps the old one for those who have its tokens.
        server.rotate(jwks([first.jwk(), second.jwk()]));
        rotated.store(true, Ordering::SeqCst);
        for client in clients {
            client.await.unwrap();
        }
        assert_eq!(server.fetched(), fetched + 1, "one fetch is enough for all");
    });
}
