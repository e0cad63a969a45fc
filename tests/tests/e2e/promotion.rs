//! What a node decided about the versions of a plugin, over restarts; and what a candidate can do before it is promoted.

use std::path::PathBuf;
use std::sync::Arc;

use forebay::node::State;
use forebay_tests::fakes::Origin;
use forebay_tests::{Answer, Gateway, GatewayFile, Place, assets, eventually, run};
use serde_json::{Value, json};

use super::capabilities::GRANTS;
use super::house::acme;
use super::lifecycle::forebay;

/// Failures in a row after which the guest is quarantined.
const PATIENCE: usize = 3;

/// A place with a state folder, components of its own with signatures, and an origin behind them.
struct Yard {
    place: Place,
    origin: Origin,
    signed: bool,
}

/// A node that runs there.
struct Running {
    gateway: Gateway,
    state: Arc<State>,
}

impl Yard {
    async fn new(signed: bool) -> Self {
        let yard = Self { place: Place::new(), origin: Origin::start().await, signed };
        for name in ["jwt-access", "field-seal", "hostile"] {
            std::fs::copy(assets::plugin(name), yard.component(name)).unwrap();
        }
        if signed {
            tool(&["plugin", "keygen", &yard.path("publisher")]).await;
            yard.sign("jwt-access", "access", "1.0.0").await;
            yard.sign("field-seal", "seal", "1.0.0").await;
        }
        yard
    }

    fn path(&self, name: &str) -> String {
        self.place.file(name).to_str().unwrap().to_owned()
    }

    fn component(&self, name: &str) -> PathBuf {
        self.place.file(&format!("{name}.wasm"))
    }

    async fn sign(&self, component: &str, name: &str, version: &str) {
        let component = self.component(component);
        let (component, key) = (component.to_str().unwrap(), self.path("publisher"));
        tool(&["plugin", "sign", component, "--key", &key, "--name", name, "--version", version]).await;
    }

    /// The configuration: how the guest behaves, and its candidate, which is a component of its own.
    fn file(&self, active: &str, candidate: Option<&str>) -> GatewayFile {
        let component = self.component("hostile");
        let shadow = candidate.map_or(String::new(), |candidate| {
            let (other, component) = (self.component("next"), &component);
            if !other.exists() {
                std::fs::copy(component, &other).unwrap();
            }
            format!("shadow = {{ component = {other:?}, config = {{ behaviour = {candidate:?} }} }}\n")
        });
        let signers = if self.signed { "signers = [\"publisher.pub\"]" } else { "" };
        GatewayFile::new()
            .plus(&format!(
                "[policy]\nstate_dir = \"state\"\n{signers}\n[[plugins]]\nname = \"guard\"\ncomponent = {component:?}\n\
                 deadline_ms = 500\nquarantine_after = {PATIENCE}\n\
                 grants = [\"http\", \"identity\", \"sealing\", \"log\", \"body\"]\n\
                 config = {{ behaviour = {active:?} }}\n{shadow}"
            ))
            .origin("site", "/", &self.origin.url(), "policies = [\"access\", \"guard\"]")
    }

    fn write(&self, active: &str, candidate: Option<&str>) -> PathBuf {
        let mut text = self.file(active, candidate).text();
        for name in ["jwt-access", "field-seal"] {
            text = text.replace(assets::plugin(name).to_str().unwrap(), self.component(name).to_str().unwrap());
        }
        self.place.write("forebay.toml", &text)
    }

    async fn try_start(&self, active: &str, candidate: Option<&str>) -> Result<Running, String> {
        let path = self.write(active, candidate);
        let (gateway, state) = Gateway::try_from_file(&path, &self.place).await.map_err(|error| error.to_string())?;
        Ok(Running { gateway, state })
    }

    async fn start(&self, active: &str, candidate: Option<&str>) -> Running {
        self.try_start(active, candidate).await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn reload(&self, node: &Running, active: &str, candidate: Option<&str>) -> Result<(), String> {
        self.write(active, candidate);
        node.state.reload().await.map_err(|error| error.to_string())
    }

    /// Asks until the guest works again; nothing gets past it meanwhile.
    async fn until_it_works(&self, node: &Running) {
        let before = self.origin.seen().len();
        for _ in 0..10_000 {
            if node.ask().await.status == 200 {
                assert_eq!(self.origin.seen().len(), before + 1, "something got past the guest");
                return;
            }
        }
        panic!("it never works again");
    }
}

impl Running {
    async fn ask(&self) -> Answer {
        self.gateway.client().post("/x").token(&acme()).json(&json!({"pin": 4711})).send().await
    }

    async fn act(&self, act: &str) -> Value {
        self.gateway.admin().post(&format!("/v1/plugins/guard/{act}")).send().await.ok().json()
    }

    async fn digest(&self) -> String {
        let plugins = self.gateway.admin().get("/v1/plugins").send().await.ok().json();
        let guard = plugins.as_array().unwrap().iter().find(|plugin| plugin["name"] == "guard").unwrap().clone();
        guard["digest"].as_str().unwrap().to_owned()
    }
}

async fn tool(arguments: &[&str]) {
    let (code, said) = forebay(arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {said}");
}

const LASTS: &str = "the configuration changes";
const ENDS: &str = "the node restarts";

#[test]
fn a_promoted_candidate_serves_after_a_restart_and_a_rollback_too() {
    run(async {
        let yard = Yard::new(false).await;
        let node = yard.start("edit", Some("answer")).await;
        node.ask().await.ok();
        let before = node.digest().await;
        let told = node.act("promote").await;
        assert_eq!(told["until"], LASTS);
        node.gateway.stop().await;

        let node = yard.start("edit", Some("answer")).await;
        node.ask().await.refused(403, "forbidden");
        assert_eq!(told["promoted"], node.digest().await.as_str());
        // The version before it is known, though it never served in this process.
        let told = node.act("rollback").await;
        assert_eq!((&told["serving"], &told["until"]), (&before.as_str().into(), &LASTS.into()));
        node.gateway.stop().await;

        let node = yard.start("edit", Some("answer")).await;
        node.ask().await.ok();
        assert_eq!(node.digest().await, before);
    });
}

#[test]
fn a_promotion_is_over_when_the_configuration_names_another_candidate() {
    run(async {
        let yard = Yard::new(false).await;
        let node = yard.start("edit", Some("answer")).await;
        node.ask().await.ok();
        node.act("promote").await;
        node.gateway.stop().await;
        let node = yard.start("edit", Some("trap")).await;
        node.ask().await.ok();
        node.gateway.stop().await;
        // Nor does it come back with its name.
        let node = yard.start("edit", Some("answer")).await;
        node.ask().await.ok();
        node.act("promote").await;
        node.ask().await.refused(403, "forbidden");
        yard.reload(&node, "edit", None).await.unwrap();
        yard.reload(&node, "edit", Some("answer")).await.unwrap();
        node.ask().await.ok();
        // A version that a reload replaced is not in the configuration, and comes back for as long as the node runs.
        yard.reload(&node, "answer", None).await.unwrap();
        assert_eq!(node.act("rollback").await["until"], ENDS);
    });
}

#[test]
fn a_file_of_promotions_that_somebody_changed_is_refused() {
    run(async {
        let yard = Yard::new(false).await;
        let node = yard.start("edit", Some("answer")).await;
        let digest = node.digest().await;
        node.act("promote").await;
        let promoted = node.digest().await;
        node.gateway.stop().await;
        let path = yard.place.file("state/promotions.json");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(&promoted), "{text}");
        std::fs::write(&path, text.replace(&promoted, &digest)).unwrap();
        let refused = yard.try_start("edit", Some("answer")).await.err().unwrap();
        assert!(refused.contains("policy.state_dir") && refused.contains("this node did not write it"), "{refused}");
    });
}

#[test]
fn what_a_quarantine_puts_back_lets_no_other_old_version_in() {
    run(async {
        let yard = Yard::new(true).await;
        yard.sign("hostile", "guard", "1.0.0").await;
        let node = yard.start("edit", None).await;
        node.ask().await.ok();
        let good = node.digest().await;
        yard.sign("hostile", "guard", "2.0.0").await;
        yard.reload(&node, "trap", None).await.unwrap();
        yard.until_it_works(&node).await;
        assert_eq!(node.digest().await, good);

        yard.sign("hostile", "guard", "1.5.0").await;
        let refused = yard.reload(&node, "answer", None).await.unwrap_err();
        assert!(refused.contains("2.0.0 was served before, and 1.5.0 would go back"), "{refused}");
        node.gateway.stop().await;
        let refused = yard.try_start("answer", None).await.err().unwrap();
        assert!(refused.contains("2.0.0 was served before"), "{refused}");
        // The very version that was put back may start again, and only until another one serves.
        yard.sign("hostile", "guard", "1.0.0").await;
        let node = yard.start("edit", None).await;
        node.ask().await.ok();
        yard.sign("hostile", "guard", "2.0.1").await;
        yard.reload(&node, "ok", None).await.unwrap();
        yard.sign("hostile", "guard", "1.0.0").await;
        yard.reload(&node, "edit", None).await.unwrap_err();
    });
}

#[test]
fn a_promoted_version_that_is_quarantined_after_a_restart_gives_way_and_the_node_starts_again() {
    run(async {
        let yard = Yard::new(true).await;
        yard.write("edit", Some("trap"));
        yard.sign("hostile", "guard", "1.0.0").await;
        yard.sign("next", "guard", "2.0.0").await;
        let node = yard.start("edit", Some("trap")).await;
        node.ask().await.ok();
        let good = node.digest().await;
        assert_eq!(node.act("promote").await["until"], LASTS);
        node.gateway.stop().await;
        for _ in 0..2 {
            let node = yard.start("edit", Some("trap")).await;
            yard.until_it_works(&node).await;
            assert_eq!(node.digest().await, good);
            node.gateway.stop().await;
        }
        yard.sign("hostile", "guard", "1.5.0").await;
        let refused = yard.try_start("answer", Some("trap")).await.err().unwrap();
        assert!(refused.contains("2.0.0 was served before"), "{refused}");
    });
}

#[test]
fn an_operator_who_rolls_back_says_that_the_version_may() {
    run(async {
        let yard = Yard::new(true).await;
        yard.sign("hostile", "guard", "1.0.0").await;
        let node = yard.start("edit", None).await;
        node.ask().await.ok();
        yard.sign("hostile", "guard", "2.0.0").await;
        yard.reload(&node, "ok", None).await.unwrap();
        node.act("rollback").await;
        yard.sign("hostile", "guard", "1.5.0").await;
        yard.reload(&node, "answer", None).await.unwrap();
        node.ask().await.refused(403, "forbidden");
    });
}

#[test]
fn a_candidate_that_would_go_back_is_refused_with_the_configuration() {
    run(async {
        let yard = Yard::new(true).await;
        yard.write("edit", Some("answer"));
        yard.sign("hostile", "guard", "2.0.0").await;
        yard.sign("next", "guard", "1.9.0").await;
        // It would go back behind the version beside it.
        let refused = yard.try_start("edit", Some("answer")).await.err().unwrap();
        assert!(refused.contains("next.wasm") && refused.contains("1.9.0 would go back"), "{refused}");
        // And behind what was served before.
        let node = yard.start("edit", None).await;
        yard.reload(&node, "edit", Some("answer")).await.unwrap_err();
        yard.sign("next", "guard", "2.0.0").await;
        yard.reload(&node, "edit", Some("answer")).await.unwrap();
    });
}

/// A node before an origin, with a guest that does as its requests say and its like as its candidate.
async fn acting(effects: &str, origin: &Origin, place: &Place) -> Gateway {
    let component = assets::plugin("capabilities");
    let guest = format!(
        "[[plugins]]\nname = \"guard\"\ncomponent = {component:?}\nkeys = [\"region\"]\norigins = [{:?}]\n\
         grants = [{GRANTS}]\nmodels = [\"matmul\"]\ndeadline_ms = 1000\n\
         shadow = {{ component = {component:?}{effects} }}",
        origin.url()
    );
    // Nobody asks a model; but there must be a region that could have it.
    let file = GatewayFile::new().region("eu", &origin.url(), "eu").plus(&guest);
    file.origin("site", "/", &origin.url(), "policies = [\"guard\"]").start(place).await
}

#[test]
fn a_candidate_reaches_nobody_and_signs_nothing_unless_it_may_act() {
    run(async {
        for (effects, result, asked) in [("", "different", 1), (", effects = true", "same", 2)] {
            let (origin, place) = (Origin::start().await, Place::new());
            let gateway = acting(effects, &origin, &place).await;
            let compared = async || {
                let labels = format!("{{plugin=\"guard#shadow\",hook=\"on-request\",result={result:?}}}");
                gateway.metric(&format!("forebay_policy_shadow_total{labels}")).await.unwrap_or_default()
            };
            let fetch = format!("fetch POST {}/asked 10000 x", origin.url());
            for (number, command) in [(1.0, fetch.as_str()), (2.0, "sign region cookie text")] {
                gateway.client().get("/").token(&acme()).header("x-do", command).send().await.ok();
                eventually(command, || async { compared().await >= number }).await;
            }
            let seen = origin.seen();
            assert_eq!(seen.iter().filter(|seen| seen.line.ends_with("/asked")).count(), asked, "{effects}");
        }
    });
}
