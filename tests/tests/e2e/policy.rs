//! Plugins that misbehave: the request is refused and names them, other routes serve, nothing leaves by mistake.

use std::time::{Duration, Instant};

use forebay_tests::fakes::Origin;
use forebay_tests::questions::{matmul, texts};
use forebay_tests::region::RegionFile;
use forebay_tests::{Answer, Gateway, GatewayFile, Place, Region, assets, run};
use serde_json::json;
use tokio::sync::OnceCell;

use super::house::acme;

/// Generous, since tests share their cores; what is bounded takes milliseconds of computing.
const BOUND: Duration = Duration::from_secs(60);

/// Behaviours that fail before anything of a request went on, or all of it.
const IN_REQUEST: [&str; 14] = [
    "loop",
    "trap",
    "memory",
    "recursion",
    "giant-answer",
    "bad-status",
    "bad-header",
    "bad-edit",
    "edit-then-trap",
    "edit-flood",
    "host-call-flood",
    "trap-on-request-body",
    "loop-on-request-body",
    "trap-on-request-chunk",
];
/// Behaviours that fail in a later phase.
const LATER: [&str; 7] = [
    "trap-on-forward",
    "seal-then-trap",
    "trap-on-return",
    "trap-on-response",
    "trap-on-response-body",
    "loop-on-response-body",
    "giant-part-on-response-body",
];
/// Behaviours that do not fail.
const HARMLESS: [&str; 4] = ["ok", "log-flood", "remember", "answer"];

/// A gateway with one inference route and one passing route for each behaviour, and a good one.
struct Zoo {
    gateway: Gateway,
    origin: Origin,
    region: Region,
    #[expect(dead_code, reason = "holds the files")]
    place: Place,
}

static ZOO: OnceCell<Zoo> = OnceCell::const_new();

async fn zoo() -> &'static Zoo {
    ZOO.get_or_init(|| async {
        let place = Place::new();
        let region = RegionFile::new("eu", "eu").start(&place).await;
        let origin = Origin::start().await;
        let mut file =
            GatewayFile::new().region("eu", &region.url(), "eu").route("good", "/good", "policies = [\"access\"]");
        for behaviour in IN_REQUEST.iter().chain(&LATER).chain(&HARMLESS) {
            let keys = format!("policies = [\"access\", {behaviour:?}]");
            file = file
                .hostile(behaviour)
                .route(behaviour, &format!("/{behaviour}"), &format!("{keys}\ncache = {{ ttl_s = 300 }}"))
                .origin(&format!("pass-{behaviour}"), &format!("/pass/{behaviour}"), &origin.url(), &keys);
        }
        let gateway = file.start(&place).await;
        Zoo { gateway, origin, region, place }
    })
    .await
}

async fn infer(route: &str) -> Answer {
    zoo().await.gateway.client().infer(&format!("/{route}"), "matmul", &matmul(0.5)).token(&acme()).send().await
}

async fn pass(route: &str) -> Answer {
    let client = zoo().await.gateway.client();
    client.post(&format!("/pass/{route}")).token(&acme()).json(&json!({"a": 1})).send().await
}

fn names_the_plugin(answer: &Answer, plugin: &str) {
    assert_eq!(answer.verdict(), (503, "policy-failed".to_owned()), "{plugin}: {answer:?}");
    let document = answer.json();
    assert_eq!(document["plugin"], plugin);
    // What a guest says when it panics is for the log.
    assert!(!document["detail"].as_str().unwrap().contains("told to"), "{document}");
    assert_eq!(answer.header("x-edited"), "", "an edit before a trap must be dropped");
}

async fn good_route_serves() {
    assert_eq!(infer("good").await.ok().f32s("y"), [7.5, 10.5]);
}

#[test]
fn a_plugin_that_fails_before_the_model_keeps_the_request_from_it() {
    run(async {
        for behaviour in IN_REQUEST {
            let started = Instant::now();
            names_the_plugin(&infer(behaviour).await, behaviour);
            names_the_plugin(&pass(behaviour).await, behaviour);
            assert!(started.elapsed() < BOUND, "{behaviour} took {:?}", started.elapsed());
            good_route_serves().await;
        }
    });
}

#[test]
fn a_plugin_that_fails_in_a_later_phase_keeps_the_answer_from_the_caller() {
    run(async {
        for behaviour in LATER {
            // Twice: an answer that was refused on its way out must be refused on a hit as well.
            for _ in 0..2 {
                let answer = if behaviour == "seal-then-trap" {
                    let client = zoo().await.gateway.client();
                    client.infer("/seal-then-trap", "matmul", &texts(&["x"])).token(&acme()).send().await
                } else {
                    infer(behaviour).await
                };
                names_the_plugin(&answer, behaviour);
            }
            names_the_plugin(&pass(behaviour).await, behaviour);
            good_route_serves().await;
        }
    });
}

#[test]
fn nothing_reaches_an_origin_past_a_plugin_that_failed() {
    run(async {
        let origin = &zoo().await.origin;
        for behaviour in IN_REQUEST.into_iter().chain(["trap-on-forward", "seal-then-trap"]) {
            pass(behaviour).await.refused(503, "policy-failed");
            let path = format!("/pass/{behaviour}");
            assert!(!origin.seen().iter().any(|seen| seen.line.ends_with(&path)), "{behaviour}");
        }
    });
}

#[test]
fn harmless_plugins_serve_and_remember_nothing() {
    run(async {
        infer("ok").await.ok();
        infer("log-flood").await.ok();
        infer("answer").await.refused(403, "forbidden");
        for _ in 0..3 {
            pass("remember").await.ok();
        }
        let seen = zoo().await.origin.seen();
        let counts: Vec<_> = seen.iter().filter_map(|seen| seen.headers.get("x-seen")).collect();
        assert_eq!(counts, ["0"; 3]);
    });
}

#[test]
fn failures_are_counted_by_plugin_and_reason() {
    run(async {
        let zoo = zoo().await;
        infer("trap").await.refused(503, "policy-failed");
        infer("host-call-flood").await.refused(503, "policy-failed");
        for (plugin, reason) in [("trap", "trap"), ("host-call-flood", "host-calls")] {
            let series = format!("forebay_policy_failures_total{{plugin=\"{plugin}\",reason=\"{reason}\"}}");
            assert!(zoo.gateway.metric(&series).await.unwrap() >= 1.0, "{series}");
        }
        assert_eq!(zoo.region.answered("none").await, 0);
    });
}

/// Why a gateway with this file does not start.
async fn refusal(file: GatewayFile) -> String {
    let place = Place::new();
    file.bind(&place).await.err().expect("the node must not start").to_string()
}

#[test]
fn a_plugin_that_imports_more_than_it_is_granted_keeps_the_node_from_starting() {
    run(async {
        let component = assets::plugin("jwt-access");
        let told = refusal(GatewayFile::new().plus(&format!(
            "[[plugins]]\nname = \"greedy\"\ncomponent = {component:?}\ngrants = [\"http\", \"log\"]\n\
             [[plugins.config.rules]]\nscopes = [\"infer\"]"
        )))
        .await;
        for expected in ["greedy", "[http, identity]", "[http, log]"] {
            assert!(told.contains(expected), "{expected} not in: {told}");
        }
    });
}

#[test]
fn a_plugin_that_cannot_be_configured_or_read_keeps_the_node_from_starting() {
    run(async {
        for (behaviour, expected) in
            [("trap-in-configure", "trap"), ("loop-in-configure", "deadline"), ("nonsense", "no such behaviour")]
        {
            let told = refusal(GatewayFile::new().hostile(behaviour)).await;
            assert!(told.contains(behaviour) && told.contains(expected), "{told}");
        }
        let place = Place::new();
        place.write("rubbish.wasm", "rubbish");
        for (file, expected) in [("rubbish.wasm", "not a component"), ("none.wasm", "No such file")] {
            let plugin = format!("[[plugins]]\nname = \"x\"\ncomponent = {file:?}");
            let told = GatewayFile::new().plus(&plugin).bind(&place).await.err().unwrap().to_string();
            assert!(told.contains(expected), "{told}");
        }
    });
}
