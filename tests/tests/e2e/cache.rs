//! The answer cache as a caller sees it.

use std::sync::Arc;
use std::time::Instant;

use forebay_tests::fakes::{Behaviour, FakeRegion};
use forebay_tests::questions::{matmul, texts};
use forebay_tests::region::RegionFile;
use forebay_tests::{Answer, Gateway, GatewayFile, Place, Token, eventually, run};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::house::{acme, house};

async fn ask(prefix: &str, model: &str, question: &Value, tenant: &str) -> Answer {
    let client = house().await.gateway.client();
    client.infer(prefix, model, question).token(&Token::of(tenant).signed()).send().await
}

#[test]
fn a_tenant_is_given_its_own_answer_again() {
    run(async {
        let question = texts(&["an answer to keep"]);
        let region = &house().await.eu;
        let before = region.answered("minilm").await;
        let miss = ask("", "minilm", &question, "acme").await.ok();
        assert_eq!((miss.header("cache-status"), miss.region()), ("pop; fwd=miss; stored; ttl=300", "eu-west"));
        let hit = ask("", "minilm", &question, "acme").await.ok();
        let status = hit.header("cache-status");
        assert!(["pop; hit; ttl=300", "pop; hit; ttl=299"].contains(&status), "{status}");
        assert_eq!((hit.body, hit.headers.get("forebay-region")), (miss.body, None));
        assert!(region.answered("minilm").await > before);

        assert_eq!(ask("", "minilm", &question, "globex").await.ok().cache(), "miss");
        assert_eq!(ask("", "minilm", &question, "globex").await.ok().cache(), "hit");
    });
}

#[test]
fn a_public_route_shares_between_tenants() {
    run(async {
        let question = matmul(40.5);
        assert_eq!(ask("/shared", "matmul", &question, "acme").await.ok().cache(), "miss");
        assert_eq!(ask("/shared", "matmul", &question, "globex").await.ok().cache(), "hit");
        // And the scope is part of the key: the tenants' own answers are others.
        assert_eq!(ask("", "matmul", &question, "acme").await.ok().cache(), "miss");
    });
}

#[test]
fn a_caller_without_a_tenant_has_no_answers_of_its_own() {
    run(async {
        let client = house().await.gateway.client();
        let token = Token::of("acme").without("tenant").signed();
        for _ in 0..2 {
            let answer = client.infer("", "matmul", &matmul(42.5)).token(&token).send().await.ok();
            assert_eq!(answer.header("cache-status"), "pop; fwd=bypass; detail=no-tenant");
        }
    });
}

#[test]
fn a_route_without_a_rule_stores_nothing() {
    run(async {
        for _ in 0..2 {
            let answer = ask("/open", "matmul", &matmul(41.5), "acme").await.ok();
            assert_eq!(answer.header("cache-status"), "pop; fwd=bypass; detail=no-rule");
        }
    });
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut question = matmul(50.0);
    change(&mut question);
    question
}

#[test]
fn different_questions_never_share_an_answer() {
    run(async {
        let questions = [
            matmul(50.0),
            matmul(50.5),
            with(|q| q["inputs"][0]["data"] = json!([2, 1])),
            with(|q| (q["inputs"][0]["data"], q["inputs"][0]["shape"]) = (json!([1, 2, 1, 2]), json!([2, 2]))),
            with(|q| q["outputs"] = json!([{"name": "y"}])),
            with(|q| q["parameters"] = json!({"x": 1})),
            with(|q| q["parameters"] = json!({"x": true})),
            with(|q| q["parameters"] = json!({"x": false})),
            with(|q| q["parameters"] = json!({"x": "1"})),
            with(|q| q["parameters"] = json!({"x": 1.5})),
            with(|q| q["parameters"] = json!({"y": 1})),
            with(|q| q["inputs"][0]["parameters"] = json!({"x": 1})),
        ];
        for question in &questions {
            assert_eq!(ask("", "matmul", question, "acme").await.ok().cache(), "miss", "{question}");
        }
        for question in &questions {
            assert_eq!(ask("", "matmul", question, "acme").await.ok().cache(), "hit", "{question}");
        }
        // Where one text ends and the next begins is part of the question.
        for sentences in [&["ab", "c"][..], &["a", "bc"], &["abc", ""], &["abc"]] {
            assert_eq!(ask("", "minilm", &texts(sentences), "acme").await.ok().cache(), "miss", "{sentences:?}");
        }
    });
}

#[test]
fn the_same_bytes_under_another_datatype_or_shape_are_another_question() {
    run(async {
        assert_eq!(ask("", "matmul", &matmul(51.0), "acme").await.ok().cache(), "miss");
        assert_eq!(ask("", "matmul", &matmul(51.0), "acme").await.ok().cache(), "hit");
        let other = |key: &str, value: Value| {
            let mut question = matmul(51.0);
            question["inputs"][0][key] = value;
            question
        };
        // 1.0 and 2.0, read as integers.
        let mut integers = other("data", json!([0x3f80_0000, 0x4000_0000]));
        integers["inputs"][0]["datatype"] = json!("INT32");
        for question in [integers, other("shape", json!([2, 1])), other("shape", json!([2])), other("name", json!("z"))]
        {
            let answer = ask("", "matmul", &question, "acme").await;
            assert_eq!((answer.verdict().1.as_str(), answer.cache()), ("invalid-tensor", "miss"), "{question}");
        }
    });
}

#[test]
fn how_a_question_is_put_does_not_matter() {
    run(async {
        let question = |change: &dyn Fn(&mut Value)| {
            let mut question = matmul(60.0);
            change(&mut question);
            question
        };
        let first = ask("", "matmul", &matmul(60.0), "acme").await.ok();
        for (what, same) in [
            ("an id", question(&|q| q["id"] = json!("7"))),
            ("a time to wait", question(&|q| q["parameters"] = json!({"timeout": 9_000_000}))),
            ("binary answers", question(&|q| q["parameters"] = json!({"binary_data_output": true}))),
            ("nested data", question(&|q| q["inputs"][1]["data"] = json!([[1, 2], [3, 4]]))),
            ("another order", question(&|q| q["inputs"].as_array_mut().unwrap().reverse())),
        ] {
            let answer = ask("", "matmul", &same, "acme").await.ok();
            assert_eq!(answer.cache(), "hit", "{what}");
            assert_eq!(answer.f32s("y"), first.f32s("y"), "{what}");
        }
    });
}

#[test]
fn refusals_are_not_kept() {
    run(async {
        let question = with(|q| q["inputs"][0]["shape"] = json!([2, 1]));
        for _ in 0..2 {
            let answer = ask("", "matmul", &question, "acme").await;
            answer.refused(400, "invalid-tensor");
            assert_eq!(answer.cache(), "miss");
        }
    });
}

#[test]
fn an_answer_is_given_until_it_is_stale_and_no_longer() {
    run(async {
        let question = matmul(70.0);
        let started = Instant::now();
        assert_eq!(ask("/brief", "matmul", &question, "acme").await.ok().cache(), "miss");
        assert_eq!(ask("/brief", "matmul", &question, "acme").await.ok().cache(), "hit");
        eventually("it goes stale", || async {
            ask("/brief", "matmul", &question, "acme").await.ok().cache() == "miss"
        })
        .await;
        assert!(started.elapsed().as_millis() >= 1_000, "{:?}", started.elapsed());
    });
}

async fn before_a_region_that_waits() -> (Place, FakeRegion, Gateway) {
    let place = Place::new();
    let region = FakeRegion::start("eu", Behaviour::Waits).await;
    let gateway = GatewayFile::new()
        .region("eu", &region.url(), "eu")
        .route("infer", "", "policies = [\"access\"]\ncache = { ttl_s = 300 }")
        .start(&place)
        .await;
    (place, region, gateway)
}

#[test]
fn of_equal_requests_at_once_one_goes_to_the_region() {
    run(async {
        const CALLERS: usize = 32;
        let (_place, region, gateway) = before_a_region_that_waits().await;
        let client = gateway.client();
        let asking = join_all((0..CALLERS).map(|_| client.infer("", "matmul", &matmul(0.5)).token(&acme()).send()));
        let releasing = async {
            eventually("all are in work", || async { gateway.in_work().await == CALLERS }).await;
            // Those that came before these have reached the cache.
            for _ in 0..8 {
                client.get("/v2/health/live").token(&acme()).send().await.ok();
            }
            assert_eq!(region.asked(), 1);
            region.release();
        };
        let (answers, ()) = tokio::join!(asking, releasing);
        assert_eq!(region.asked(), 1);
        let did = |word: &str| answers.iter().filter(|answer| answer.cache() == word).count();
        // One that came to the cache late found the answer there.
        assert_eq!((did("miss"), did("collapsed") + did("hit")), (1, CALLERS - 1));
        for answer in answers {
            assert_eq!(answer.ok().f32s("y"), [7.5, 10.5]);
        }
    });
}

#[test]
fn a_leader_that_leaves_is_followed_by_one_who_waits() {
    run(async {
        let (_place, region, gateway) = before_a_region_that_waits().await;
        let client = Arc::new(gateway.client());
        let ask = || client.infer("", "matmul", &matmul(0.5)).token(&acme()).send();
        let leader = tokio::spawn(ask());
        eventually("the leader is at the region", || async { region.asked() == 1 }).await;
        let follower = tokio::spawn(ask());
        eventually("the other one waits", || async { gateway.in_work().await == 2 }).await;
        leader.abort();
        eventually("it has taken over", || async { region.asked() == 2 }).await;
        region.release();
        let answer = follower.await.unwrap().ok();
        assert_eq!((answer.cache(), answer.f32s("y")), ("miss", vec![7.5, 10.5]));
    });
}

#[test]
fn while_regions_disagree_on_a_model_nothing_is_stored() {
    run(async {
        let place = Place::new();
        let old = FakeRegion::start("eu", Behaviour::Hangs).await;
        let new = RegionFile::new("new", "eu").start(&place).await;
        let gateway = GatewayFile::new()
            .region("new", &new.url(), "eu")
            .far_region("old", &old.url(), "eu")
            .route("infer", "", "policies = [\"access\"]\ncache = { ttl_s = 300 }")
            .start(&place)
            .await;
        for _ in 0..2 {
            let answer = gateway.client().infer("", "matmul", &matmul(0.5)).token(&acme()).send().await.ok();
            assert_eq!(answer.header("cache-status"), "pop; fwd=bypass; detail=model-not-agreed");
        }
    });
}
