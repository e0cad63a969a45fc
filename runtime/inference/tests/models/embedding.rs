//! Sentences: the published similarities of all-MiniLM-L6-v2, and what a caller can get wrong.

use forebay_inference::{Model, ModelSettings};
use forebay_oip::{Datatype, Tensor};

use super::support::{ask, f32s, request, runtime, shipped, wanting};

fn texts(texts: &[&str]) -> Tensor {
    Tensor::from_strings("text", [texts.len() as u64], texts.iter().map(|text| text.as_bytes()))
}

fn load() -> Model {
    Model::load(&runtime(), &ModelSettings::new(shipped("minilm").path())).unwrap()
}

fn cosine(left: &[f32], right: &[f32]) -> f32 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

#[tokio::test]
async fn sentences_are_as_alike_as_published() {
    let model = load();
    let sentences =
        ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"];
    let answer = ask(&model, request([texts(&sentences)])).await.unwrap();

    let [output] = answer.response.outputs.as_slice() else { panic!("one output") };
    assert_eq!(
        (output.name.as_str(), output.datatype, output.shape.as_slice()),
        ("embedding", Datatype::Fp32, &[4, 384][..])
    );
    let numbers = f32s(output);
    let vectors: Vec<_> = numbers.chunks(384).collect();
    assert!((cosine(vectors[0], vectors[0]) - 1.0).abs() < 1e-4, "vectors have length 1");
    for (other, expected) in [(1, 0.6946), (2, 0.9429), (3, 0.2569)] {
        let found = cosine(vectors[0], vectors[other]);
        assert!((found - expected).abs() < 0.01, "{}: {found}, published {expected}", sentences[other]);
    }
    assert_eq!(answer.response.model_name, "minilm");
    assert!(answer.timing.run > answer.timing.finish, "{:?}", answer.timing);

    one_by_one_is_the_same(&model, &sentences, &vectors).await;
    mixed_lengths_keep_their_order(&model).await;
    a_callers_mistakes_are_the_callers(&model).await;
    metadata_tells_what_it_is(&model);
}

async fn one_by_one_is_the_same(model: &Model, sentences: &[&str], together: &[&[f32]]) {
    for (sentence, expected) in sentences.iter().zip(together) {
        let column = Tensor { shape: vec![1, 1], ..texts(&[sentence]) };
        let answer = ask(model, request([column])).await.unwrap();
        let alone = f32s(&answer.response.outputs[0]);
        assert!(cosine(&alone, expected) > 0.9999, "{sentence}");
    }
}

async fn mixed_lengths_keep_their_order(model: &Model) {
    let long = "a river runs down to the sea ".repeat(30);
    let mixed = [long.as_str(), "short", "", long.as_str(), "short"];
    let answer = ask(model, request([texts(&mixed)])).await.unwrap();
    let numbers = f32s(&answer.response.outputs[0]);
    let vectors: Vec<_> = numbers.chunks(384).collect();
    assert!(cosine(vectors[0], vectors[3]) > 0.9999);
    assert!(cosine(vectors[1], vectors[4]) > 0.9999);
    assert!(cosine(vectors[0], vectors[1]) < 0.9);
}

async fn a_callers_mistakes_are_the_callers(model: &Model) {
    let not_utf8 = Tensor::from_strings("text", [2], [b"fine".as_slice(), b"\xff"]);
    let huge = "x".repeat(4097);
    for (inputs, expected) in [
        (request([not_utf8]), "input `text`: element 1 is not UTF-8"),
        (request([texts(&[&huge])]), "input `text`: element 0 has more than 4096 bytes"),
        (request([texts(&["a"; 65])]), "input `text`: a batch of 65; from 1 to 64 are taken"),
        (request([]), "input `text`: missing"),
        (wanting(request([texts(&["a"])]), &["logits"]), "the model has no output `logits`"),
    ] {
        let error = ask(model, inputs).await.unwrap_err();
        assert_eq!(error.blame(), forebay_inference::Blame::Client);
        assert_eq!(error.to_string(), expected);
    }
}

fn metadata_tells_what_it_is(model: &Model) {
    let metadata = model.metadata();
    assert_eq!(metadata.inputs[0].shape, [-1]);
    assert_eq!(metadata.outputs[0].shape, [-1, 384]);
    assert_eq!(metadata.platform, "onnxruntime_onnx");
    assert_eq!(metadata.properties["task"], "embedding");
    assert_eq!(metadata.properties["device"]["actual"], "cpu");
    assert_eq!(metadata.properties["digest"], model.digest());
    assert!(model.digest().starts_with("8199be6f699a395f"), "{}", model.digest());
}

#[test]
fn a_graph_that_cannot_take_the_longest_text_is_refused() {
    let folder = shipped("minilm");
    let manifest = folder.path().join("model.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    // The graph has 512 positions.
    std::fs::write(&manifest, text.replace("max_tokens = 256", "max_tokens = 600")).unwrap();
    let error = Model::load(&runtime(), &ModelSettings::new(folder.path())).unwrap_err();
    assert!(error.to_string().contains("the first run failed"), "{error}");
}
