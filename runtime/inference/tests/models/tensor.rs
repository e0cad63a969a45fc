//! Plain tensors: every datatype there and back, and mistakes told before, or by, the run.

use bytes::Bytes;
use forebay_inference::{Blame, InferenceError};
use forebay_oip::{Datatype, InferRequest, Tensor};

use super::support::{ask, f32s, load_small, request, texts, wanting};

fn numbers(name: &str, shape: &[u64], values: &[f32]) -> Tensor {
    Tensor::from_f32(name, shape, values)
}

fn int64s(name: &str, values: &[i64]) -> Tensor {
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Tensor::from_raw(name, Datatype::Int64, [values.len() as u64], data.into())
}

#[tokio::test]
async fn a_product_is_right_and_its_mistakes_are_named() {
    let model = load_small("matmul.onnx", "[limits]\nmax_batch = 4\nmax_elements = 64").unwrap();
    let a = || numbers("a", &[1, 3], &[1.0, 2.0, 3.0]);
    let b = || numbers("b", &[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    let bias = || numbers("bias", &[1], &[10.0]);

    let sent = InferRequest { id: Some("seven".to_owned()), ..request([b(), bias(), a()]) };
    let answer = ask(&model, sent).await.unwrap().response;
    assert_eq!((answer.id.as_deref(), answer.model_version.as_deref()), (Some("seven"), Some("1")));
    assert_eq!((answer.outputs[0].shape.as_slice(), f32s(&answer.outputs[0])), (&[1, 2][..], vec![14.0, 15.0]));

    for (inputs, expected) in [
        (vec![a(), b()], "input `bias`: missing"),
        (
            vec![numbers("a", &[1, 2], &[1.0; 2]), b(), bias()],
            "input `b`: dimension 0 is 3, but `k` is 2 already (in input `a`)",
        ),
        (vec![numbers("a", &[5, 3], &[1.0; 15]), b(), bias()], "input `a`: a batch of 5; the most is 4"),
        (vec![int64s("a", &[1]), b(), bias()], "input `a`: expected FP32, found INT64"),
    ] {
        let error = ask(&model, request(inputs)).await.unwrap_err();
        assert_eq!((error.blame(), error.to_string().as_str()), (Blame::Client, expected));
    }
    assert_eq!(
        model.metadata().inputs.iter().map(|input| input.shape.clone()).collect::<Vec<_>>(),
        [vec![-1, -1], vec![-1, 2], vec![1]]
    );
}

#[tokio::test]
async fn every_datatype_comes_back_as_it_went() {
    let model = load_small("echo.onnx", "").unwrap();
    let inputs: Vec<Tensor> = Datatype::ALL.into_iter().map(sample).collect();
    let answer = ask(&model, request(inputs.clone())).await.unwrap().response;
    assert_eq!(answer.outputs.len(), inputs.len());
    for (sent, got) in inputs.iter().zip(&answer.outputs) {
        assert_eq!(got.name, sent.name.replace("in_", "out_"));
        assert_eq!((got.datatype, &got.shape, &got.data), (sent.datatype, &sent.shape, &sent.data), "{}", sent.name);
    }

    let wanted = wanting(request(inputs.clone()), &["out_bytes", "out_bool"]);
    let answer = ask(&model, wanted).await.unwrap().response;
    let names: Vec<_> = answer.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, ["out_bytes", "out_bool"]);
    assert_eq!(texts(&answer.outputs[0]), ["", "Stauwehr", "水"]);

    let mut not_text = inputs;
    let bytes = not_text.iter_mut().find(|tensor| tensor.datatype == Datatype::Bytes).unwrap();
    *bytes = Tensor::from_strings("in_bytes", [3], [b"a".as_slice(), b"\0", b"\xff"]);
    let error = ask(&model, request(not_text)).await.unwrap_err();
    assert_eq!(error.to_string(), "input `in_bytes`: element 1 is not UTF-8 text without NUL");
}

/// Three elements with bytes that differ, and no NaN that an operator might tidy.
fn sample(datatype: Datatype) -> Tensor {
    let name = format!("in_{}", datatype.as_str().to_lowercase());
    match datatype.size_bytes() {
        None => Tensor::from_strings(name, [3], ["", "Stauwehr", "水"].map(str::as_bytes)),
        Some(_) if datatype == Datatype::Bool => Tensor::from_raw(name, datatype, [3], Bytes::from_static(&[1, 0, 1])),
        Some(size) => {
            let data: Vec<u8> = (1..=3 * u8::try_from(size).unwrap()).collect();
            Tensor::from_raw(name, datatype, [3], data.into())
        }
    }
}

#[tokio::test]
async fn values_that_only_the_run_can_refuse_are_still_the_callers() {
    let model = load_small("pick.onnx", "").unwrap();
    let answer = ask(&model, request([int64s("index", &[2, 0])])).await.unwrap().response;
    assert_eq!(f32s(&answer.outputs[0]), [30.0, 10.0]);

    let error = ask(&model, request([int64s("index", &[7])])).await.unwrap_err();
    assert!(matches!(error, InferenceError::Refused), "{error}");

    let nothing = ask(&model, request([int64s("index", &[])])).await.unwrap().response;
    assert_eq!(nothing.outputs[0].shape, [0]);
}

#[tokio::test]
async fn sizes_that_only_the_run_can_refuse_are_still_the_callers() {
    let model = load_small("loose.onnx", "").unwrap();
    let sum = |m: usize, n: usize| {
        let vector = |name, size: usize| numbers(name, &[size as u64], &vec![1.0; size]);
        ask(&model, request([vector("x", m), vector("y", n)]))
    };
    assert_eq!(f32s(&sum(2, 2).await.unwrap().response.outputs[0]), [2.0, 2.0]);
    let error = sum(2, 3).await.unwrap_err();
    assert!(matches!(error, InferenceError::Refused), "{error}");
    let error = sum(65, 65).await.unwrap_err();
    assert_eq!(error.to_string(), "input `x`: a batch of 65; the most is 64");
}

#[tokio::test]
async fn a_long_name_is_not_repeated_in_full() {
    let model = load_small("pick.onnx", "").unwrap();
    let name = "n".repeat(1000);
    let input = ask(&model, request([int64s(&name, &[0])])).await.unwrap_err();
    let output = ask(&model, wanting(request([int64s("index", &[0])]), &[&name])).await.unwrap_err();
    for error in [input, output] {
        let text = error.to_string();
        assert!(text.len() < 150 && text.contains("nnn..."), "{text}");
    }
}

#[tokio::test]
async fn an_output_over_the_limit_is_not_copied() {
    let model = load_small("pick.onnx", "[limits]\nmax_output_bytes = 8").unwrap();
    ask(&model, request([int64s("index", &[0, 1])])).await.unwrap();
    let error = ask(&model, request([int64s("index", &[0, 1, 2])])).await.unwrap_err();
    assert_eq!(error.to_string(), "output `picked` has 12 bytes; the most is 8");
    assert_eq!(error.blame(), Blame::Client);
}
