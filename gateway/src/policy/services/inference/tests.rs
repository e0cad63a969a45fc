#![allow(clippy::unwrap_used)]
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::telemetry::metrics::Metrics;
use crate::upstream::budget::RetryBudget;

fn areas(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn target(regions: &[&str], jurisdictions: &[&str]) -> InferenceTarget {
    InferenceTarget { regions: areas(regions), jurisdictions: areas(jurisdictions), ..InferenceTarget::default() }
}

#[test]
fn a_question_goes_where_its_request_may() {
    let open = target(&[], &[]);
    let eu = target(&["eu-west"], &["eu"]);
    let told = |route: Option<&InferenceTarget>, own: &[&str], within: Option<&[&str]>, home| {
        let target = narrowed(route, &areas(own), within.map(areas).as_deref(), home);
        target.map(|target| (target.regions, target.jurisdictions))
    };
    assert_eq!(told(Some(&eu), &[], None, None), Ok((areas(&["eu-west"]), areas(&["eu"]))));
    assert_eq!(told(Some(&open), &[], None, Some("eu")), Ok((Vec::new(), Vec::new())));
    assert_eq!(told(Some(&open), &["us"], None, Some("eu")), Ok((Vec::new(), areas(&["us"]))));
    assert_eq!(told(Some(&eu), &["us", "eu"], None, None), Ok((areas(&["eu-west"]), areas(&["eu"]))));
    assert_eq!(told(None, &["us"], None, Some("eu")), Ok((Vec::new(), areas(&["us"]))));
    assert_eq!(told(None, &[], None, Some("eu")), Ok((Vec::new(), areas(&["eu"]))));
    // What policy restricted the request to counts as well.
    assert_eq!(told(Some(&open), &[], Some(&["eu"]), None), Ok((Vec::new(), areas(&["eu"]))));
    assert_eq!(told(None, &["us", "eu"], Some(&["eu"]), None), Ok((Vec::new(), areas(&["eu"]))));
    // Nowhere must not become everywhere.
    for nowhere in [
        told(Some(&eu), &["us"], None, Some("eu")),
        told(None, &[], None, None),
        told(Some(&eu), &[], Some(&["us"]), Some("eu")),
        told(Some(&open), &[], Some(&[]), Some("eu")),
        told(None, &[], Some(&["us"]), Some("eu")),
    ] {
        assert_eq!(nowhere, Err(InferenceFailure::Unavailable));
    }
}

#[test]
fn tensors_are_checked_on_the_way_in_and_bounded_on_the_way_out() {
    let plain = |datatype: &str, shape: Vec<u64>, bytes: usize| {
        let data = Bytes::from(vec![0; bytes]);
        tensors(vec![PlainTensor { name: "x".into(), datatype: datatype.into(), shape, data }])
    };
    assert!(plain("FP32", vec![2], 8).is_ok());
    for (datatype, shape, bytes) in
        [("FP32", vec![2], 7), ("FP33", vec![2], 8), ("BYTES", vec![1], 2), ("FP32", vec![u64::MAX, u64::MAX], 8)]
    {
        assert_eq!(plain(datatype, shape, bytes), Err(InferenceFailure::BadInput), "{datatype}");
    }
    let one = PlainTensor { name: "x".into(), datatype: "BOOL".into(), shape: vec![0], data: Bytes::new() };
    assert!(tensors(vec![one.clone(); TENSORS_MAX]).is_ok());
    assert_eq!(tensors(vec![one; TENSORS_MAX + 1]), Err(InferenceFailure::BadInput));
    let large = Tensor::from_raw("y", Datatype::Uint8, [1], Bytes::from(vec![0; ANSWER_BYTES_MAX + 1]));
    assert_eq!(outputs(vec![large]), Err(InferenceFailure::TooLarge));
}

fn config() -> Config {
    let text = r#"
        listen = { address = "127.0.0.1:0", development_ca = "." }
        [[regions]]
        name = "eu-west"
        url = "https://eu.example.com"
        jurisdiction = "eu"
        [[routes]]
        name = "infer"
        path = "/v2/"
        dialect = "oip"
        access = "public"
    "#;
    Config::parse("test.toml", text, Path::new("/tmp")).unwrap()
}

fn regions(config: &Config) -> Arc<Regions> {
    let budget = Arc::new(RetryBudget::new(1, 1));
    Arc::new(Regions::new(Vec::new(), budget, config.balance.clone(), Arc::new(Metrics::default()), 1_000))
}

#[tokio::test]
async fn unknown_models_and_routes_are_asked_nowhere_and_a_reload_lets_go_of_regions() {
    let directory = Arc::new(Directory::default());
    let inference =
        PluginInference { directory: Arc::clone(&directory), models: ["m".to_owned()].into(), jurisdictions: vec![] };
    let deadline = Instant::now() + Duration::from_secs(9);
    let ask =
        async |route: &'static str, model: &'static str| inference.infer(route, None, model, vec![], deadline).await;
    // Before the first configuration serves.
    assert_eq!(ask("infer", "m").await, Err(InferenceFailure::Unavailable));

    let config = config();
    let first = regions(&config);
    directory.publish(&config, &first);
    assert_eq!(ask("infer", "other").await, Err(InferenceFailure::NotAllowed));
    assert_eq!(ask("none", "m").await, Err(InferenceFailure::Unavailable));
    assert_eq!(ask("infer", "m").await, Err(InferenceFailure::Unavailable));

    let gone = Arc::downgrade(&first);
    drop(first);
    assert!(gone.upgrade().is_some());
    directory.publish(&config, &regions(&config));
    assert!(gone.upgrade().is_none());
}
