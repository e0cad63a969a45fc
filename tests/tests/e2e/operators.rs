//! What operators can see, ask and tell, and what no log may hold.

use forebay_tests::fakes::{Behaviour, FakeRegion, GOOD_ANSWER};
use forebay_tests::identity::{AUDIENCE, ISSUER, jwks};
use forebay_tests::questions::{matmul, texts};
use forebay_tests::region::RegionFile;
use forebay_tests::{Client, GatewayFile, Place, Process, Token, eventually, run};
use serde_json::Value;

use super::house::acme;
use super::lifecycle::{GUARDED, PROGRAM, forebay, serve};

#[test]
fn operators_see_what_the_node_sees() {
    run(async {
        let place = Place::new();
        let region = FakeRegion::start("eu", Behaviour::Answers(200, GOOD_ANSWER.to_owned())).await;
        let file = GatewayFile::new().region("eu", &region.url(), "eu").route(
            "infer",
            "",
            &format!("{GUARDED}\ncache = {{ ttl_s = 300 }}"),
        );
        let gateway = file.start(&place).await;
        let admin = gateway.admin();
        assert_eq!(admin.get("/healthz").send().await.ok().body, "ok\n");
        assert_eq!(admin.get("/readyz").send().await.ok().body, "ready\n");
        for _ in 0..2 {
            gateway.client().infer("", "matmul", &matmul(0.5)).token(&acme()).send().await.ok();
        }
        for (series, value) in [
            ("forebay_requests_total{route=\"infer\",status=\"200\",reason=\"none\"}", 2.0),
            ("forebay_cache_total{result=\"hit\"}", 1.0),
            ("forebay_cache_total{result=\"miss\"}", 1.0),
            ("forebay_region_requests_total{region=\"eu\",outcome=\"ok\"}", 1.0),
            ("forebay_region_up{region=\"eu\"}", 1.0),
            ("forebay_requests_in_work", 0.0),
        ] {
            eventually(series, || async { gateway.metric(series).await == Some(value) }).await;
        }
        let metrics = admin.get("/metrics").send().await.ok();
        assert!(metrics.body.ends_with(b"# EOF\n"), "OpenMetrics ends with EOF");

        let status = admin.get("/v1/status").send().await.ok().json();
        assert_eq!((&status["pop"], &status["draining"]), (&"pop".into(), &Value::Bool(false)));
        assert_eq!(status["routes"][0]["name"], "infer");
        assert_eq!(status["regions"][0]["jurisdiction"], "eu");
        let plugins = admin.get("/v1/plugins").send().await.ok().json();
        let access = plugins.as_array().unwrap().iter().find(|plugin| plugin["name"] == "access").unwrap();
        assert_eq!(access["imports"], serde_json::json!(["http", "identity"]));
        assert_eq!(access["digest"].as_str().unwrap().len(), 64);

        admin.get("/v1/nothing").send().await.refused(404, "not-found");
        let answer = admin.get("/v1/drain").send().await;
        answer.refused(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), "POST");
    });
}

#[test]
fn the_admin_api_answers_no_browser() {
    run(async {
        let place = Place::new();
        let gateway = GatewayFile::new().start(&place).await;
        let admin = gateway.admin();
        for host in ["evil.test", "localhost.evil.test", "10.0.0.1", "127.0.0.1.evil.test"] {
            admin.get("/v1/status").header("host", host).send().await.refused(403, "forbidden");
            admin.post("/v1/drain").header("host", host).send().await.refused(403, "forbidden");
        }
        for origin in ["https://evil.test", "http://localhost", "null"] {
            admin.post("/v1/drain").header("origin", origin).send().await.refused(403, "forbidden");
        }
        for host in ["localhost", "localhost:9901", "[::1]", "127.0.0.1:1"] {
            admin.get("/v1/status").header("host", host).send().await.ok();
        }
        assert_eq!(admin.get("/healthz").send().await.ok().body, "ok\n", "it must not drain");
    });
}

#[test]
fn commands_speak_to_a_running_node() {
    run(async {
        let place = Place::new();
        let region = FakeRegion::start("eu", Behaviour::Hangs).await;
        let file = GatewayFile::new().region("eu", &region.url(), "eu").route("infer", "", GUARDED);
        let mut gateway = serve(&place, &file);
        let admin = gateway.admin_url().await;
        let (code, said) = forebay(&["status", "--admin", &admin]).await;
        assert!(code == 0 && said.contains("PoP pop") && said.contains("eu"), "{said}");
        let (code, said) = forebay(&["status", "--admin", &admin, "--json"]).await;
        assert_eq!(code, 0, "{said}");
        assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["regions"][0]["name"], "eu");
        let (code, said) = forebay(&["drain", "--admin", &admin]).await;
        assert_eq!(code, 0, "{said}");
        assert_eq!(gateway.ended().await, 0);
        let (code, said) = forebay(&["status", "--admin", &admin]).await;
        assert!(code == 1 && said.contains("is the node running"), "{said}");
    });
}

#[test]
fn keys_are_made_and_shown_to_their_tenant() {
    run(async {
        let place = Place::new();
        let config = place.write("forebay.toml", &GatewayFile::new().text());
        let config = config.to_str().unwrap();
        let show = ["key", "show", "--config", config, "--name", "client", "--tenant", "acme"];
        let (code, said) = forebay(&show).await;
        assert_eq!((code, said.trim()), (0, place.keyring().jwk("client", "acme").unwrap().as_str()));
        let new = place.file("new.key");
        let (code, _) = forebay(&["key", "new", new.to_str().unwrap()]).await;
        assert_eq!(code, 0);
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&new).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let (code, said) = forebay(&["key", "new", new.to_str().unwrap()]).await;
        assert_eq!(code, 1, "a key must not be overwritten: {said}");
    });
}

#[test]
fn every_request_has_one_line_also_one_whose_client_left() {
    run(async {
        let place = Place::new();
        let region = FakeRegion::start("eu", Behaviour::Waits).await;
        let file = GatewayFile::new().region("eu", &region.url(), "eu").route("infer", "", GUARDED);
        let mut gateway = serve(&place, &file);
        let (client, token) = (gateway.client().await, acme());
        let ask = || client.infer("", "matmul", &matmul(0.5)).token(&token).send();
        let leaver = tokio::spawn(ask());
        eventually("it is at the region", || async { region.asked() == 1 }).await;
        leaver.abort();
        eventually("its line", || async { gateway.log().contains("\"status\":499") }).await;
        region.release();
        ask().await.ok();
        client.infer("", "matmul", &matmul(0.5)).send().await.refused(401, "missing-credentials");
        client.get("/nowhere").send().await.refused(404, "not-found");
        gateway.signal("TERM").await;
        assert_eq!(gateway.ended().await, 0);
        let log = gateway.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let statuses: Vec<_> =
            lines.filter(|line| line["target"] == "access").map(|line| line["status"].clone()).collect();
        assert_eq!(statuses, [499, 200, 401, 404]);
    });
}

#[test]
fn a_development_token_opens_the_door() {
    run(async {
        let place = Place::new();
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let key = place.write("dev.pem", &pair.serialize_pem());
        let arguments = ["token", "--key", key.to_str().unwrap(), "--kid", "es", "--issuer", ISSUER];
        let more = ["--audience", AUDIENCE, "--tenant", "acme", "--scope", "infer"];
        let (code, token) = forebay(&[&arguments[..], &more].concat()).await;
        assert_eq!(code, 0, "{token}");
        let encoding = jsonwebtoken::EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&encoding, jsonwebtoken::Algorithm::ES256).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = "es".into();
        place.write("jwks.json", &jwks([jwk]));
        let region = FakeRegion::start("eu", Behaviour::Answers(200, GOOD_ANSWER.to_owned())).await;
        let file = GatewayFile::new().region("eu", &region.url(), "eu").route("infer", "", GUARDED);
        let gateway = file.start(&place).await;
        gateway.client().infer("", "matmul", &matmul(0.5)).token(token.trim()).send().await.ok();
    });
}

/// At the most talkative level, compilers and TLS aside, which log more than a disk takes.
const TALKATIVE: &str = "trace,cranelift=off,cranelift_codegen=off,cranelift_frontend=off,regalloc2=off,wasmtime=off,\
    wasmtime_internal_cranelift=off,wasmtime_internal_cache=off,wasmtime_environ=off,wasmtime_internal_environ=off";

#[test]
fn no_log_line_holds_a_token_or_what_was_asked() {
    const SECRET: &str = "Ada-Weiss-was-admitted";
    run(async {
        let place = Place::new();
        let region = place.write("eu.toml", &RegionFile::new("eu", "eu").real_models().text());
        let region = Process::start(PROGRAM, "region", &place, &region);
        let file = GatewayFile::new()
            .plus(&format!("[telemetry]\nfilter = {TALKATIVE:?}"))
            .region("eu", &region.region_url().await, "eu")
            .route("infer", "", GUARDED)
            .route("sealed", "/sealed", "policies = [\"access\", \"seal\"]");
        let mut gateway = serve(&place, &file);
        let client = gateway.client().await;
        let question = texts(&[SECRET]);
        let tokens = [
            acme(),
            Token::of("acme").with("exp", 1).signed(),
            Token::of("acme").with("iss", "https://nobody.test").signed(),
            Token::of("acme").unsigned(),
            Token::of("acme").header("crit", serde_json::json!(["x"])).signed(),
            "not-quite.a-token.at-all-here".to_owned(),
            format!("{}.{}.{}", "a".repeat(5_000), "b".repeat(4_000), "c".repeat(1_000)),
        ];
        let address = gateway.said("serving").await["address"].as_str().unwrap().parse().unwrap();
        let http1 = Client::http1(address, place.ca_pem());
        for token in &tokens {
            for client in [&client, &http1] {
                client.infer("", "minilm", &question).token(token).send().await;
                client.infer("/sealed", "minilm", &question).token(token).send().await;
            }
        }
        let in_query = client.get("/v2/models/minilm?access_token=query-secret-token").send().await;
        assert_eq!(in_query.status, 401);
        gateway.signal("TERM").await;
        assert_eq!(gateway.ended().await, 0);

        for (node, log) in [("gateway", gateway.log()), ("region", region.log())] {
            assert!(log.lines().count() > 5, "{node} logged nothing");
            for token in &tokens {
                for part in token.split('.').filter(|part| part.len() > 8) {
                    let part = part.get(..64).unwrap_or(part);
                    let line = log.lines().find(|line| line.contains(part));
                    assert_eq!(line, None, "{node} logged a part of a token");
                }
            }
            for secret in [SECRET, "query-secret-token"] {
                let line = log.lines().find(|line| line.contains(secret));
                assert_eq!(line, None, "{node} logged {secret}");
            }
        }
        assert!(gateway.log().contains("\"level\":\"TRACE\""), "the filter was not taken");
    });
}
