//! A whole node over sockets, with the small graphs that `forebay-inference` is tested with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use forebay_oip::sealed::{self, Nonce, Place, Terms};
use forebay_oip::{Datatype, DecodeLimits, Encoding, InferRequest, Tensor, decode_response, encode_request};
use forebay_region::{RegionConfig, RegionError, RegionNode};
use forebay_seal::Keyring;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

const KEY_HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const INFER: &str = "/v2/models/matmul/infer";
const COUNTDOWN: &str = "/v2/models/countdown/infer";

/// A node with two models: `matmul` (y = a x b + bias) and `countdown` (runs as long as it is told to).
struct Node {
    address: SocketAddr,
    node: RegionNode,
    shutdown: CancellationToken,
    #[expect(dead_code, reason = "holds the files")]
    folder: TempDir,
}

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn problem(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        self.json()["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }
}

fn configure(folder: &Path, more: &str) -> RegionConfig {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let library = root.join("target/assets/onnxruntime/libonnxruntime.so");
    assert!(library.exists(), "ONNX Runtime is missing: run `cargo xtask assets`");
    let mut models = String::new();
    for name in ["matmul", "countdown"] {
        let model = folder.join(name);
        std::fs::create_dir(&model).unwrap();
        let graph = root.join(format!("runtime/inference/tests/data/{name}.onnx"));
        std::fs::copy(graph, model.join("model.onnx")).unwrap();
        let manifest = format!("name = '{name}'\nversion = '1'\ntask = 'tensor'\n");
        std::fs::write(model.join("model.toml"), manifest).unwrap();
        models += &format!("[[models]]\npath = '{name}'\nqueue_capacity = 2\n");
    }
    let key = folder.join("records.key");
    std::fs::write(&key, KEY_HEX).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let text = format!(
        "name = 'eu-west'\njurisdiction = 'eu'\nlisten = '127.0.0.1:0'\n[runtime]\nlibrary = '{}'\n{models}\
         [[keys]]\nname = 'records'\nfile = 'records.key'\n{more}",
        library.display()
    );
    RegionConfig::parse("region.toml", &text, folder).unwrap()
}

impl Node {
    async fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = configure(folder.path(), more);
        let shutdown = CancellationToken::new();
        let mut node = RegionNode::start(config, shutdown.clone()).await.unwrap();
        node.ready().await.unwrap();
        Node { address: node.local_addr(), node, shutdown, folder }
    }

    async fn get(&self, path: &str) -> Answer {
        exchange(self.address, "GET", path, &[], b"").await
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        exchange(self.address, "POST", path, headers, body).await
    }
}

async fn exchange(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: region\r\nconnection: close\r\n");
    head += &format!("content-length: {}\r\n", body.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an answer with a head");
    let head = str::from_utf8(&answer[..end]).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap()).map(|(name, value)| (name.into(), value.into()));
    Answer { status, headers: headers.collect(), body: Bytes::copy_from_slice(&answer[end + 4..]) }
}

fn matmul() -> Value {
    json!({"id": "7", "inputs": [
        {"name": "a", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]},
        {"name": "b", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3, 4]]},
        {"name": "bias", "shape": [1], "datatype": "FP32", "data": [0.5]},
    ]})
}

fn countdown(steps: i64) -> Vec<u8> {
    json!({"inputs": [{"name": "steps", "shape": [1], "datatype": "INT64", "data": [steps]}]}).to_string().into_bytes()
}

/// Asks for a run without end.
async fn endless(address: SocketAddr, timeout_ms: &'static str) -> Answer {
    exchange(address, "POST", COUNTDOWN, &[("forebay-timeout-ms", timeout_ms)], &countdown(i64::MAX)).await
}

/// Sets the only session of `countdown` to work, until the deadline stops it, and returns when it is at work.
async fn run_endlessly(address: SocketAddr) -> JoinHandle<Answer> {
    let running = tokio::spawn(endless(address, "3000"));
    // A request that was refused before its run found the session taken. The queue has room for both of them.
    while !endless(address, "50").await.json()["detail"].as_str().unwrap().contains("before the run") {}
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inference_in_json() {
    let node = Node::start("").await;
    let answer = node.post(INFER, &[], matmul().to_string().as_bytes()).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let expected = r#"{"id":"7","model_name":"matmul","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[7.5,10.5]}]}"#;
    assert_eq!(answer.body, expected);
    assert_eq!(answer.headers["forebay-region"], "eu-west");
    assert_eq!(answer.headers["forebay-queue-depth"], "0");
    assert!(answer.headers["server-timing"].starts_with("queue;dur="), "{}", answer.headers["server-timing"]);
    assert_eq!(node.get("/v2/models/matmul/ready").await.json(), json!({"name": "matmul", "ready": true}));
    assert_eq!(node.get("/v2/models/matmul/versions/1").await.json()["platform"], "onnxruntime_onnx");
    assert_eq!(node.get("/v2/models/matmul/versions/2").await.problem(), "model-not-found");
    let metrics = String::from_utf8(node.get("/metrics").await.body.to_vec()).unwrap();
    for line in [
        r#"forebay_region_requests_total{model="matmul",outcome="ok"} 1"#,
        r#"forebay_region_model_device{model="matmul",requested="cpu",actual="cpu"} 1"#,
        r#"forebay_region_queue_depth{model="matmul"} 0"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in:\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inference_in_raw_tensors() {
    let node = Node::start("").await;
    let mut request = InferRequest {
        inputs: vec![
            Tensor::from_f32("a", [1, 2], &[1.0, 2.0]),
            Tensor::from_f32("b", [2, 2], &[1.0, 2.0, 3.0, 4.0]),
            Tensor::from_f32("bias", [1], &[f32::INFINITY]),
        ],
        ..InferRequest::default()
    };
    let json_answer = encode_request(&request, Encoding::Binary).unwrap();
    let length = json_answer.json_length.unwrap().to_string();
    let answer = node.post(INFER, &[("inference-header-content-length", &length)], &json_answer.body).await;
    assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-tensor"), "infinities have no JSON form");

    request.parameters.insert("binary_data_output".into(), true.into());
    let encoded = encode_request(&request, Encoding::Binary).unwrap();
    let length = encoded.json_length.unwrap().to_string();
    let answer = node.post(INFER, &[("Inference-Header-Content-Length", &length)], &encoded.body).await;
    assert_eq!(answer.headers["content-type"], "application/octet-stream");
    let length = answer.headers["inference-header-content-length"].parse().unwrap();
    let response = decode_response(&answer.body, Some(length), &DecodeLimits::default()).unwrap();
    assert_eq!(response.outputs[0].data, Tensor::from_f32("y", [1, 2], &[f32::INFINITY; 2]).data);
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_in_and_sealed_out() {
    let node = Node::start("").await;
    let mut keys = Keyring::new();
    keys.insert("records", std::array::from_fn(|index| u8::try_from(index).unwrap()));
    let nonce = Nonce::from([9; 16]);
    let wish = [
        (sealed::seal_output("y"), "records".into()),
        (sealed::TENANT.to_owned(), "acme".into()),
        (sealed::NONCE.to_owned(), nonce.to_string().into()),
    ];
    let terms = Terms::of(&wish.clone().into()).unwrap().unwrap();
    let seal = |tensor: &Tensor| {
        let context = sealed::context(Place::Input(&terms), "matmul", &tensor.name, tensor.datatype, &tensor.shape);
        let jwe = keys.seal("records", "acme", &context, &tensor.data).unwrap();
        sealed::wrap(tensor, "records", "acme", &jwe)
    };
    let mut request = InferRequest {
        inputs: vec![
            seal(&Tensor::from_f32("a", [1, 2], &[1.0, 2.0])),
            Tensor::from_f32("b", [2, 2], &[1.0, 2.0, 3.0, 4.0]),
            Tensor::from_f32("bias", [1], &[0.5]),
        ],
        parameters: wish.into(),
        ..InferRequest::default()
    };
    let answer = node.post(INFER, &[], &encode_request(&request, Encoding::Json).unwrap().body).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let response = decode_response(&answer.body, None, &DecodeLimits::default()).unwrap();
    let parsed = sealed::parse(&response.outputs[0]).unwrap().expect("a sealed output");
    assert_eq!((parsed.datatype, parsed.shape.as_slice()), (Datatype::Fp32, &[1, 2][..]));
    let context = sealed::context(Place::Output(nonce), "matmul", "y", parsed.datatype, &parsed.shape);
    let plaintext = keys.open("records", "acme", &context, parsed.jwe).unwrap();
    assert_eq!(plaintext, Tensor::from_f32("y", [1, 2], &[7.5, 10.5]).data);

    // Nobody on the path can have the answer in the clear, or for another request.
    type Change = fn(&mut InferRequest);
    let changes: [(Change, &str); 4] = [
        (|request| drop(request.parameters.remove("forebay_seal.y")), "sealed-field"),
        (|request| drop(request.parameters.insert("forebay_nonce".into(), "0".repeat(32).into())), "sealed-field"),
        (|request| request.parameters.clear(), "invalid-tensor"),
        (|request| drop(request.parameters.insert("forebay_seal.x".into(), "records".into())), "invalid-tensor"),
    ];
    for (change, slug) in changes {
        let mut changed = request.clone();
        change(&mut changed);
        let answer = node.post(INFER, &[], &encode_request(&changed, Encoding::Json).unwrap().body).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, slug), "{:?}", answer.body);
    }

    // Sealed for `a`, so it is not to be read as `bias`.
    let moved = Tensor { name: "bias".into(), ..seal(&Tensor::from_f32("a", [1], &[0.5])) };
    request.inputs[2] = moved;
    let answer = node.post(INFER, &[], &encode_request(&request, Encoding::Json).unwrap().body).await;
    assert_eq!((answer.status, answer.problem().as_str()), (400, "sealed-field"));
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_answered_in_one_form() {
    let node = Node::start("[limits]\nbody_bytes = 1024").await;
    let good = matmul().to_string().into_bytes();
    let mut missing = matmul();
    missing["inputs"].as_array_mut().unwrap().pop();
    let mut misshaped = matmul();
    misshaped["inputs"][0] = json!({"name": "a", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]});
    let mut late = matmul();
    late["parameters"] = json!({"timeout": "soon"});
    type Case<'a> = (&'a [(&'a str, &'a str)], Vec<u8>, u16, &'a str);
    let cases: [Case<'_>; 9] = [
        (&[], b"{".to_vec(), 400, "malformed-body"),
        (&[], missing.to_string().into_bytes(), 400, "invalid-tensor"),
        (&[], misshaped.to_string().into_bytes(), 400, "invalid-tensor"),
        (&[], late.to_string().into_bytes(), 400, "bad-request"),
        (&[], vec![b' '; 1025], 413, "body-too-large"),
        (&[("content-encoding", "gzip")], good.clone(), 415, "unsupported-encoding"),
        (&[("inference-header-content-length", "0")], good.clone(), 400, "malformed-body"),
        (&[("inference-header-content-length", "x")], good.clone(), 400, "bad-request"),
        (&[("forebay-timeout-ms", "0")], good, 504, "deadline-exceeded"),
    ];
    for (headers, body, status, slug) in cases {
        let answer = node.post(INFER, headers, &body).await;
        assert_eq!((answer.status, answer.problem().as_str()), (status, slug), "{:?}", answer.body);
        assert!(answer.json()["error"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_run_and_a_full_queue_answers_at_once() {
    let node = Node::start("").await;
    let address = node.address;
    let running = run_endlessly(address).await;

    let (a, b, c) = tokio::join!(endless(address, "500"), endless(address, "500"), endless(address, "500"));
    let mut answers = [a, b, c];
    answers.sort_by_key(|answer| answer.status);
    let [full, waited, waited_too] = answers;
    assert_eq!(full.problem(), "queue-full");
    assert!(full.headers["retry-after"].parse::<u64>().unwrap() >= 1);
    for answer in [waited, waited_too, running.await.unwrap()] {
        assert_eq!(answer.problem(), "deadline-exceeded");
    }
    let answer = node.post(COUNTDOWN, &[], &countdown(3)).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    assert_eq!(answer.json()["outputs"][0]["data"], json!([3.0]));
}

/// Sends a request's head, which promises a body that does not come, and waits for an answer all the same.
async fn without_its_body(address: SocketAddr, path: &str, length: usize) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: region\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 4096];
    let length = stream.read(&mut answer).await.unwrap();
    String::from_utf8(answer[..length].to_vec()).unwrap()
}

/// The one answer to more requests than there is room for, while none of their bodies is there.
async fn refused_unread(address: SocketAddr, path: &'static str, requests: usize) -> String {
    let mut waiting: JoinSet<String> = (0..requests).map(|_| without_its_body(address, path, 2000)).collect();
    waiting.join_next().await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_which_there_is_no_room_is_refused_before_its_body_comes() {
    let node = Node::start("[limits]\nbody_bytes = 2048\nbuffered_bytes = 9000").await;
    // One runs and two wait.
    let answer = refused_unread(node.address, COUNTDOWN, 4).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 503 ") && answer.contains("\r\nretry-after: "), "{answer}");
    assert!(answer.contains("problems/queue-full"), "{answer}");

    let node = Node::start("[limits]\nbody_bytes = 2048\nbuffered_bytes = 4096").await;
    let answer = refused_unread(node.address, INFER, 3).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 503 ") && answer.contains("\r\nretry-after: "), "{answer}");
    assert!(answer.contains("problems/overloaded"), "{answer}");
    // Those whose bodies never came have gone, and so are their places.
    while node.post(INFER, &[], matmul().to_string().as_bytes()).await.status != 200 {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_what_runs_and_refuses_what_comes() {
    let node = Node::start("").await;
    let address = node.address;
    let running = run_endlessly(address).await;
    node.shutdown.cancel();
    node.node.finished().await.unwrap();
    assert_eq!(running.await.unwrap().problem(), "deadline-exceeded");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_its_model_ends_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let config = configure(folder.path(), "");
    std::fs::write(folder.path().join("countdown/model.onnx"), "not a graph").unwrap();
    let node = RegionNode::start(config, CancellationToken::new()).await.unwrap();
    let error = node.finished().await.unwrap_err();
    assert!(matches!(error, RegionError::Model(_)) && error.to_string().contains("countdown"), "{error}");
}
