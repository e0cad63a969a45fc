//! Real models through the front door.

use forebay_oip::{Encoding, HEADER_LENGTH, InferRequest, Parameters, Tensor};
use forebay_tests::questions::{PAIR, cosine, matmul, texts};
use forebay_tests::{Answer, Client, assets, run};
use http::Version;
use serde_json::json;

use super::house::{acme, house};

#[track_caller]
fn is_published(cosine: f32) {
    assert!((cosine - 0.6946).abs() < 0.01, "{cosine}");
}

#[test]
fn the_published_cosine_over_both_versions_of_http() {
    run(async {
        let gateway = &house().await.gateway;
        for (client, version) in [(gateway.http1(), Version::HTTP_11), (gateway.client(), Version::HTTP_2)] {
            let answer = client.infer("", "minilm", &texts(&PAIR)).token(&acme()).send().await.ok();
            assert_eq!(answer.version, version);
            assert_eq!(answer.header("content-type"), "application/json");
            is_published(cosine(&answer.f32s("embedding")));
            let response = answer.inference();
            assert_eq!((response.model_name.as_str(), response.outputs[0].shape.as_slice()), ("minilm", &[2, 384][..]));
            assert!(answer.header("server-timing").contains("cache-lookup"), "{}", answer.header("server-timing"));
            assert_eq!(answer.header("x-request-id").len(), 32);
        }
    });
}

async fn ask_in_binary(client: &Client, model: &str, input: Tensor, outputs_too: bool) -> Answer {
    let mut parameters = Parameters::new();
    if outputs_too {
        parameters.insert("binary_data_output".into(), true.into());
    }
    let request = InferRequest { parameters, inputs: vec![input], ..InferRequest::default() };
    let encoded = forebay_oip::encode_request(&request, Encoding::Binary).unwrap();
    let length = encoded.json_length.unwrap().to_string();
    let ask = client.post(&format!("/v2/models/{model}/infer")).token(&acme());
    ask.header(HEADER_LENGTH, &length).body(encoded.body).send().await.ok()
}

#[test]
fn tensors_travel_in_binary_both_ways() {
    run(async {
        let client = house().await.gateway.client();
        let input = || Tensor::from_strings("text", [2], PAIR.map(str::as_bytes));
        let answer = ask_in_binary(&client, "minilm", input(), true).await;
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert!(!answer.header(HEADER_LENGTH).is_empty());
        is_published(cosine(&answer.f32s("embedding")));
        let answer = ask_in_binary(&client, "minilm", input(), false).await;
        assert_eq!((answer.header("content-type"), answer.cache()), ("application/json", "hit"));
        is_published(cosine(&answer.f32s("embedding")));
    });
}

#[test]
fn a_picture_is_read() {
    run(async {
        let client = house().await.gateway.client();
        let picture = assets::line_png();
        let answer =
            ask_in_binary(&client, "ocr", Tensor::from_strings("image", [1], [picture.as_slice()]), false).await;
        assert_eq!(answer.texts("text"), ["Forebay serves 2026"]);
        assert!(answer.f32s("confidence")[0] > 0.9);
    });
}

#[test]
fn the_callers_id_comes_back_on_a_miss_and_on_a_hit() {
    run(async {
        let client = house().await.gateway.client();
        let ask = |id: Option<&str>| {
            let mut question = matmul(17.25);
            if let Some(id) = id {
                question["id"] = json!(id);
            }
            client.infer("", "matmul", &question).token(&acme()).send()
        };
        for (id, cache) in [(Some("first"), "miss"), (Some("second"), "hit"), (None, "hit"), (Some("third"), "hit")] {
            let answer = ask(id).await.ok();
            assert_eq!((answer.cache(), answer.inference().id.as_deref()), (cache, id));
            assert_eq!(answer.f32s("y"), [24.25, 27.25]);
        }
    });
}

#[test]
fn only_the_outputs_that_are_asked_for_come() {
    run(async {
        let client = house().await.gateway.client();
        let mut question = matmul(3.0);
        question["outputs"] = json!([{"name": "y", "parameters": {"binary_data": true}}]);
        let answer = client.infer("", "matmul", &question).token(&acme()).send().await.ok();
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert_eq!(answer.f32s("y"), [10.0, 13.0]);
    });
}

#[test]
fn health_and_metadata_are_told() {
    run(async {
        let client = house().await.gateway.client();
        let get = |path: &str| client.get(&format!("/open{path}")).send();
        assert_eq!(get("/v2/health/live").await.ok().json(), json!({"live": true}));
        assert_eq!(get("/v2/health/ready").await.ok().json()["ready"], true);
        assert_eq!(get("/v2").await.ok().json()["name"], "forebay");
        assert_eq!(get("/v2/models/minilm/ready").await.ok().json()["ready"], true);
        for path in ["/v2/models/minilm", "/v2/models/minilm/versions/1"] {
            let metadata = get(path).await.ok().json();
            assert_eq!(metadata["name"], "minilm");
            assert_eq!(metadata["versions"], json!(["1"]));
            assert_eq!(metadata["inputs"][0], json!({"name": "text", "datatype": "BYTES", "shape": [-1]}));
            assert_eq!(metadata["outputs"][0]["shape"], json!([-1, 384]));
        }
        get("/v2/models/minilm/versions/2").await.refused(404, "model-not-found");
        get("/v2/models/none").await.refused(404, "model-not-found");
        get("/v2/models/none/ready").await.refused(404, "model-not-found");
        get("/v2/nothing").await.refused(404, "not-found");
    });
}

#[test]
fn a_version_can_be_asked_for() {
    run(async {
        let client = house().await.gateway.client();
        let ask =
            |version: &str| client.post(&format!("/open/v2/models/matmul/versions/{version}/infer")).json(&matmul(1.0));
        assert_eq!(ask("1").send().await.ok().f32s("y"), [8.0, 11.0]);
        ask("2").send().await.refused(404, "model-not-found");
    });
}
