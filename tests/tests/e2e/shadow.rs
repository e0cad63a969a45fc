//! The life of a plugin's versions on a running node: shadows, promotion, rollback, quarantine and reload. Nothing is lost
//! and nothing gets past a plugin meanwhile.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use forebay::node::State;
use forebay_tests::fakes::Origin;
use forebay_tests::{Answer, Client, Gateway, GatewayFile, Place, assets, eventually, run};
use serde_json::{Value, json};

use super::house::acme;
use super::lifecycle::forebay;

/// Clients at once.
const CLIENTS: usize = 64;
/// Connections that they share.
const CONNECTIONS: usize = 8;
/// Failures in a row after which the guest is quarantined.
const PATIENCE: usize = 3;

/// The guest `guard`, and its candidate where there is one.
fn guard(active: &str, candidate: Option<&str>) -> String {
    let component = assets::plugin("hostile");
    let mut text = format!(
        "[[plugins]]\nname = \"guard\"\ncomponent = {component:?}\ndeadline_ms = 500\nquarantine_after = {PATIENCE}\n\
         grants = [\"http\", \"identity\", \"sealing\", \"log\", \"body\"]\nconfig = {{ behaviour = {active:?} }}\n"
    );
    if let Some(candidate) = candidate {
        let _ = writeln!(text, "shadow = {{ component = {component:?}, config = {{ behaviour = {candidate:?} }} }}");
    }
    text
}

fn file(origin: &Origin, active: &str, candidate: Option<&str>) -> GatewayFile {
    let keys = "policies = [\"access\", \"guard\"]";
    GatewayFile::new().plus(&guard(active, candidate)).origin("site", "/", &origin.url(), keys)
}

/// A node before an origin, which reads its file again when it is told to.
struct Stage {
    gateway: Gateway,
    state: Arc<State>,
    origin: Origin,
    place: Place,
}

impl Stage {
    async fn with(active: &str, candidate: Option<&str>) -> Self {
        let (place, origin) = (Place::new(), Origin::start().await);
        let (gateway, state) = file(&origin, active, candidate).start_from_file(&place).await;
        Self { gateway, state, origin, place }
    }

    /// Asks something that has a secret in its head and in its body.
    async fn ask(&self) -> Answer {
        ask(&self.gateway.client()).await
    }

    async fn reload(&self, active: &str, candidate: Option<&str>) -> Result<(), String> {
        self.place.write("forebay.toml", &file(&self.origin, active, candidate).text());
        self.state.reload().await.map_err(|error| error.to_string())
    }

    /// What operators see of the guest.
    async fn guard(&self) -> Value {
        let plugins = self.gateway.admin().get("/v1/plugins").send().await.ok().json();
        plugins.as_array().unwrap().iter().find(|plugin| plugin["name"] == "guard").unwrap().clone()
    }

    async fn digest(&self) -> String {
        self.guard().await["digest"].as_str().unwrap().to_owned()
    }

    async fn act(&self, act: &str) -> Answer {
        self.gateway.admin().post(&format!("/v1/plugins/guard/{act}")).send().await
    }

    async fn compared(&self, hook: &str, result: &str) -> f64 {
        let labels = format!("{{plugin=\"guard#shadow\",hook=\"{hook}\",result=\"{result}\"}}");
        self.gateway.metric(&format!("forebay_policy_shadow_total{labels}")).await.unwrap_or_default()
    }

    /// Asks until the guest works again; meanwhile there are refusals alone, and nothing reaches the origin.
    async fn until_it_works(&self) -> Answer {
        let before = self.origin.seen().len();
        let mut refused = 0;
        loop {
            let answer = self.ask().await;
            if answer.status == 200 {
                assert!(refused >= PATIENCE, "only {refused} were refused");
                assert_eq!(self.origin.seen().len(), before + 1, "something got past the guest");
                return answer;
            }
            assert_eq!(answer.refused(503, "policy-failed").json()["plugin"], "guard");
            assert_eq!(self.origin.seen().len(), before, "something got past the guest");
            refused += 1;
            assert!(refused < 10_000, "it never works again");
        }
    }
}

async fn ask(client: &Client) -> Answer {
    client.post("/x").token(&acme()).header("x-secret", "hunter2").json(&json!({"pin": 4711})).send().await
}

#[test]
fn differences_of_a_candidate_are_counted_and_sampled_without_content() {
    run(async {
        let stage = Stage::with("ok", Some("answer")).await;
        for _ in 0..5 {
            stage.ask().await.ok();
        }
        eventually("all are compared", || async { stage.compared("on-request", "different").await >= 5.0 }).await;
        eventually("bodies are alike", || async { stage.compared("on-request-body", "same").await >= 5.0 }).await;
        assert_eq!(stage.compared("on-request-body", "different").await, 0.0);
        let shadow = stage.guard().await["shadow"].clone();
        assert_eq!((&shadow["different"], &shadow["percent"]), (&Value::from(5), &Value::from(100)));
        let sample = &shadow["differences"][0];
        assert_eq!(sample["route"], "site");
        assert_eq!(sample["hook"], "on-request");
        assert_eq!((&sample["active"], &sample["candidate"]), (&"continue".into(), &"answer 403 forbidden".into()));
        assert_eq!(sample["trace"].as_str().map(str::len), Some(32));
        let text = shadow.to_string();
        assert!(!text.contains("hunter2") && !text.contains("4711"), "{text}");
        assert_eq!(shadow["differences"].as_array().unwrap().len(), 5);
    });
}

#[test]
fn a_candidate_that_fails_harms_no_request() {
    run(async {
        for candidate in ["trap", "loop", "memory", "giant-answer", "host-call-flood", "edit", "trap-on-response-body"]
        {
            let stage = Stage::with("ok", Some(candidate)).await;
            for _ in 0..PATIENCE {
                let answer = stage.ask().await.ok();
                assert_eq!(answer.body, "{\"pin\":4711}");
            }
            let hook = if candidate.ends_with("body") { "on-response-body" } else { "on-request" };
            eventually(candidate, || async { stage.compared(hook, "different").await >= 3.0 }).await;
            // The edits of a candidate go nowhere.
            assert!(stage.origin.seen().iter().all(|seen| !seen.headers.contains_key("x-a")));
            let sample = stage.guard().await["shadow"]["differences"][0]["candidate"].to_string();
            assert!(sample.contains(if candidate == "edit" { "set x-a" } else { "failed: " }), "{sample}");
        }
    });
}

#[test]
fn a_candidate_is_promoted_and_rolled_back_by_the_admin_api_and_the_command() {
    run(async {
        let stage = Stage::with("edit", Some("answer")).await;
        stage.ask().await.ok();
        let (before, candidate) =
            (stage.digest().await, stage.guard().await["shadow"]["digest"].as_str().unwrap().to_owned());
        assert_ne!(before, candidate);

        assert_eq!(stage.act("promote").await.ok().json()["promoted"], candidate.as_str());
        stage.ask().await.refused(403, "forbidden");
        assert_eq!(stage.digest().await, candidate);
        // There is no other candidate, and a reload of the same file changes nothing.
        stage.act("promote").await.refused(400, "bad-request");
        stage.reload("edit", Some("answer")).await.unwrap();
        stage.ask().await.refused(403, "forbidden");

        assert_eq!(stage.act("rollback").await.ok().json()["serving"], before.as_str());
        stage.ask().await.ok();
        assert_eq!(stage.origin.seen().pop().unwrap().headers["x-a"], "1");

        // What was rolled back stays away, though it served well, until somebody promotes it again.
        stage.reload("edit", Some("answer")).await.unwrap();
        stage.ask().await.ok();

        let admin = stage.gateway.admin_url();
        for (act, status) in [("promote", 403), ("rollback", 200)] {
            let (code, said) = forebay(&["plugin", act, "guard", "--admin", &admin]).await;
            assert_eq!(code, 0, "{said}");
            assert_eq!(stage.ask().await.status, status);
        }
        let (code, said) = forebay(&["plugin", "promote", "nobody", "--admin", &admin]).await;
        assert!(code != 0 && said.contains("no plugin has this name"), "{said}");
        stage.gateway.admin().get("/v1/plugins/guard/promote").send().await.refused(405, "method-not-allowed");
        let forged = stage.gateway.admin().post("/v1/plugins/guard/promote").header("origin", "https://evil.test");
        assert!(forged.send().await.status >= 400);
        stage.ask().await.ok();
    });
}

#[test]
fn a_reloaded_version_that_was_rolled_back_stays_away() {
    run(async {
        let stage = Stage::with("edit", None).await;
        stage.ask().await.ok();
        stage.reload("answer", None).await.unwrap();
        stage.ask().await.refused(403, "forbidden");
        stage.act("rollback").await.ok();
        for _ in 0..2 {
            stage.ask().await.ok();
            stage.reload("answer", None).await.unwrap();
        }
        stage.act("rollback").await.refused(400, "bad-request");
        stage.ask().await.ok();
    });
}

#[test]
fn nothing_is_rolled_back_to_what_never_served() {
    run(async {
        let stage = Stage::with("trap", None).await;
        for _ in 0..4 * PATIENCE {
            stage.ask().await.refused(503, "policy-failed");
        }
        stage.act("rollback").await.refused(400, "bad-request");
        stage.ask().await.refused(503, "policy-failed");
        assert_eq!(stage.origin.seen().len(), 0);
    });
}

#[test]
fn a_promoted_version_that_is_quarantined_gives_way_to_the_last_good_one_by_itself() {
    run(async {
        for candidate in ["trap", "loop", "trap-on-request-body"] {
            let stage = Stage::with("edit", Some(candidate)).await;
            stage.ask().await.ok();
            let good = stage.digest().await;
            stage.act("promote").await.ok();
            assert_ne!(stage.digest().await, good);
            stage.until_it_works().await;
            assert_eq!(stage.digest().await, good);
            assert_eq!(stage.origin.seen().pop().unwrap().headers["x-a"], "1");
            for _ in 0..PATIENCE {
                stage.ask().await.ok();
            }
        }
    });
}

#[test]
fn a_reloaded_version_that_is_quarantined_gives_way_and_stays_away() {
    run(async {
        let stage = Stage::with("edit", None).await;
        stage.ask().await.ok();
        let good = stage.digest().await;
        stage.reload("trap", None).await.unwrap();
        stage.until_it_works().await;
        assert_eq!(stage.digest().await, good);
        // The same bad version does not come back with the next reload; another one may.
        stage.reload("trap", None).await.unwrap();
        stage.ask().await.ok();
        stage.reload("answer", None).await.unwrap();
        stage.ask().await.refused(403, "forbidden");
        // And that one, which served well, is what a bad one gives way to from now on.
        stage.reload("loop", None).await.unwrap();
        loop {
            let answer = stage.ask().await;
            match answer.status {
                503 => assert_eq!(answer.json()["plugin"], "guard"),
                _ => {
                    answer.refused(403, "forbidden");
                    break;
                }
            }
        }
    });
}

/// Clients that ask all the time, until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn on(gateway: &Gateway) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let connections: Vec<Client> = (0..CONNECTIONS).map(|_| gateway.client()).collect();
        let clients = (0..CLIENTS).map(|number| {
            let (client, stop, served) =
                (connections[number % CONNECTIONS].clone(), Arc::clone(&stop), Arc::clone(&served));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    ask(&client).await.ok();
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        Self { clients: clients.collect(), stop, served }
    }

    /// Waits until each client, on average, was served once more.
    async fn goes_on(&self) {
        let target = self.served.load(Ordering::Relaxed) + CLIENTS;
        eventually("the load goes on", || async { self.served.load(Ordering::Relaxed) >= target }).await;
    }

    async fn ends_well(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("no request failed");
        }
    }
}

#[test]
fn no_request_is_lost_over_reload_refused_reload_promotion_and_rollback() {
    run(async {
        let stage = Stage::with("ok", None).await;
        let load = Load::on(&stage.gateway);
        load.goes_on().await;

        stage.place.write("rubbish.wasm", "rubbish");
        let good = file(&stage.origin, "ok", None).text();
        let bad = good.replace(assets::plugin("hostile").to_str().unwrap(), "rubbish.wasm");
        stage.place.write("forebay.toml", &bad);
        let refused = stage.state.reload().await.unwrap_err().to_string();
        assert!(refused.contains("guard") && refused.contains("not a component"), "{refused}");
        load.goes_on().await;
        assert!(stage.reload("loop-in-configure", None).await.unwrap_err().contains("deadline"));
        load.goes_on().await;

        stage.reload("edit", Some("remember")).await.unwrap();
        load.goes_on().await;
        eventually("the new version serves", || async {
            stage.origin.seen().last().is_some_and(|seen| seen.headers.contains_key("x-a"))
        })
        .await;
        stage.act("promote").await.ok();
        load.goes_on().await;
        stage.act("rollback").await.ok();
        load.goes_on().await;
        load.ends_well().await;
        assert_eq!(stage.gateway.in_work().await, 0);
    });
}
