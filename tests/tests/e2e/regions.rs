//! Which region answers, and what happens when one does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use forebay_tests::fakes::{Behaviour, FakeRegion, GOOD_ANSWER};
use forebay_tests::questions::{countdown, endless, matmul};
use forebay_tests::region::RegionFile;
use forebay_tests::{Answer, Gateway, GatewayFile, Place, Process, Tap, eventually, run};
use serde_json::json;
use tokio::task::JoinSet;

use super::house::acme;
use super::lifecycle::PROGRAM;

const PUBLIC: &str = "access = \"public\"";
/// Probes so rare that only requests can find out.
const BLIND: &str = "probe_interval_ms = 600000";

async fn ask(gateway: &Gateway, bias: f32) -> Answer {
    gateway.client().infer("", "matmul", &matmul(bias)).send().await
}

#[test]
fn the_first_request_after_a_death_is_answered_elsewhere() {
    run(async {
        let place = Place::new();
        let (near, far) = (RegionFile::new("near", "eu"), RegionFile::new("far", "eu"));
        let (near, far) = (near.start(&place).await, far.start(&place).await);
        let tap = Tap::to(near.address()).await;
        let file = GatewayFile::new().region("near", &tap.url(), "eu").far_region("far", &far.url(), "eu");
        let gateway = file.balance(BLIND).route("infer", "", PUBLIC).start(&place).await;
        assert_eq!(ask(&gateway, 1.0).await.ok().region(), "near");
        tap.cut();
        let answer = ask(&gateway, 2.0).await.ok();
        assert_eq!((answer.region(), answer.f32s("y")), ("far", vec![9.0, 12.0]));
        near.stop().await;
        far.stop().await;
    });
}

#[test]
fn killing_a_region_under_load_fails_no_request() {
    const CLIENTS: usize = 64;
    const REQUESTS_EACH: usize = 12;
    run(async {
        let place = Place::new();
        let start = |name: &str| {
            let file = place.write(&format!("{name}.toml"), &RegionFile::new(name, "eu").text());
            Process::start(PROGRAM, "region", &place, &file)
        };
        let (mut doomed, lasting) = (start("doomed"), start("lasting"));
        let (doomed_url, lasting_url) = tokio::join!(doomed.region_url(), lasting.region_url());
        let file = GatewayFile::new().region("doomed", &doomed_url, "eu").region("lasting", &lasting_url, "eu");
        let gateway = file.route("infer", "", PUBLIC).start(&place).await;

        let done = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let client = if number % 2 == 0 { gateway.client() } else { gateway.http1() };
            let done = Arc::clone(&done);
            clients.spawn(async move {
                let mut regions = Vec::new();
                for _ in 0..REQUESTS_EACH {
                    let answer = client.infer("", "matmul", &matmul(0.5)).send().await.ok();
                    assert_eq!(answer.f32s("y"), [7.5, 10.5]);
                    regions.push(answer.region().to_owned());
                    done.fetch_add(1, Ordering::SeqCst);
                }
                regions
            });
        }
        let third = CLIENTS * REQUESTS_EACH / 3;
        eventually("a third is answered", || async { done.load(Ordering::SeqCst) >= third }).await;
        doomed.signal("KILL").await;
        assert_eq!(doomed.ended().await, -1);
        let regions = clients.join_all().await.concat();
        assert_eq!(regions.len(), CLIENTS * REQUESTS_EACH);
        for region in ["doomed", "lasting"] {
            assert!(regions.iter().any(|seen| seen == region), "{region} answered nothing");
        }
        gateway.until("doomed", false).await;
        drop(lasting);
    });
}

#[test]
fn a_jurisdiction_is_never_left() {
    run(async {
        let place = Place::new();
        let (eu, us) =
            (RegionFile::new("eu", "eu").start(&place).await, RegionFile::new("us", "us").start(&place).await);
        let tap = Tap::to(eu.address()).await;
        let gateway = GatewayFile::new()
            .region("eu", &tap.url(), "eu")
            .region("us", &us.url(), "us")
            .route("eu-only", "", &format!("{PUBLIC}\njurisdictions = [\"eu\"]"))
            .route("any", "/any", PUBLIC)
            .start(&place)
            .await;
        for bias in 0..8_u8 {
            assert_eq!(ask(&gateway, f32::from(bias)).await.ok().region(), "eu");
        }
        tap.cut();
        // Not noticed yet: the request fails rather than leave.
        ask(&gateway, 0.5).await.refused(503, "no-region");
        gateway.until("eu", false).await;
        let answer = ask(&gateway, 0.5).await;
        answer.refused(503, "no-region");
        assert!(answer.json()["detail"].as_str().unwrap().contains("no region in eu"), "{answer:?}");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
        assert_eq!(gateway.client().get("/v2/health/ready").send().await.status, 503);
        assert_eq!(us.answered("matmul").await, 0);
        gateway.client().infer("/any", "matmul", &matmul(0.5)).send().await.ok();
        assert_eq!(us.answered("matmul").await, 1);
    });
}

#[test]
fn a_node_that_says_another_jurisdiction_is_not_used() {
    run(async {
        let place = Place::new();
        let liar = FakeRegion::start("us", Behaviour::Answers(200, GOOD_ANSWER.to_owned())).await;
        let gateway =
            GatewayFile::new().region("liar", &liar.url(), "eu").route("infer", "", PUBLIC).start(&place).await;
        ask(&gateway, 0.5).await.refused(503, "no-region");
        assert_eq!(liar.asked(), 0);
        let regions = gateway.admin().get("/v1/regions").send().await.ok().json();
        assert_eq!(regions[0]["up"], false);
        assert!(regions[0]["problem"].as_str().unwrap().contains("says it stands in `us`"), "{regions}");
    });
}

#[test]
fn a_node_that_drains_or_loads_is_not_chosen() {
    run(async {
        let place = Place::new();
        let node = |ready: bool, draining: bool| {
            json!({"name": "fake", "jurisdiction": "eu", "ready": ready, "draining": draining, "models": [
                {"name": "matmul", "version": "1", "digest": "00", "ready": ready}]})
        };
        for node in [node(true, true), node(false, false)] {
            let region = FakeRegion::saying(&node, Behaviour::Hangs).await;
            let file = GatewayFile::new().region("eu", &region.url(), "eu").route("infer", "", PUBLIC);
            let gateway = file.start(&place).await;
            let answer = ask(&gateway, 0.5).await;
            assert!([404, 503].contains(&answer.status), "{answer:?}");
            assert_eq!(region.asked(), 0);
        }
    });
}

#[test]
fn a_full_queue_sends_requests_elsewhere_and_then_back_to_the_caller() {
    run(async {
        let place = Place::new();
        let file = |name: &str| RegionFile::new(name, "eu").queue(1);
        let (near, far) = (file("near").start(&place).await, file("far").start(&place).await);
        let file = GatewayFile::new().region("near", &near.url(), "eu").far_region("far", &far.url(), "eu");
        let gateway = file.route("infer", "", PUBLIC).start(&place).await;
        let ask = || async { gateway.client().infer("", "countdown", &countdown(3)).send().await };
        assert_eq!(ask().await.ok().region(), "near");
        let near_full = near.fill().await;
        assert_eq!(ask().await.ok().region(), "far");
        let far_full = far.fill().await;
        let answer = ask().await;
        answer.refused(503, "queue-full");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
        drop((near_full, far_full));
        eventually("there is room again", || async { ask().await.status == 200 }).await;
        // A full region is no broken one.
        assert!(gateway.sees("near").await && gateway.sees("far").await);
    });
}

#[test]
fn a_deadline_is_kept() {
    run(async {
        let place = Place::new();
        let region = RegionFile::new("eu", "eu").start(&place).await;
        let fake = FakeRegion::start("eu", Behaviour::Hangs).await;
        let keys = |region: &str| format!("{PUBLIC}\nrequest_ms = 300\nregions = [{region:?}]");
        let gateway = GatewayFile::new()
            .region("real", &region.url(), "eu")
            .region("hangs", &fake.url(), "eu")
            .route("real", "/real", &keys("real"))
            .route("hangs", "/hangs", &keys("hangs"))
            .start(&place)
            .await;
        for (route, model, question) in [("/real", "countdown", endless()), ("/hangs", "matmul", matmul(0.5))] {
            let started = Instant::now();
            let answer = gateway.client().infer(route, model, &question).send().await;
            let took = started.elapsed();
            answer.refused(504, "deadline-exceeded");
            assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(3), "{route}: {took:?}");
        }
        // The run itself has ended too: the next one does not wait for it.
        gateway.client().infer("/real", "countdown", &countdown(3)).send().await.ok();
    });
}

#[test]
fn a_region_that_answers_rubbish_is_not_believed() {
    run(async {
        let place = Place::new();
        let good = RegionFile::new("good", "eu").start(&place).await;
        for behaviour in [
            Behaviour::Answers(500, "oops".to_owned()),
            Behaviour::Answers(404, "{\"error\":\"no such model\"}".to_owned()),
            Behaviour::Answers(302, String::new()),
            Behaviour::Answers(200, "oops".to_owned()),
            Behaviour::Answers(200, GOOD_ANSWER.replace("[7.5,10.5]", "[7.5]")),
            Behaviour::Answers(200, String::new()),
            Behaviour::BreaksOff,
        ] {
            let what = format!("{behaviour:?}");
            // One that cannot be reached to the end of its answer might as well not be there.
            let told = if what == "BreaksOff" { (503, "no-region") } else { (502, "bad-gateway") };
            let bad = FakeRegion::start("eu", behaviour).await;
            let gateway = GatewayFile::new()
                .region("bad", &bad.url(), "eu")
                .far_region("good", &good.url(), "eu")
                .route("either", "", PUBLIC)
                .route("bad-only", "/bad", &format!("{PUBLIC}\nregions = [\"bad\"]"))
                .start(&place)
                .await;
            assert_eq!(ask(&gateway, 0.5).await.ok().region(), "good", "{what}");
            assert_eq!(bad.asked(), 1, "{what}");
            let answer = gateway.client().infer("/bad", "matmul", &matmul(0.5)).send().await;
            assert_eq!(answer.verdict(), (told.0, told.1.to_owned()), "{what}: {answer:?}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("oops"), "{what}");
        }
    });
}

#[test]
fn a_region_that_keeps_failing_is_left_alone_for_a_while() {
    run(async {
        let place = Place::new();
        let good = RegionFile::new("good", "eu").start(&place).await;
        let bad = FakeRegion::start("eu", Behaviour::Answers(500, "oops".to_owned())).await;
        let gateway = GatewayFile::new()
            .balance("probe_interval_ms = 50\neject_after = 3\neject_ms = 600000\neject_max_ms = 600000")
            .region("bad", &bad.url(), "eu")
            .far_region("good", &good.url(), "eu")
            .route("either", "", PUBLIC)
            .route("bad-only", "/bad", &format!("{PUBLIC}\nregions = [\"bad\"]"))
            .start(&place)
            .await;
        for _ in 0..3 {
            assert_eq!(ask(&gateway, 0.5).await.ok().region(), "good");
        }
        gateway.until("bad", false).await;
        for _ in 0..5 {
            assert_eq!(ask(&gateway, 0.5).await.ok().region(), "good");
        }
        assert_eq!(bad.asked(), 3);
        // Where no other may answer, and its probes are fine, it is asked all the same.
        gateway.client().infer("/bad", "matmul", &matmul(0.5)).send().await.refused(502, "bad-gateway");
        assert_eq!(bad.asked(), 4);
    });
}

#[test]
fn a_region_comes_back_after_its_ejection() {
    run(async {
        let place = Place::new();
        let bad = FakeRegion::start("eu", Behaviour::Answers(500, "oops".to_owned())).await;
        let file = GatewayFile::new().region("bad", &bad.url(), "eu").route("infer", "", PUBLIC);
        let gateway = file.balance("probe_interval_ms = 50\neject_after = 1\neject_ms = 500").start(&place).await;
        ask(&gateway, 0.5).await.refused(502, "bad-gateway");
        gateway.until("bad", false).await;
        gateway.until("bad", true).await;
    });
}

#[test]
fn a_region_that_hangs_is_left_for_another() {
    run(async {
        let place = Place::new();
        let good = RegionFile::new("good", "eu").start(&place).await;
        let hanging = FakeRegion::start("eu", Behaviour::Hangs).await;
        let gateway = GatewayFile::new()
            .balance("attempt_ms = 200")
            .region("hanging", &hanging.url(), "eu")
            .far_region("good", &good.url(), "eu")
            .route("infer", "", PUBLIC)
            .start(&place)
            .await;
        let started = Instant::now();
        assert_eq!(ask(&gateway, 0.5).await.ok().region(), "good");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert_eq!(hanging.asked(), 1);
    });
}

#[test]
fn a_region_whose_share_of_the_time_is_over_is_left_for_another() {
    run(async {
        let place = Place::new();
        let good = RegionFile::new("good", "eu").start(&place).await;
        let late = r#"{"type":"https://forebay.dev/problems/deadline-exceeded","detail":"late"}"#;
        let slow = FakeRegion::start("eu", Behaviour::Answers(504, late.into())).await;
        let file = GatewayFile::new().region("slow", &slow.url(), "eu").far_region("good", &good.url(), "eu");
        let both = file.route("infer", "", PUBLIC).start(&place).await;
        assert_eq!(ask(&both, 0.5).await.ok().region(), "good");

        let alone = GatewayFile::new().region("slow", &slow.url(), "eu").route("infer", "", PUBLIC).start(&place).await;
        ask(&alone, 0.5).await.refused(504, "deadline-exceeded");
    });
}

#[test]
fn a_region_is_told_the_trace_and_the_time_left_and_no_token() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    run(async {
        let place = Place::new();
        let region = RegionFile::new("eu", "eu").start(&place).await;
        let tap = Tap::to(region.address()).await;
        let gateway = GatewayFile::new()
            .region("eu", &tap.url(), "eu")
            .route("infer", "", "policies = [\"access\"]\nrequest_ms = 7777")
            .start(&place)
            .await;
        let token = acme();
        let ask = gateway.client().infer("", "matmul", &matmul(0.5)).token(&token);
        let ask = ask.header("traceparent", &format!("00-{TRACE}-00f067aa0ba902b7-01")).header("x-mine", "to-the-edge");
        let answer = ask.send().await.ok();
        assert_eq!(answer.header("x-request-id"), TRACE);
        let wire = tap.text();
        assert!(wire.contains(&format!("traceparent: 00-{TRACE}-")), "{wire}");
        let left = wire.split("forebay-timeout-ms: ").nth(1).unwrap().split("\r\n").next().unwrap();
        assert!((1..=7777).contains(&left.parse::<u32>().unwrap()), "{left}");
        for private in [token.rsplit('.').next().unwrap(), "authorization", "to-the-edge"] {
            assert!(!wire.contains(private), "{private} in {wire}");
        }
    });
}

#[test]
fn regions_can_demand_a_certificate() {
    run(async {
        let place = Place::new();
        let (certificate, key) = place.authority().issue_client("pop").unwrap();
        place.write("pop.pem", &certificate);
        place.write("pop.key", &key);
        let tls = "[tls]\ncert = \"localhost.pem\"\nkey = \"localhost.key\"\nclient_ca = \"ca.pem\"";
        let region = RegionFile::new("eu", "eu").plus(tls).start(&place).await;
        let file = |identity: &str| {
            GatewayFile::new()
                .region("eu", &region.https_url(), "eu")
                .plus(&format!("ca = \"ca.pem\"\n{identity}"))
                .route("infer", "", PUBLIC)
        };
        let known = file("certificate = \"pop.pem\"\nkey = \"pop.key\"").start(&place).await;
        assert_eq!(ask(&known, 0.5).await.ok().f32s("y"), [7.5, 10.5]);
        let stranger = file("").start(&place).await;
        ask(&stranger, 0.5).await.refused(503, "no-region");
    });
}
