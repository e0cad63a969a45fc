//! What plugins may do beyond deciding: a guest that uses every capability as its requests tell it, on a whole node.

use forebay_tests::fakes::{Behaviour, FakeRegion, Origin};
use forebay_tests::region::RegionFile;
use forebay_tests::{Answer, Gateway, GatewayFile, Place, Region, Token, assets, eventually, run};
use tokio::sync::OnceCell;

use super::house::acme;
use super::lifecycle::serve;

/// All that the guest imports.
pub(super) const GRANTS: &str =
    "\"http\", \"log\", \"counters\", \"key-value\", \"keys\", \"metrics\", \"outbound\", \"inference\", \"notes\"";

/// A gateway with the guest on each kind of route, an EU region with the small models, and origins that plugins ask.
struct Bench {
    gateway: Gateway,
    origin: Origin,
    forbidden: Origin,
    hangs: FakeRegion,
    abroad: FakeRegion,
    #[expect(dead_code, reason = "held while the gateway watches it")]
    region: Region,
    #[expect(dead_code, reason = "holds the files")]
    place: Place,
}

/// The guest as a plugin of that name.
fn guest(name: &str, origins: &[String], keys: &str) -> String {
    let component = assets::plugin("capabilities");
    format!(
        "[[plugins]]\nname = {name:?}\ncomponent = {component:?}\ngrants = [{GRANTS}]\nkeys = [\"region\"]\n\
         origins = {origins:?}\nmodels = [\"matmul\"]\ndeadline_ms = 1000\n{keys}"
    )
}

static BENCH: OnceCell<Bench> = OnceCell::const_new();

async fn bench() -> &'static Bench {
    BENCH
        .get_or_init(|| async {
            let place = Place::new();
            let region = RegionFile::new("eu", "eu").start(&place).await;
            let (origin, forbidden) = (Origin::start().await, Origin::start().await);
            let hangs = FakeRegion::start("none", Behaviour::Hangs).await;
            let abroad = FakeRegion::start("us", Behaviour::Hangs).await;
            let origins = [origin.url(), hangs.url()];
            let pass = |file: GatewayFile, name: &str| {
                let keys = format!("policies = [\"access\", {name:?}]");
                file.origin(name, &format!("/{name}"), &origin.url(), &keys)
            };
            let file = GatewayFile::new()
                .region("eu", &region.url(), "eu")
                // It hangs, and it has the model: who asked it would see no answer.
                .far_region("us", &abroad.url(), "us")
                .plus(&guest("free", &origins, "outbound_ms = 10000\noutbound_bytes = 10000"))
                .plus(&guest("other", &origins, ""))
                .plus(&guest("tight", &origins, "counters = 2\nstore_entries = 2\nstore_bytes = 20"))
                .plus(&guest("brief", &origins, "outbound_ms = 100"))
                .plus(&guest("abroad", &origins, "jurisdictions = [\"us\"]"));
            let file = ["free", "other", "tight", "brief", "abroad"].into_iter().fold(file, pass);
            let both = "policies = [\"access\", \"free\"]\njurisdictions = [\"eu\"]";
            let crossed = "policies = [\"access\", \"abroad\"]\njurisdictions = [\"eu\"]";
            let gateway = file
                .route("infer", "/eu", both)
                .route("crossed", "/crossed", crossed)
                .origin("quick", "/quick", &origin.url(), "policies = [\"access\", \"free\"]\nrequest_ms = 300")
                .start(&place)
                .await;
            Bench { gateway, origin, forbidden, hangs, abroad, region, place }
        })
        .await
}

async fn send(path: &str, token: &str, command: &str) -> Answer {
    bench().await.gateway.client().get(path).token(token).header("x-do", command).send().await
}

/// What came of a command.
async fn told(plugin: &str, command: &str) -> String {
    let answer = send(&format!("/{plugin}"), &acme(), command).await.ok();
    answer.header("x-result").to_owned()
}

#[test]
fn counters_count_across_requests_and_each_plugin_has_its_own() {
    run(async {
        assert_eq!(told("free", "add hits 2 3600").await, "2");
        assert_eq!(told("free", "add hits 3 3600").await, "5");
        assert_eq!(told("free", "count hits").await, "5");
        assert_eq!(told("other", "count hits").await, "0");
        let taken = ["take b 3 5 1", "take b 2 5 1", "take b 1 5 1", "take b 9 5 1"];
        let mut said = Vec::new();
        for take in taken {
            said.push(told("free", take).await);
        }
        assert_eq!(said, ["true 2 now", "true 0 now", "false 0 later", "false 0 later"]);
    });
}

#[test]
fn requests_at_once_take_no_more_than_a_bucket_holds() {
    run(async {
        let takes = (0..40).map(|_| tokio::spawn(told("free", "take crowd 1 10 0")));
        let mut granted = 0;
        for take in takes.collect::<Vec<_>>() {
            granted += usize::from(take.await.unwrap().starts_with("true"));
        }
        assert_eq!(granted, 10);
    });
}

#[test]
fn full_stores_say_so_and_put_nothing_out() {
    run(async {
        assert_eq!(told("tight", "add a 1 3600").await, "1");
        assert_eq!(told("tight", "take b 1 2 0").await, "true 1 now");
        assert_eq!(told("tight", "add c 1 3600").await, "full");
        assert_eq!(told("tight", "add a 1 3600").await, "2");

        assert_eq!(told("tight", "set a 123456789 3600").await, "kept");
        assert_eq!(told("tight", "set b 12345678901 3600").await, "full");
        assert_eq!(told("tight", "set b 1 3600").await, "kept");
        assert_eq!(told("tight", "set c 1 3600").await, "full");
        assert_eq!(told("tight", "get a").await, "123456789");
        assert_eq!(told("tight", "delete a").await, "deleted");
        assert_eq!(told("tight", "set c 1 3600").await, "kept");
    });
}

#[test]
fn values_are_kept_for_their_time_and_the_first_wins() {
    run(async {
        assert_eq!(told("free", "set short life 1").await, "kept");
        assert_eq!(told("free", "set long life 3600").await, "kept");
        assert_eq!(told("free", "get long").await, "life");
        assert_eq!(told("other", "get long").await, "none");
        eventually("the value is gone", || async { told("free", "get short").await == "none" }).await;
        assert_eq!(told("free", "get long").await, "life");
        assert_eq!(told("free", "once first a 3600").await, "true");
        assert_eq!(told("free", "once first b 3600").await, "false");
        assert_eq!(told("free", "get first").await, "a");
    });
}

#[test]
fn signatures_and_sealed_texts_are_of_one_plugin_and_purpose() {
    run(async {
        let tag = told("free", "sign region cookie text").await;
        assert_eq!(tag.len(), 64, "{tag}");
        assert_eq!(told("free", &format!("verify region cookie text {tag}")).await, "true");
        for (plugin, command) in [
            ("free", format!("verify region cookie other {tag}")),
            ("free", format!("verify region link text {tag}")),
            ("free", format!("verify region cookie text {}00", tag.get(..62).expect("a MAC in hexadecimal"))),
            ("other", format!("verify region cookie text {tag}")),
        ] {
            assert_eq!(told(plugin, &command).await, "false", "{plugin}: {command}");
        }
        let sealed = told("free", "seal region cookie secret").await;
        assert!(sealed.starts_with("eyJ") && !sealed.contains("secret"), "{sealed}");
        assert_eq!(told("free", &format!("open region cookie {sealed}")).await, "secret");
        assert_eq!(told("free", &format!("open region link {sealed}")).await, "rejected");
        assert_eq!(told("other", &format!("open region cookie {sealed}")).await, "rejected");
        // The node has the key, the plugin has not.
        assert_eq!(told("free", "sign client cookie text").await, "no-key");
    });
}

#[test]
fn requests_go_out_to_allowed_origins_alone() {
    run(async {
        let bench = bench().await;
        let (origin, forbidden) = (bench.origin.url(), bench.forbidden.url());
        let fetch = |url: &str, rest: &str| format!("fetch POST {url} 10000 {rest}");
        assert_eq!(
            told("free", &fetch(&format!("{origin}/asked?q=1"), "hello x-mine=1")).await,
            "200 500 application/json"
        );
        let seen = bench.origin.seen().into_iter().find(|seen| seen.line.ends_with("/asked?q=1")).unwrap();
        assert_eq!((seen.headers["x-mine"].as_bytes(), seen.body.len()), (&b"1"[..], 500));
        assert!(origin.ends_with(seen.headers["host"].to_str().unwrap()), "{:?}", seen.headers);
        assert!(!seen.headers.contains_key("authorization"));

        let port = bench.origin.url().rsplit(':').next().unwrap().to_owned();
        for url in [
            forbidden.clone(),
            format!("http://localhost:{port}/"),
            format!("https://127.0.0.1:{port}/"),
            "http://169.254.169.254/".to_owned(),
        ] {
            assert_eq!(told("free", &fetch(&url, "x")).await, "not-allowed", "{url}");
        }
        for bad in ["x host=evil.example", "x x-a=1%0Ax-b:2", "x transfer-encoding=chunked", "x content-length=1"] {
            assert_eq!(told("free", &fetch(&origin, bad)).await, "bad-request", "{bad}");
        }
        let tunnel = format!("fetch CONNECT {origin} 10000 x");
        assert_eq!(told("free", &tunnel).await, "bad-request");
        assert!(bench.forbidden.seen().is_empty());
    });
}

#[test]
fn an_answer_that_is_slow_or_large_is_given_up() {
    run(async {
        let bench = bench().await;
        let (origin, hangs) = (bench.origin.url(), bench.hangs.url());
        let body = "x".repeat(101);
        assert_eq!(told("free", &format!("fetch POST {origin} 10000 {body}")).await, "too-large");
        // As long as the plugin wants at most, as long as it may at most, and no longer than the client's request.
        assert_eq!(told("free", &format!("fetch POST {hangs}/x/infer 50 x")).await, "timeout");
        assert_eq!(told("brief", &format!("fetch POST {hangs}/x/infer 60000 x")).await, "timeout");
        let answer = send("/quick", &acme(), &format!("fetch POST {hangs}/x/infer 60000 x")).await;
        assert!(answer.header("x-result") == "timeout" || answer.verdict().0 == 504, "{answer:?}");
    });
}

#[test]
fn models_are_asked_where_the_request_may_go() {
    run(async {
        let product = "y FP32: 7.5 10.5";
        // A route without inferences: where this node stands.
        assert_eq!(told("free", "infer matmul").await, product);
        let client = bench().await.gateway.client();
        let ask = async |route: &str, command: &str| {
            let ask = client.get(&format!("{route}/v2/models/matmul")).token(&acme()).header("x-do", command);
            ask.send().await.ok().header("x-result").to_owned()
        };
        assert_eq!(ask("/eu", "infer matmul").await, product);
        assert_eq!(ask("/eu", "infer minilm").await, "not-allowed");
        // The route keeps to the EU, the plugin to the US: nowhere.
        assert_eq!(ask("/crossed", "infer matmul").await, "unavailable");
        // What the plugin restricts itself to counts at once.
        assert_eq!(ask("/eu", "restrict eu matmul").await, product);
        assert_eq!(ask("/eu", "restrict us matmul").await, "unavailable");
        assert_eq!(bench().await.abroad.asked(), 0, "nothing may have left the EU");
    });
}

#[test]
fn a_note_goes_from_one_hook_to_the_next_of_its_request() {
    run(async {
        let answer = send("/free", &acme(), "note remembered").await.ok();
        assert_eq!(answer.header("x-note"), "remembered");
        let next = bench().await.gateway.client().get("/free").token(&acme()).send().await.ok();
        assert_eq!(next.header("x-note"), "");
    });
}

#[test]
fn numbers_of_plugins_and_what_they_cost_are_in_the_metrics() {
    run(async {
        let gateway = &bench().await.gateway;
        let other = Token::of("globex").signed();
        send("/other", &other, "measure cases 3 0.25").await.ok();
        send("/other", &other, "measure cases 4 0.25").await.ok();
        send("/other", &other, "measure Not-Legal 1 1").await.ok();
        let metric = async |series: &str| gateway.metric(series).await;
        assert_eq!(metric("forebay_plugin_count_total{plugin=\"other\",name=\"cases\"}").await, Some(7.0));
        assert_eq!(metric("forebay_plugin_value_sum{plugin=\"other\",name=\"cases\"}").await, Some(0.5));
        let account =
            |what: &str| format!("forebay_policy_{what}{{plugin=\"other\",phase=\"on-request\",tenant=\"globex\"}}");
        assert_eq!(metric(&account("calls_total")).await, Some(3.0));
        let busy = metric(&account("busy_seconds_total")).await.unwrap();
        assert!(busy > 0.0 && busy < 3.0, "{busy}");
        let memory = metric("forebay_policy_memory_bytes{plugin=\"other\"}").await.unwrap();
        assert!((65_536.0..=16_777_216.0).contains(&memory), "{memory}");
    });
}

#[test]
fn counters_outlive_a_reload_and_no_token_is_logged() {
    run(async {
        let place = Place::new();
        let origin = Origin::start().await;
        let file = GatewayFile::new().plus(&guest("g", &[origin.url()], "")).origin(
            "g",
            "/g",
            &origin.url(),
            "policies = [\"access\", \"g\"]",
        );
        let gateway = serve(&place, &file);
        let (client, token) = (gateway.client().await, acme());
        let told = async |command: &str| {
            let answer = client.get("/g").token(&token).header("x-do", command).send().await.ok();
            answer.header("x-result").to_owned()
        };
        assert_eq!((told("add n 1 3600").await, told("set k v 3600").await), ("1".into(), "kept".into()));
        gateway.signal("HUP").await;
        gateway.said("reloaded").await;
        assert_eq!((told("add n 1 3600").await, told("get k").await), ("2".into(), "v".into()));

        assert_eq!(told(&format!("log 1 saw {token} here")).await, "logged");
        let line = gateway.said("saw [redacted] here").await;
        assert_eq!(line["plugin"], "g");
        assert!(!gateway.log().contains(&token));
        // Twenty lines a call, and a hundred a second over all calls.
        for _ in 0..20 {
            told("log 20 again and again").await;
        }
        gateway.said("log lines dropped").await;
    });
}
