//! Nodes as processes: how they start, how they change, and how they end.

use forebay_tests::fakes::{Behaviour, FakeRegion, GOOD_ANSWER};
use forebay_tests::questions::{countdown, matmul};
use forebay_tests::region::RegionFile;
use forebay_tests::{Client, GatewayFile, Place, Process, eventually, run};

use super::house::acme;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_forebay-under-test");

pub(crate) const GUARDED: &str = "policies = [\"access\"]";

/// Starts a gateway as a process.
pub(crate) fn serve(place: &Place, file: &GatewayFile) -> Process {
    let path = place.write("forebay.toml", &file.text());
    Process::start(PROGRAM, "serve", place, &path)
}

pub(crate) async fn forebay(arguments: &[&str]) -> (i32, String) {
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
