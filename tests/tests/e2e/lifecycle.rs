//! Nodes as processes: how they start, what operators can ask and tell them, and how they end.

use forebay_tests::fakes::{Behaviour, FakeRegion, GOOD_ANSWER};
use forebay_tests::questions::{countdown, matmul};
use forebay_tests::region::RegionFile;
use forebay_tests::{Client, GatewayFile, Place, Process, Token, eventually, run};
use serde_json::Value;

use super::house::acme;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_forebay-under-test");

const GUARDED: &str = "policies = [\"access\"]";

/// Starts a gateway as a process.
fn serve(place: &Place, file: &GatewayFile) -> Process {
    let path = place.write("forebay.toml", &file.text());
    Process::start(PROGRAM, "serve", place, &path)
}

async fn forebay(arguments: &[&str]) -> (i32, String) {
    let ended = Process::run(PROGRAM, arguments).await;
    (ended.code, ended.said)
}

#[test]
fn exit_codes_tell_usage_from_failure() {
    run(async {
        let place = Place::new();
        let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let good = path(&place.write("good.toml", &GatewayFile::new().text()));
        let region = path(&place.write("region.toml", &RegionFile::new("eu", "eu").text()));
        let bad =
            path(&place.write("bad.toml", &GatewayFile::new().plus("[limits]\nrequests = 0\nbodybytes = 1").text()));
        let none = path(&place.file("none.toml"));

        for arguments in
            [&["check", "--config", &good][..], &["check", "--config", &region], &["--help"], &["--version"]]
        {
            let (code, said) = forebay(arguments).await;
            assert_eq!(code, 0, "{arguments:?}: {said}");
        }
        for arguments in [
            &["check", "--config", &bad][..],
            &["serve", "--config", &bad],
            &["serve", "--config", &none],
            &["region", "--config", &none],
            &["region", "--config", &good],
            &["check"],
            &["serve", "--confg", &good],
            &["dance"],
            &[],
        ] {
            let (code, said) = forebay(arguments).await;
            assert_eq!(code, 2, "{arguments:?}: {said}");
            assert!(!said.is_empty());
        }

        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let text = GatewayFile::new().text().replacen("127.0.0.1:0", &taken.local_addr().unwrap().to_string(), 1);
        let occupied = path(&place.write("occupied.toml", &text));
        let (code, said) = forebay(&["serve", "--config", &occupied]).await;
        assert_eq!(code, 1, "{said}");
        let missing = path(&place.write("missing.toml", &RegionFile::new("eu", "eu").model("nowhere").text()));
        let (code, said) = forebay(&["region", "--config", &missing]).await;
        assert_eq!(code, 1, "{said}");
    });
}

#[test]
fn every_mistake_of_a_file_is_told_at_once() {
    run(async {
        let place = Place::new();
        let file = GatewayFile::new().plus(
            "[limits]\nrequests = 0\n[[regions]]\nname = \"x\"\nurl = \"http://example.com\"\njurisdiction = \"eu\"\n\
             [[routes]]\nname = \"r\"\npath = \"v2/\"\ndialect = \"oip\"\npolicies = [\"acess\"]",
        );
        let path = place.write("bad.toml", &file.text());
        let (_, said) = forebay(&["check", "--config", path.to_str().unwrap()]).await;
        for expected in ["limits.requests", "regions[0].url", "routes[0].path", "routes[0].policies[0]", "did you mean"]
        {
            assert!(said.contains(expected), "{expected} not in:\n{said}");
        }
    });
}

#[test]
fn sigterm_lets_requests_end_and_takes_no_new_ones() {
    run(async {
        let place = Place::new();
        let region = FakeRegion::start("eu", Behaviour::Waits).await;
        let file = GatewayFile::new().region("eu", &region.url(), "eu").route("infer", "", GUARDED);
        let mut gateway = serve(&place, &file);
        let (client, admin) = (gateway.client().await, gateway.admin().await);
        let token = acme();
        let asking = tokio::spawn(client.infer("", "matmul", &matmul(0.5)).token(&token).send());
        eventually("it is at the region", || async { region.asked() == 1 }).await;

        gateway.signal("TERM").await;
        eventually("the node drains", || async {
            admin.get("/readyz").try_send().await.is_ok_and(|answer| answer.status == 503)
        })
        .await;
        assert_eq!(admin.get("/healthz").send().await.ok().body, "draining\n");
        let another = gateway.client().await;
        assert!(another.get("/v2/health/live").try_send().await.is_err(), "a new connection must be refused");

        region.release();
        assert_eq!(asking.await.unwrap().ok().f32s("y"), [7.5, 10.5]);
        assert_eq!(gateway.ended().await, 0);
        gateway.said("drained").await;
    });
}

#[test]
fn a_region_drains_too() {
    run(async {
        let place = Place::new();
        let file = place.write("eu.toml", &RegionFile::new("eu", "eu").text());
        let mut region = Process::start(PROGRAM, "region", &place, &file);
        let url = region.region_url().await;
        let client = Client::plain(url.trim_start_matches("http://").parse().unwrap());
        let asking = tokio::spawn(client.infer("", "countdown", &countdown(2_000_000)).send());
        eventually("it runs", || async {
            let metrics = client.get("/metrics").send().await.ok();
            String::from_utf8_lossy(&metrics.body).contains("forebay_region_connections 2")
        })
        .await;
        region.signal("TERM").await;
        let answer = asking.await.unwrap();
        assert!(answer.status == 200 || answer.verdict().1 == "draining", "{answer:?}");
        assert_eq!(region.ended().await, 0);
    });
}

#[test]
fn sighup_takes_a_good_file_and_refuses_a_bad_one() {
    run(async {
        let place = Place::new();
        let region = FakeRegion::start("eu", Behaviour::Answers(200, GOOD_ANSWER.to_owned())).await;
        let file = GatewayFile::new().region("eu", &region.url(), "eu").route("infer", "", GUARDED);
        let gateway = serve(&place, &file);
        let (client, admin) = (gateway.client().await, gateway.admin().await);
        let token = acme();
        let ask = |prefix: &'static str| client.infer(prefix, "matmul", &matmul(0.5)).token(&token).send();
        ask("").await.ok();
        ask("/more").await.refused(404, "not-found");

        let more = file.route("more", "/more", GUARDED);
        place.write("forebay.toml", &more.text());
        gateway.signal("HUP").await;
        gateway.said("reloaded").await;
        ask("/more").await.ok();

        let wrong_plugin = more.clone().plus("[[plugins]]\nname = \"x\"\ncomponent = \"none.wasm\"").text();
        let wrong_key = more.text().replace("region.key", "none.key");
        for (times, bad) in ["rubbish".to_owned(), wrong_plugin, wrong_key].into_iter().enumerate() {
            place.write("forebay.toml", &bad);
            gateway.signal("HUP").await;
            gateway.said_times("reload refused; the old configuration serves on", times + 1).await;
            ask("/more").await.ok();
            admin.post("/v1/reload").send().await.refused(400, "bad-request");
        }

        place.write(
            "forebay.toml",
            &GatewayFile::new().region("eu", &region.url(), "eu").route("infer", "", GUARDED).text(),
        );
        let (code, said) = forebay(&["reload", "--admin", &gateway.admin_url().await]).await;
        assert_eq!(code, 0, "{said}");
        ask("/more").await.refused(404, "not-found");
        ask("").await.ok();
    });
}

#[test]
fn a_reload_loses_no_request() {
    run(async {
        let place = Place::new();
        let region = FakeRegion::start("eu", Behaviour::Answers(200, GOOD_ANSWER.to_owned())).await;
        let file = GatewayFile::new().region("eu", &region.url(), "eu").route("infer", "", GUARDED);
        let gateway = serve(&place, &file);
        let (client, token) = (gateway.client().await, acme());
        let asking = tokio::spawn(async move {
            let mut answered = 0;
            loop {
                let answer = client.infer("", "matmul", &matmul(0.5)).token(&token).send().await;
                if answer.status != 200 {
                    return (answered, answer);
                }
                answered += 1;
            }
        });
        for times in 1..=3 {
            gateway.signal("HUP").await;
            gateway.said_times("reloaded", times).await;
        }
        assert!(!asking.is_finished(), "{:?}", asking.await);
        asking.abort();
    });
}

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
        let question = forebay_tests::questions::texts(&[SECRET]);
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
                    let part = &part[..part.len().min(64)];
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
