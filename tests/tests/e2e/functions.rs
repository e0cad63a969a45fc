//! Components for `wasi:http` on routes: functions in an origin's place, and middleware in front of one.

use forebay_tests::fakes::Origin;
use forebay_tests::{Gateway, GatewayFile, Place, assets, run};
use serde_json::json;

use super::house::acme;
use super::lifecycle::forebay;

/// A node with the three guests on routes of their own; `keys` are more keys of all three functions.
fn file(keys: &str) -> GatewayFile {
    let mut file = GatewayFile::new();
    for name in ["service", "incoming", "middleware"] {
        let component = assets::plugin(&format!("wasi-{name}"));
        file = file.plus(&format!(
            "[[functions]]\nname = {name:?}\ncomponent = {component:?}\n\
             grants = [\"wasi-http\", \"clocks\", \"random\", \"stdio\"]\norigins = [\"http://127.0.0.1:1\"]\n{keys}"
        ));
    }
    file
}

fn function(file: GatewayFile, name: &str, keys: &str) -> GatewayFile {
    file.plus(&format!(
        "[[routes]]\nname = {name:?}\npath = \"/{name}/\"\ndialect = \"http\"\nfunction = {name:?}\n\
         access = \"public\"\n{keys}"
    ))
}

fn functions(keys: &str) -> GatewayFile {
    function(function(file(keys), "service", ""), "incoming", "")
}

async fn start(file: GatewayFile) -> (Place, Gateway) {
    let place = Place::new();
    let gateway = file.start(&place).await;
    (place, gateway)
}

#[test]
fn a_function_answers_and_streams_through_tls() {
    run(async {
        let (_place, gateway) = start(functions("env = { COLOUR = \"green\" }")).await;
        for client in [gateway.client(), gateway.http1()] {
            let hello = client.get("/service/a?q=1").send().await.ok();
            assert_eq!(hello.body, "hello from Method::Get localhost/service/a?q=1\n");
            assert_eq!(hello.header("content-type"), "text/plain");
            assert_eq!(client.get("/incoming/").send().await.ok().body, "hello from /incoming/\n");
            let asked = |path: &str, behaviour: &str| client.post(path).header("x-behaviour", behaviour);
            let pieces = asked("/service/", "stream").send().await.ok();
            assert_eq!(pieces.body, "piece 0\npiece 1\npiece 2\npiece 3\npiece 4\n");
            assert_eq!(asked("/service/", "environment").send().await.ok().body, "COLOUR=green\n");
            let long = "0123456789".repeat(50_000);
            for path in ["/service/", "/incoming/"] {
                assert_eq!(asked(path, "echo").body(long.clone()).send().await.ok().body, long, "{path}");
            }
        }
        gateway.stop().await;
    });
}

#[test]
fn a_function_that_fails_is_named_and_the_others_go_on() {
    run(async {
        let (_place, gateway) = start(functions("body_bytes = 65536\nlifetime_ms = 1000")).await;
        let client = gateway.client();
        for (path, behaviour) in [
            ("/service/", "loop"),
            ("/service/", "trap"),
            ("/service/", "memory"),
            ("/service/", "never"),
            ("/service/", "error"),
            ("/service/", "header-bomb"),
            ("/service/", "bad-status"),
            ("/service/", "many-tasks"),
            ("/incoming/", "loop"),
            ("/incoming/", "trap"),
            ("/incoming/", "no-answer"),
        ] {
            let refused = client.post(path).header("x-behaviour", behaviour).send().await;
            refused.refused(503, "policy-failed");
            assert_eq!(refused.json()["plugin"], path.trim_matches('/'), "{behaviour}");
            client.get("/service/").send().await.ok();
        }
        gateway.stop().await;
    });
}

#[test]
fn a_stream_that_was_cut_does_not_look_complete() {
    run(async {
        let (_place, gateway) = start(functions("body_bytes = 65536\nlifetime_ms = 1000")).await;
        for client in [gateway.client(), gateway.http1()] {
            for (path, behaviour) in [
                ("/service/", "loop-after-head"),
                ("/service/", "trap-after-head"),
                ("/service/", "hang-after-head"),
                ("/service/", "endless"),
                ("/service/", "short"),
                ("/incoming/", "trap-after-head"),
                ("/incoming/", "forget-the-end"),
            ] {
                let cut = client.post(path).header("x-behaviour", behaviour).try_send().await;
                assert!(cut.is_err(), "{behaviour}: {cut:?}");
            }
            client.get("/service/").send().await.ok();
        }
        gateway.stop().await;
    });
}

#[test]
fn the_requests_deadline_and_a_full_function_are_told_apart() {
    run(async {
        let file = function(file("instances = 1"), "service", "request_ms = 1000");
        let (_place, gateway) = start(file).await;
        let client = gateway.client();
        // Each asks until the other is not inside, or is.
        let waiting = async {
            loop {
                let answer = client.post("/service/").header("x-behaviour", "never").send().await;
                if answer.status != 503 {
                    return answer;
                }
            }
        };
        let other = async {
            loop {
                let answer = client.get("/service/").send().await;
                if answer.status != 200 {
                    return answer;
                }
            }
        };
        let (late, full) = tokio::join!(waiting, other);
        late.refused(504, "deadline-exceeded");
        full.refused(503, "overloaded");
        assert_eq!(full.json()["plugin"], "service");
        gateway.stop().await;
    });
}

#[test]
fn middleware_changes_heads_both_ways_and_streams_between() {
    run(async {
        let origin = Origin::start().await;
        let keys = "access = \"public\"\nmiddleware = [\"middleware\", \"middleware\"]";
        let (_place, gateway) = start(file("").origin("site", "/", &origin.url(), keys)).await;
        let client = gateway.client();
        let long = json!({ "text": "x".repeat(100_000) });
        let answer = client.post("/a/b?c=d").json(&long).send().await.ok();
        assert_eq!(answer.json(), long);
        assert_eq!(answer.headers.get_all("x-from-middleware").iter().count(), 2);
        let seen = origin.seen();
        assert_eq!((seen.len(), &*seen[0].line), (1, "POST /a/b?c=d"));
        assert_eq!(seen[0].headers["x-from-middleware"], "in");
        assert_eq!(seen[0].headers["content-type"], "application/json");

        let asked = |behaviour: &str| client.post("/").header("x-middleware", behaviour).body("{}").send();
        assert_eq!(asked("answer").await.status, 403);
        assert_eq!(asked("pass").await.ok().body, "{}");
        assert_eq!(origin.seen().len(), 2);
        for behaviour in ["trap", "loop", "trap-after-next", "trap-while-next"] {
            let refused = asked(behaviour).await;
            refused.refused(503, "policy-failed");
            assert_eq!(refused.json()["plugin"], "middleware", "{behaviour}");
        }
        gateway.stop().await;
    });
}

#[test]
fn what_fails_behind_middleware_is_what_the_client_reads() {
    run(async {
        let keys = "access = \"public\"\nmiddleware = [\"middleware\"]";
        let (_place, gateway) = start(file("").origin("site", "/", "http://127.0.0.1:1", keys)).await;
        let asked = |behaviour: &str| gateway.client().get("/").header("x-middleware", behaviour).send();
        asked("pass").await.refused(502, "bad-gateway");
        assert_eq!(asked("fall-back").await.status, 203);
        gateway.stop().await;
    });
}

#[test]
fn middleware_stands_before_a_function_and_policies_before_both() {
    run(async {
        let route = "[[routes]]\nname = \"both\"\npath = \"/both/\"\ndialect = \"http\"\nfunction = \"service\"\n\
                     middleware = [\"middleware\"]\npolicies = [\"access\"]";
        let (_place, gateway) = start(file("").plus(route)).await;
        gateway.client().get("/both/").send().await.refused(401, "missing-credentials");
        let answer = gateway.client().get("/both/").token(&acme()).send().await.ok();
        assert_eq!(answer.header("x-from-middleware"), "out");
        assert_eq!(answer.body, "hello from Method::Get localhost/both/\n");
        gateway.stop().await;
    });
}

#[test]
fn a_component_beyond_its_grants_or_out_of_its_place_keeps_the_node_from_starting() {
    run(async {
        let place = Place::new();
        let component = assets::plugin("wasi-service");
        let poor = GatewayFile::new()
            .plus(&format!("[[functions]]\nname = \"poor\"\ncomponent = {component:?}\ngrants = [\"random\"]"));
        let refused = poor.bind(&place).await.err().unwrap().to_string();
        assert!(
            refused.contains("`poor`")
                && refused.contains("uses [wasi-http, clocks, random, stdio] but is granted [random]"),
            "{refused}"
        );

        let alone = function(file(""), "middleware", "");
        let refused = alone.bind(&place).await.err().unwrap().to_string();
        assert!(refused.contains("`middleware`") && refused.contains("nothing is behind"), "{refused}");
        let in_front =
            file("").origin("site", "/", "http://127.0.0.1:1", "access = \"public\"\nmiddleware = [\"service\"]");
        let refused = in_front.bind(&place).await.err().unwrap().to_string();
        assert!(refused.contains("`service`") && refused.contains("does not import wasi:http/handler"), "{refused}");
    });
}

#[test]
fn one_that_keeps_failing_rests_and_the_status_says_so() {
    run(async {
        let (_place, gateway) = start(functions("quarantine_after = 2")).await;
        let client = gateway.client();
        let asked = |behaviour: &str| client.post("/service/").header("x-behaviour", behaviour).send();
        for _ in 0..2 {
            asked("trap").await.refused(503, "policy-failed");
        }
        let resting = asked("").await;
        resting.refused(503, "policy-failed");
        assert_eq!(resting.json()["plugin"], "service");
        client.get("/incoming/").send().await.ok();
        let functions = gateway.admin().get("/v1/status").send().await.ok().json()["functions"].clone();
        let of = |name: &str| functions.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
        assert_eq!((&of("service")["quarantined"], &of("incoming")["quarantined"]), (&json!(true), &json!(false)));
        assert_eq!(
            (&of("middleware")["middleware"], &of("middleware")["imports"]),
            (&json!(true), &json!(["handler"]))
        );
        assert!(
            gateway.metric("forebay_policy_failures_total{plugin=\"service\",reason=\"quarantined\"}").await
                >= Some(1.0)
        );
        gateway.stop().await;
    });
}

#[test]
fn with_signers_functions_and_middleware_need_a_signature_too() {
    run(async {
        let place = Place::new();
        let path = |name: &str| place.file(name).to_str().unwrap().to_owned();
        for name in ["wasi-service", "wasi-middleware", "jwt-access", "field-seal"] {
            std::fs::copy(assets::plugin(name), path(&format!("{name}.wasm"))).unwrap();
        }
        let tool = async |arguments: &[&str]| {
            let (code, said) = forebay(arguments).await;
            assert_eq!(code, 0, "{arguments:?}: {said}");
            said
        };
        let sign = async |component: &str, name: &str, version: &str| {
            let component = path(component);
            tool(&["plugin", "sign", &component, "--key", &path("key"), "--name", name, "--version", version]).await
        };
        tool(&["plugin", "keygen", &path("key")]).await;
        sign("jwt-access.wasm", "access", "1.0.0").await;
        sign("field-seal.wasm", "seal", "1.0.0").await;
        let write = |service: &str| {
            let mut file = GatewayFile::new().plus("[policy]\nsigners = [\"key.pub\"]\nstate_dir = \"state\"");
            for (name, keys) in [("service", service), ("middleware", "")] {
                let component = path(&format!("wasi-{name}.wasm"));
                let grants =
                    "grants = [\"wasi-http\", \"clocks\", \"random\", \"stdio\"]\norigins = [\"http://127.0.0.1:1\"]";
                let text = format!("[[functions]]\nname = {name:?}\ncomponent = {component:?}\n{grants}\n{keys}");
                file = file.plus(&text);
            }
            let mut text = function(file, "service", "middleware = [\"middleware\"]").text();
            for name in ["jwt-access", "field-seal"] {
                text = text.replace(assets::plugin(name).to_str().unwrap(), &path(&format!("{name}.wasm")));
            }
            place.write("forebay.toml", &text)
        };
        let refused = async |service: &str, expected: &[&str]| {
            let said = Gateway::try_from_file(&write(service), &place).await.err().unwrap().to_string();
            for expected in expected {
                assert!(said.contains(expected), "{expected} not in:\n{said}");
            }
        };
        refused("", &["`service`", "has no signature", "forebay plugin sign", "--name service"]).await;
        let said = sign("wasi-service.wasm", "service", "1.2.0").await;
        assert!(said.contains("imports [clocks, random, stdio, wasi-http]"), "{said}");
        refused("", &["`middleware`", "has no signature"]).await;
        let said = sign("wasi-middleware.wasm", "middleware", "1.0.0").await;
        assert!(said.contains("imports [handler]"), "{said}");
        refused("version = \"1.3.0\"", &["`service`", "signed as version 1.2.0", "1.3.0 is asked for"]).await;
        refused(&format!("sha256 = \"{}\"", "0".repeat(64)), &["`service`", "functions[0].sha256"]).await;

        let (gateway, _) = Gateway::try_from_file(&write("version = \"1.2.0\""), &place).await.unwrap();
        gateway.client().get("/service/").send().await.ok();
        let functions = gateway.admin().get("/v1/status").send().await.ok().json()["functions"].clone();
        assert_eq!((&functions[0]["version"], &functions[0]["name"]), (&json!("1.2.0"), &json!("service")));
        gateway.stop().await;

        sign("wasi-service.wasm", "service", "1.1.0").await;
        refused("", &["`service`", "1.2.0 was served before, and 1.1.0 would go back", "allow_downgrade"]).await;
        let (gateway, _) = Gateway::try_from_file(&write("allow_downgrade = true"), &place).await.unwrap();
        gateway.client().get("/service/").send().await.ok();
        gateway.stop().await;
        // Signed for one component, shown with another.
        std::fs::copy(path("wasi-middleware.wasm"), path("wasi-service.wasm")).unwrap();
        refused("", &["`service`", "the signature is over the component"]).await;
    });
}
