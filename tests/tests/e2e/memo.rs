//! Verdicts that are remembered, and decisions that are recorded and made again.

use forebay_tests::fakes::{Behaviour, FakeRegion, GOOD_ANSWER};
use forebay_tests::questions::matmul;
use forebay_tests::{GatewayFile, Place, Token, run};

use super::house::acme;
use super::lifecycle::{GUARDED, forebay, serve};

async fn region() -> FakeRegion {
    FakeRegion::start("eu", Behaviour::Answers(200, GOOD_ANSWER.to_owned())).await
}

fn file(region: &FakeRegion) -> GatewayFile {
    GatewayFile::new().region("eu", &region.url(), "eu").route("infer", "", GUARDED)
}

#[test]
fn a_verdict_that_is_known_is_given_without_a_run_and_to_nobody_else() {
    run(async {
        let (place, region) = (Place::new(), region().await);
        let gateway = file(&region).start(&place).await;
        let ask = || gateway.client().infer("", "matmul", &matmul(0.5));
        let unscoped = Token::of("acme").with("scope", "other").signed();
        let expired = Token::of("acme").with("exp", 1).signed();
        for _ in 0..3 {
            ask().token(&acme()).send().await.ok();
            ask().send().await.refused(401, "missing-credentials");
            ask().token(&unscoped).send().await.refused(403, "forbidden");
            ask().token(&expired).send().await.refused(401, "invalid-token");
        }
        let count = |what: &str| format!("forebay_policy_memo_{what}_total{{plugin=\"access\"}}");
        assert_eq!(gateway.metric(&count("hits")).await, Some(8.0));
        assert_eq!(gateway.metric(&count("stores")).await, Some(4.0));
        let plugins = gateway.admin().get("/v1/plugins").send().await.ok().json();
        let of = |name: &str| {
            plugins.as_array().unwrap().iter().find(|plugin| plugin["name"] == name).unwrap()["memo"].clone()
        };
        assert_eq!((of("access")["hits"].as_u64(), of("access")["switched_off"].as_bool()), (Some(8), Some(false)));
        // What seals is not pure.
        assert!(of("seal").is_null());
    });
}

#[test]
fn a_recorded_decision_is_made_again_without_a_gateway() {
    run(async {
        let (place, region) = (Place::new(), region().await);
        let node = serve(&place, &file(&region));
        let (admin, client) = (node.admin_url().await, node.client().await);
        let arguments = ["plugin", "record", "access", "--count", "4", "--wait-s", "60", "--admin", &admin];
        let mut recording = Box::pin(forebay(&arguments));
        let (code, said) = loop {
            let asked = async {
                client.infer("", "matmul", &matmul(0.5)).token(&acme()).send().await.ok();
                client.infer("", "matmul", &matmul(0.5)).send().await.refused(401, "missing-credentials");
            };
            tokio::select! {
                ended = &mut recording => break ended,
                () = asked => {}
            }
        };
        assert_eq!(code, 0, "{said}");
        let lines: Vec<&str> = said.lines().filter(|line| line.starts_with('{')).collect();
        assert_eq!(lines.len(), 4, "{said}");
        assert!(!said.contains(&acme()), "no record holds a token");

        let config = place.file("forebay.toml");
        let replay = async |name: &str, records: String| {
            let records = place.write(name, &records);
            let (records, config) = (records.to_str().unwrap().to_owned(), config.to_str().unwrap().to_owned());
            forebay(&["plugin", "replay", &records, "--config", &config, "--name", "access"]).await
        };
        let (code, said) = replay("records.jsonl", lines.join("\n")).await;
        assert!(code == 0 && said.contains("4 decided the same, 0 otherwise"), "{said}");

        let changed = lines.join("\n").replace("\"status\":401", "\"status\":403");
        let (code, said) = replay("changed.jsonl", changed).await;
        assert!(code == 1 && said.contains("decided otherwise"), "{said}");
        let (code, said) = replay("rubbish.jsonl", "{}".to_owned()).await;
        assert!(code == 2 && said.contains("line 1"), "{said}");

        let (code, said) = forebay(&["plugin", "record", "seal", "--admin", &admin]).await;
        assert!(code == 1 && said.contains("not pure"), "{said}");
    });
}
