//! Where plugins come from: signatures, pins and versions, compiled plugins over restarts, and what a reload keeps.

use std::path::PathBuf;

use forebay_policy::signature::{SigningKey, Statement, component_sha256};
use forebay_tests::fakes::{Behaviour, FakeRegion, GOOD_ANSWER};
use forebay_tests::questions::matmul;
use forebay_tests::{GatewayFile, Place, Process, assets, run};
use serde_json::Value;

use super::house::acme;
use super::lifecycle::{GUARDED, PROGRAM, forebay};

const ACCESS: &str = "jwt-access.wasm";
const SEAL: &str = "field-seal.wasm";

/// A place with components of its own, a publisher's key, and one more that nobody named.
struct Shop {
    place: Place,
    region: FakeRegion,
}

impl Shop {
    async fn open() -> Self {
        let place = Place::new();
        for name in ["jwt-access", "field-seal"] {
            std::fs::copy(assets::plugin(name), place.file(&format!("{name}.wasm"))).unwrap();
        }
        let shop = Self { place, region: FakeRegion::start("eu", Behaviour::Answers(200, GOOD_ANSWER.into())).await };
        for key in ["publisher", "stranger"] {
            shop.tool(&["plugin", "keygen", &shop.path(key)]).await;
        }
        shop
    }

    fn path(&self, name: &str) -> String {
        self.place.file(name).to_str().unwrap().to_owned()
    }

    async fn tool(&self, arguments: &[&str]) -> String {
        let (code, said) = forebay(arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {said}");
        said
    }

    async fn sign(&self, component: &str, name: &str, version: &str, key: &str) {
        let (component, key) = (self.path(component), self.path(key));
        self.tool(&["plugin", "sign", &component, "--key", &key, "--name", name, "--version", version]).await;
    }

    async fn sign_both(&self, version: &str) {
        self.sign(ACCESS, "access", version, "publisher").await;
        self.sign(SEAL, "seal", version, "publisher").await;
    }

    /// Writes the configuration with keys of `[policy]` and of the plugin `access`.
    fn write(&self, policy: &str, access: &str) -> PathBuf {
        let file = GatewayFile::new().region("eu", &self.region.url(), "eu").route("infer", "", GUARDED);
        let mut text = file.plus(&format!("[policy]\n{policy}")).text();
        for name in ["jwt-access", "field-seal"] {
            text = text.replace(assets::plugin(name).to_str().unwrap(), &self.path(&format!("{name}.wasm")));
        }
        let text = text.replacen("name = \"access\"\n", &format!("name = \"access\"\n{access}\n"), 1);
        self.place.write("forebay.toml", &text)
    }

    /// Starts a node that must not start; what it says.
    async fn refused(&self, policy: &str, access: &str) -> String {
        let file = self.write(policy, access);
        let (code, said) = forebay(&["serve", "--config", file.to_str().unwrap()]).await;
        assert_eq!(code, 2, "{said}");
        said
    }

    /// Starts a node and asks it something, past the plugin `access`.
    async fn serving(&self, policy: &str, access: &str) -> Process {
        let _ = std::fs::remove_file(self.place.file("forebay.log"));
        let node = Process::start(PROGRAM, "serve", &self.place, &self.write(policy, access));
        asks(&node).await;
        node
    }
}

async fn asks(node: &Process) {
    let client = node.client().await;
    client.infer("", "matmul", &matmul(0.5)).token(&acme()).send().await.ok();
    client.infer("", "matmul", &matmul(0.5)).send().await.refused(401, "missing-credentials");
}

async fn ends(mut node: Process) {
    node.signal("TERM").await;
    assert_eq!(node.ended().await, 0);
}

async fn status(node: &Process) -> Value {
    node.admin().await.get("/v1/status").send().await.ok().json()
}

/// Hits, misses and rejections of the cache of compiled plugins.
async fn artefacts(node: &Process) -> [u64; 3] {
    let artefacts = &status(node).await["artefacts"];
    ["hits", "misses", "rejected"].map(|name| artefacts[name].as_u64().unwrap())
}

#[track_caller]
fn says(said: &str, all: &[&str]) {
    for expected in all {
        assert!(said.contains(expected), "{expected} not in:\n{said}");
    }
}

const SIGNERS: &str = "signers = [\"publisher.pub\"]";
const SIGNERS_AND_STATE: &str = "signers = [\"publisher.pub\"]\nstate_dir = \"state\"";

#[test]
fn with_signers_only_what_they_signed_is_loaded() {
    run(async {
        let shop = Shop::open().await;
        let said = shop.refused(SIGNERS, "").await;
        says(&said, &["`access`", ACCESS, "no signature", "forebay plugin sign", "--name access"]);

        shop.sign_both("1.2.0").await;
        let node = shop.serving(SIGNERS, "version = \"1.2.0\"").await;
        let plugins = status(&node).await["plugins"].clone();
        let access = plugins.as_array().unwrap().iter().find(|one| one["name"] == "access").unwrap().clone();
        assert_eq!(access["version"], "1.2.0");
        ends(node).await;

        let said = shop.refused(SIGNERS, "version = \"1.3.0\"").await;
        says(&said, &["`access`", "signed as version 1.2.0", "1.3.0 is asked for"]);
        let said = shop.refused("signers = [\"stranger.pub\"]", "").await;
        says(&said, &["`access`", "none of the signers", "policy.signers"]);
        let said = shop.refused("signers = [\"region.key\"]", "").await;
        says(&said, &["policy.signers[0]", "not an Ed25519 public key"]);
        let said = shop.refused(SIGNERS, &format!("sha256 = \"{}\"", "0".repeat(64))).await;
        says(&said, &["`access`", "plugins[0].sha256"]);

        shop.sign(ACCESS, "jwt-access", "1.2.0", "publisher").await;
        says(&shop.refused(SIGNERS, "").await, &["signed as `jwt-access`, not as `access`", "signed_name"]);
        ends(shop.serving(SIGNERS, "signed_name = \"jwt-access\"").await).await;

        shop.sign(ACCESS, "access", "1.2.0", "stranger").await;
        says(&shop.refused(SIGNERS, "").await, &["none of the signers"]);
    });
}

#[test]
fn a_statement_that_is_not_true_of_its_component_is_refused() {
    run(async {
        let shop = Shop::open().await;
        shop.sign_both("1.0.0").await;
        let signature = shop.path("jwt-access.wasm.sig");
        // Of the right bytes by the right key, but about other powers.
        let key = SigningKey::from_pem(&std::fs::read(shop.path("publisher")).unwrap()).unwrap();
        let statement = Statement {
            sha256: component_sha256(&std::fs::read(shop.path(ACCESS)).unwrap()),
            name: "access".to_owned(),
            version: "1.0.0".parse().unwrap(),
            imports: ["http", "identity", "outbound"].map(str::to_owned).into(),
        };
        std::fs::write(&signature, key.sign(statement).unwrap().to_json().unwrap()).unwrap();
        says(
            &shop.refused(SIGNERS, "").await,
            &["`access`", "[http, identity, outbound]", "this one uses [http, identity]"],
        );

        // Of another component.
        std::fs::copy(shop.path("field-seal.wasm.sig"), &signature).unwrap();
        says(&shop.refused(SIGNERS, "").await, &["`access`", "the signature is over the component"]);
        // Of the component that was there before somebody changed it.
        shop.sign(ACCESS, "access", "1.0.0", "publisher").await;
        let text = std::fs::read_to_string(&signature).unwrap();
        std::fs::write(&signature, text.replace("1.0.0", "9.0.0")).unwrap();
        says(&shop.refused(SIGNERS, "").await, &["`access`", "the signature is wrong"]);
        std::fs::write(&signature, "{}").unwrap();
        says(&shop.refused(SIGNERS, "").await, &["`access`", "not a signature file"]);
    });
}

#[test]
fn a_version_does_not_go_back_unless_told() {
    run(async {
        let shop = Shop::open().await;
        shop.sign_both("1.2.0").await;
        let node = shop.serving(SIGNERS_AND_STATE, "").await;
        shop.sign(ACCESS, "access", "1.1.9", "publisher").await;
        node.signal("HUP").await;
        let line = node.said("reload refused; the old configuration serves on").await;
        says(line["error"].as_str().unwrap(), &["`access`", "1.2.0 was served before", "allow_downgrade"]);
        asks(&node).await;
        ends(node).await;

        says(&shop.refused(SIGNERS_AND_STATE, "").await, &["1.2.0 was served before, and 1.1.9 would go back"]);
        ends(shop.serving(SIGNERS_AND_STATE, "allow_downgrade = true").await).await;
        // It was told once; from now on that version is the one to compare with.
        ends(shop.serving(SIGNERS_AND_STATE, "").await).await;

        let memory = shop.path("state/plugin-versions.json");
        let text = std::fs::read_to_string(&memory).unwrap();
        std::fs::write(&memory, text.replace("1.1.9", "0.0.1")).unwrap();
        says(&shop.refused(SIGNERS_AND_STATE, "").await, &["policy.state_dir", "this node did not write it"]);
    });
}

#[test]
fn compiled_plugins_outlive_the_node_and_a_changed_one_is_compiled_anew() {
    run(async {
        let shop = Shop::open().await;
        let node = shop.serving("state_dir = \"state\"", "").await;
        assert_eq!(artefacts(&node).await, [0, 2, 0]);
        // Nothing changed: a reload loads nothing.
        node.signal("HUP").await;
        node.said("reloaded").await;
        assert_eq!(artefacts(&node).await, [0, 2, 0]);
        ends(node).await;
        let node = shop.serving("state_dir = \"state\"", "").await;
        assert_eq!(artefacts(&node).await, [2, 0, 0]);
        ends(node).await;

        let folder = std::fs::read_dir(shop.path("state/artefacts")).unwrap();
        let files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 2);
        let mut bytes = std::fs::read(&files[0]).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&files[0], bytes).unwrap();
        let node = shop.serving("state_dir = \"state\"", "").await;
        assert_eq!(artefacts(&node).await, [1, 1, 1]);
        ends(node).await;
        let node = shop.serving("state_dir = \"state\"", "").await;
        assert_eq!(artefacts(&node).await, [2, 0, 0]);
        ends(node).await;

        // What another node made counts for nothing here.
        std::fs::remove_file(shop.path("state/node.key")).unwrap();
        let node = shop.serving("state_dir = \"state\"", "").await;
        assert_eq!(artefacts(&node).await, [0, 2, 2]);
        ends(node).await;
    });
}
