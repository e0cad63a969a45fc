//! What must not be answered: every refusal has its status and problem type, none is the node's fault, and the node
//! serves on.

use forebay_oip::HEADER_LENGTH;
use forebay_tests::questions::{matmul, texts};
use forebay_tests::raw::statuses;
use forebay_tests::{Answer, run};
use http::Method;
use serde_json::{Value, json};

use super::house::{SMALL_BODY_BYTES, house};

/// How an expected answer is written: status and problem type.
type Verdict = (u16, &'static str);

const MALFORMED: Verdict = (400, "malformed-body");
const TENSOR: Verdict = (400, "invalid-tensor");

pub(crate) async fn still_serves() {
    let client = house().await.gateway.client();
    assert_eq!(client.infer("/open", "matmul", &matmul(0.5)).send().await.ok().f32s("y"), [7.5, 10.5]);
}

async fn post(path: &str, body: &str) -> Answer {
    house().await.gateway.client().post(path).body(body.to_owned()).send().await
}

#[test]
fn bodies_that_are_no_inference() {
    run(async {
        let deep = format!("{{\"inputs\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        let many = json!({"inputs": vec![json!({"name": "a", "shape": [0], "datatype": "FP32", "data": []}); 5000]});
        for (what, body) in [
            ("nothing", ""),
            ("no JSON", "inputs"),
            ("half of it", "{\"inputs\": ["),
            ("more than it", "{\"inputs\": []} {}"),
            ("an array", "[]"),
            ("a number", "7"),
            ("no inputs", "{}"),
            ("inputs that are no list", "{\"inputs\": {}}"),
            ("the same key twice", "{\"inputs\": [], \"inputs\": []}"),
            ("bytes that are no text", "{\"id\": \"\u{0}\"}"),
            ("deep nesting", &deep),
        ] {
            let answer = post("/open/v2/models/matmul/infer", body).await;
            assert_eq!(answer.verdict(), (400, "malformed-body".to_owned()), "{what}: {answer:?}");
        }
        let answer = post("/open/v2/models/matmul/infer", &many.to_string()).await;
        assert!((400..500).contains(&answer.status), "{answer:?}");
        still_serves().await;
    });
}

fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut question = matmul(0.5);
    change(&mut question);
    question
}

fn with_input(name: &str, shape: &Value, datatype: &str, data: &Value) -> Value {
    changed(|question| {
        let input = json!({"name": name, "shape": shape, "datatype": datatype, "data": data});
        question["inputs"][0] = input;
    })
}

#[test]
fn tensors_that_do_not_fit() {
    run(async {
        let (two, pair) = (json!([1, 2]), json!([1.0, 2.0]));
        let cases: Vec<(&str, Value, Verdict)> = vec![
            ("a shape that the data does not fill", with_input("a", &json!([1, 3]), "FP32", &pair), TENSOR),
            ("a shape that the model does not take", with_input("a", &json!([2]), "FP32", &pair), TENSOR),
            ("named dimensions that differ", with_input("a", &json!([2, 1]), "FP32", &pair), TENSOR),
            ("a negative dimension", with_input("a", &json!([-1, 2]), "FP32", &pair), MALFORMED),
            ("a dimension beyond measure", with_input("a", &json!([u64::MAX, 2]), "FP32", &pair), TENSOR),
            (
                "dimensions whose product overflows",
                with_input("a", &json!([1_u64 << 40, 1_u64 << 40]), "FP32", &pair),
                TENSOR,
            ),
            ("a datatype that the model does not take", with_input("a", &two, "INT32", &json!([1, 2])), TENSOR),
            ("a datatype that nobody has", with_input("a", &two, "FP33", &pair), TENSOR),
            ("text where numbers belong", with_input("a", &two, "FP32", &json!(["1", "2"])), TENSOR),
            ("a number too large for its type", with_input("a", &two, "FP32", &json!([1e300, 2])), TENSOR),
            ("an input that the model does not have", with_input("z", &two, "FP32", &pair), TENSOR),
            ("a missing input", changed(|q| drop(q["inputs"].as_array_mut().unwrap().remove(0))), TENSOR),
            ("no input at all", changed(|q| q["inputs"] = json!([])), TENSOR),
            (
                "an input twice",
                changed(|q| {
                    let again = q["inputs"][0].clone();
                    q["inputs"].as_array_mut().unwrap().push(again);
                }),
                TENSOR,
            ),
            ("an output that the model does not have", changed(|q| q["outputs"] = json!([{"name": "z"}])), TENSOR),
            ("an output twice", changed(|q| q["outputs"] = json!([{"name": "y"}, {"name": "y"}])), TENSOR),
        ];
        let client = house().await.gateway.client();
        for (what, question, (status, kind)) in cases {
            let answer = client.infer("/open", "matmul", &question).send().await;
            let (found_status, found_kind) = answer.verdict();
            assert_eq!(found_status, status, "{what}: {answer:?}");
            // Whether a datum is no JSON of its kind or no tensor of its type is a matter of taste.
            assert!(found_kind == kind || found_kind == MALFORMED.1, "{what}: {found_kind} for {kind}");
        }
        for question in
            [texts(&[]), json!({"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [7]}]})]
        {
            let answer = client.infer("/open", "minilm", &question).send().await;
            assert_eq!(answer.status, 400, "{answer:?}");
        }
        still_serves().await;
    });
}

#[test]
fn names_that_are_not_the_clients_to_use() {
    run(async {
        let client = house().await.gateway.client();
        for question in [
            changed(|q| q["parameters"] = json!({"forebay_seal.y": "region"})),
            changed(|q| q["inputs"][0]["parameters"] = json!({"forebay_sealed": "region"})),
            changed(|q| q["outputs"] = json!([{"name": "y", "parameters": {"forebay_seal": "region"}}])),
        ] {
            client.infer("/open", "matmul", &question).send().await.refused(400, "malformed-body");
        }
        // What a client says about its deadline to the region is not passed on.
        let ask = client.infer("/open", "matmul", &matmul(0.5)).header("forebay-timeout-ms", "0");
        ask.send().await.ok();
    });
}

#[test]
fn paths_methods_and_models_that_are_not_there() {
    run(async {
        let client = house().await.gateway.client();
        client.infer("/open", "none", &matmul(0.5)).send().await.refused(404, "model-not-found");
        client.infer("/narrow", "countdown", &matmul(0.5)).send().await.refused(404, "model-not-found");
        client.infer("/narrow", "matmul", &matmul(0.5)).send().await.ok();
        client.infer("/nowhere", "matmul", &matmul(0.5)).send().await.refused(404, "not-found");
        for path in ["/open/v2/models/matmul", "/open/v2/models/%2e%2e/infer", "/open/v2/models/../models/matmul/infer"]
        {
            let answer = client.post(path).json(&matmul(0.5)).send().await;
            assert!([400, 404, 405].contains(&answer.status), "{path}: {answer:?}");
        }
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let answer = client.ask(method, "/open/v2/models/matmul/infer").send().await;
            answer.refused(405, "method-not-allowed");
            assert_eq!(answer.header("allow"), "POST");
        }
        still_serves().await;
    });
}

#[test]
fn bodies_that_are_coded_or_miscounted() {
    run(async {
        let client = house().await.gateway.client();
        let ask = || client.infer("/open", "matmul", &matmul(0.5));
        ask().header("content-encoding", "gzip").send().await.refused(415, "unsupported-encoding");
        ask()
            .header("content-encoding", "identity")
            .header("content-encoding", "gzip")
            .send()
            .await
            .refused(415, "unsupported-encoding");
        ask().header("content-encoding", "identity").send().await.ok();
        for length in ["x", "-1", "+1", "1.5", "", "0", "99999999", "99999999999999999999999", "3"] {
            let answer = ask().header(HEADER_LENGTH, length).send().await;
            assert_eq!(answer.verdict(), (400, "malformed-body".to_owned()), "{length}: {answer:?}");
        }
        let whole = matmul(0.5).to_string().len().to_string();
        ask().header(HEADER_LENGTH, &whole).header(HEADER_LENGTH, "3").send().await.refused(400, "malformed-body");
    });
}

#[test]
fn bodies_that_are_too_large() {
    run(async {
        let gateway = &house().await.gateway;
        let large = " ".repeat(SMALL_BODY_BYTES + 1);
        for client in [gateway.client(), gateway.http1()] {
            let ask = client.post("/small/v2/models/matmul/infer").body(large.clone());
            ask.send().await.refused(413, "body-too-large");
        }
        // Without a length, so that only reading tells.
        let mut raw = gateway.raw().await;
        raw.send(
            b"POST /small/v2/models/matmul/infer HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n",
        )
        .await;
        raw.send(format!("{:x}\r\n{large}\r\n", large.len()).as_bytes()).await;
        let answer = raw.until("body-too-large").await;
        assert_eq!(statuses(&answer), [413], "{answer}");
        still_serves().await;
    });
}

#[test]
fn bodies_that_do_not_come() {
    run(async {
        let gateway = &house().await.gateway;
        let head = "POST /quick/v2/models/matmul/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n";
        let mut slow = gateway.raw().await;
        slow.send(head.as_bytes()).await;
        slow.send(b"{").await;
        let answer = slow.until("request-timeout").await;
        assert_eq!(statuses(&answer), [408], "{answer}");

        let mut truncated = gateway.raw().await;
        truncated.send(head.replace("/quick", "/open").as_bytes()).await;
        truncated.send(b"{\"inputs\":").await;
        truncated.half_close().await;
        let answer = truncated.rest().await;
        assert!(matches!(statuses(&answer)[..], [] | [400]), "{answer}");
        still_serves().await;
    });
}
