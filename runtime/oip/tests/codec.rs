//! The codecs from outside: what is accepted, what is refused and in which words, and that what is written reads back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use forebay_oip::{
    Datatype, DecodeLimits, Encoding, InferRequest, InferResponse, OipError, OutputEncodings, Parameter,
    RequestedOutput, Tensor, decode_request, decode_response, encode_request, encode_response,
};
use proptest::prelude::*;

fn decode(text: &str) -> Result<InferRequest, OipError> {
    decode_request(&Bytes::copy_from_slice(text.as_bytes()), None, &DecodeLimits::default())
}

fn decode_binary(json: &str, raw: &[u8]) -> Result<InferRequest, OipError> {
    let body = [json.as_bytes(), raw].concat();
    decode_request(&Bytes::from(body), Some(json.len()), &DecodeLimits::default())
}

fn input(datatype: &str, shape: &str, data: &str) -> Result<Tensor, OipError> {
    let text = format!(r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"{datatype}","data":{data}}}]}}"#);
    decode(&text).map(|request| request.inputs[0].clone())
}

fn refusal(datatype: &str, shape: &str, data: &str) -> String {
    match input(datatype, shape, data) {
        Ok(_) => panic!("{datatype} {shape} {data} was accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_whole_request() {
    let request = decode(
        r#" {"id":"7","inputs":[{"data":[[1,2],[3,4.5]],"shape":[2,2],"datatype":"FP32","name":"x","parameters":{"a":1}}],
            "outputs":[{"name":"y","parameters":{"binary_data":false}}],"later":{"x":[1]},
            "parameters":{"priority":2,"timeout":5000,"rate":0.5,"custom":"c","flag":true}} "#,
    )
    .unwrap();
    assert_eq!(request.id.as_deref(), Some("7"));
    assert_eq!(request.parameters["timeout"], Parameter::Int(5000));
    assert_eq!(request.parameters["rate"], Parameter::Double(0.5));
    assert_eq!(request.parameters["flag"], Parameter::Bool(true));
    assert_eq!(request.inputs[0].parameters["a"], Parameter::Int(1));
    assert_eq!(request.inputs[0].data, Tensor::from_f32("x", [4], &[1.0, 2.0, 3.0, 4.5]).data);
    assert_eq!(request.outputs[0].name, "y");
}

#[test]
fn clients_with_nothing_to_say_are_understood() {
    let request = decode(r#"{"id":"","parameters":null,"inputs":[],"outputs":null}"#).unwrap();
    assert_eq!(request, InferRequest::default());
}

#[test]
fn envelopes_that_are_refused() {
    let cases = [
        ("", "EOF"),
        ("[]", "expected an object"),
        (r#"[null,null,[],null]"#, "expected an object"),
        (r#"{"inputs":[["x","FP32",[1],null,[1]]]}"#, "expected an object"),
        ("{}", "missing field `inputs`"),
        (r#"{"inputs":[]} x"#, "trailing"),
        (r#"{"inputs":[],"inputs":[]}"#, "duplicate field"),
        (r#"{"inputs":[],"parameters":{"a":1,"a":2}}"#, "given twice"),
        (r#"{"inputs":[],"parameters":{"a":null}}"#, "a parameter: a string"),
        (r#"{"inputs":[],"parameters":{"a":[1]}}"#, "a parameter: a string"),
        (r#"{"inputs":[],"parameters":{"a":18446744073709551615}}"#, "64-bit"),
        (r#"{"inputs":[],"parameters":{"binary_data_output":1}}"#, "true or false"),
        (r#"{"inputs":[],"outputs":[{"name":"y"},{"name":"y"}]}"#, "requested twice"),
        (r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32"}]}"#, "`data` is missing"),
        (r#"{"inputs":[{"name":"x","shape":[-1],"datatype":"FP32","data":[1]}]}"#, "invalid value"),
        (r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FLOAT","data":[1]}]}"#, "unknown datatype"),
        (r#"{"inputs":[{"name":"","shape":[1],"datatype":"FP32","data":[1]}]}"#, "empty name"),
    ];
    for (text, words) in cases {
        let message = decode(text).expect_err(text).to_string();
        assert!(message.contains(words), "{text}: {message}");
    }
    let twice = r#"{"name":"x","shape":[1],"datatype":"INT8","data":[1]}"#;
    let message = decode(&format!(r#"{{"inputs":[{twice},{twice}]}}"#)).unwrap_err().to_string();
    assert_eq!(message, "tensor `x`: given twice");
    let body = Bytes::from_static(b"{\"inputs\":[],\"x\":\"\xff\"}");
    assert!(decode_request(&body, None, &DecodeLimits::default()).unwrap_err().to_string().contains("UTF-8"));
}

#[test]
fn elements_at_the_edge_of_their_range() {
    assert_eq!(&input("INT8", "[2]", "[-128,127]").unwrap().data[..], [0x80, 0x7f]);
    assert_eq!(&input("UINT64", "[1]", "[18446744073709551615]").unwrap().data[..], [0xff; 8]);
    assert_eq!(input("INT64", "[1]", "[-9223372036854775808]").unwrap().data[..], i64::MIN.to_le_bytes());
    assert_eq!(input("FP32", "[1]", "[3.4028235e38]").unwrap().data[..], f32::MAX.to_le_bytes());
    assert_eq!(input("FP64", "[1]", "[5e-324]").unwrap().data[..], 5e-324_f64.to_le_bytes());
    assert_eq!(input("FP32", "[1]", "[-0.0]").unwrap().data[..], (-0.0_f32).to_le_bytes());
    assert_eq!(&input("BOOL", "[2]", "[true,false]").unwrap().data[..], [1, 0]);
}

#[test]
fn an_fp32_is_rounded_once() {
    // Halfway between two FP32 values when read as FP64 first, but above the middle as written.
    let text = "1.00000017881393432617187500000000000000001";
    let expected: f32 = text.parse().unwrap();
    assert_eq!(input("FP32", "[1]", &format!("[{text}]")).unwrap().data[..], expected.to_le_bytes());
}

#[test]
fn elements_that_are_refused() {
    let cases = [
        ("INT8", "128"),
        ("INT8", "-129"),
        ("UINT8", "-1"),
        ("UINT8", "256"),
        ("UINT64", "18446744073709551616"),
        ("INT32", "1.0"),
        ("INT32", "1.5"),
        ("INT32", "1e2"),
        ("INT32", "true"),
        ("INT32", "\"1\""),
        ("INT32", "null"),
        ("FP32", "true"),
        ("FP32", "\"NaN\""),
        ("FP32", "null"),
        ("FP32", "1e39"),
        ("FP64", "1e400"),
        ("FP32", "{}"),
        ("BOOL", "1"),
        ("BOOL", "\"true\""),
        ("BYTES", "1"),
        ("BYTES", "null"),
        ("BYTES", "\"\\ud800\""),
    ];
    for (datatype, element) in cases {
        let message = refusal(datatype, "[1]", &format!("[{element}]"));
        assert!(message.starts_with("tensor `x`: element 0 is not "), "{datatype} {element}: {message}");
    }
    for datatype in ["FP16", "BF16"] {
        assert!(refusal(datatype, "[1]", "[1]").contains("binary tensor data extension"));
    }
    assert!(decode(r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[NaN]}]}"#).is_err());
}

#[test]
fn shapes_and_nesting() {
    input("INT8", "[2,2]", "[1,2,3,4]").unwrap();
    input("INT8", "[2,2]", "[[1,2],[3,4]]").unwrap();
    input("INT8", "[]", "[1]").unwrap();
    input("INT8", "[0]", "[]").unwrap();
    input("INT8", "[2,0]", "[[],[]]").unwrap();
    input("INT8", "[4]", "[[1,2],[3,4]]").unwrap();
    assert_eq!(refusal("INT8", "[3]", "[1,2]"), "tensor `x`: shape [3] calls for 3 elements, found 2");
    assert_eq!(refusal("INT8", "[1]", "[1,2]"), "tensor `x`: the shape calls for 1 elements, found more");
    assert!(refusal("INT8", "[2,2]", "[[1],[2,3,4]]").contains("dimension 1 of the shape is 2"));
    assert!(refusal("INT8", "[2,2]", "[[1,2,3,4]]").contains("dimension 1 of the shape is 2"));
    for uneven in ["[1,[2]]", "[[1],2]", "[[1],[[2]]]"] {
        assert!(refusal("INT8", "[2]", uneven).contains("element 1 is not"), "{uneven}");
    }
    assert!(refusal("INT8", "[1]", "1").contains("must be an array"));
    assert!(refusal("INT8", "[4294967296,4294967296,4294967296]", "[1]").contains("over 64 bits"));
    assert!(refusal("INT8", "[4294967296]", "[1]").contains("exceeds the limit"));
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(refusal("INT8", "[1]", &deep).contains("exceeds the limit of 32"));
}

#[test]
fn a_refusal_never_repeats_the_data() {
    let long = "s".repeat(100_000);
    assert!(refusal("INT32", "[1]", &format!("[\"{long}\"]")).len() < 300);
    assert!(refusal("INT32", &format!("\"{long}\""), "[1]").len() < 300);
    let text = format!(r#"{{"inputs":[{{"name":"{long}","shape":[1],"datatype":"INT8","data":[]}}]}}"#);
    assert!(decode(&text).unwrap_err().to_string().len() < 300);
}

#[test]
fn names_are_bounded() {
    let (longest, long) = ("n".repeat(1024), "n".repeat(1025));
    let tensor = |name: &str| format!(r#"{{"inputs":[{{"name":"{name}","shape":[1],"datatype":"INT8","data":[1]}}]}}"#);
    let output = |name: &str| format!(r#"{{"inputs":[],"outputs":[{{"name":"{name}"}}]}}"#);
    let parameter = |name: &str| format!(r#"{{"inputs":[],"parameters":{{"{name}":1}}}}"#);
    for text in [&tensor as &dyn Fn(&str) -> String, &output, &parameter] {
        decode(&text(&longest)).unwrap();
        let message = decode(&text(&long)).unwrap_err().to_string();
        assert!(message.starts_with("a name is over 1024 bytes long"), "{message}");
    }
}

#[test]
fn lists_are_bounded() {
    let list = |count: usize, element: &dyn Fn(usize) -> String| (0..count).map(element).collect::<Vec<_>>().join(",");
    let inputs = |count| {
        let tensor = |index| format!(r#"{{"name":"t{index}","shape":[1],"datatype":"INT8","data":[1]}}"#);
        decode(&format!(r#"{{"inputs":[{}]}}"#, list(count, &tensor)))
    };
    let outputs = |count| {
        let output = |index| format!(r#"{{"name":"t{index}"}}"#);
        decode(&format!(r#"{{"inputs":[],"outputs":[{}]}}"#, list(count, &output)))
    };
    let parameters = |count| {
        let own = r#""forebay_nonce":"n","binary_data_output":true,"#;
        let parameter = |index| format!(r#""p{index}":1"#);
        decode(&format!(r#"{{"inputs":[],"parameters":{{{own}{}}}}}"#, list(count, &parameter)))
    };
    assert_eq!(inputs(256).unwrap().inputs.len(), 256);
    assert_eq!(inputs(257).unwrap_err().to_string(), "the number of tensors exceeds the limit of 256");
    assert_eq!(outputs(256).unwrap().outputs.len(), 256);
    assert_eq!(outputs(257).unwrap_err().to_string(), "the number of requested outputs exceeds the limit of 256");
    assert_eq!(parameters(64).unwrap().parameters.len(), 66);
    assert!(parameters(65).unwrap_err().to_string().starts_with("there are more than 64 parameters"));
    let shape = |rank| format!("[{}]", list(rank, &|_| "1".to_owned()));
    input("INT8", &shape(32), "[1]").unwrap();
    let message = refusal("INT8", &shape(33), "[1]");
    assert_eq!(message, "the number of dimensions of tensor `x` exceeds the limit of 32");
    let narrow = DecodeLimits { max_tensors: 1, ..DecodeLimits::default() };
    let body = Bytes::from_static(br#"{"inputs":[],"outputs":[{"name":"a"},{"name":"b"}]}"#);
    let message = decode_request(&body, None, &narrow).unwrap_err().to_string();
    assert_eq!(message, "the number of requested outputs exceeds the limit of 1");
}

#[test]
fn raw_tensors_share_the_bodys_memory() {
    let json = r#"{"inputs":[{"name":"a","shape":[2],"datatype":"INT16","parameters":{"binary_data_size":4}},
        {"name":"j","shape":[1],"datatype":"INT8","data":[9]},
        {"name":"b","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":9}}]}"#;
    let body = Bytes::from([json.as_bytes(), b"\x01\x00\x02\x00\x01\x00\x00\x00x\x00\x00\x00\x00"].concat());
    let request = decode_request(&body, Some(json.len()), &DecodeLimits::default()).unwrap();
    assert_eq!(request.inputs[0].data.as_ptr(), body[json.len()..].as_ptr());
    assert!(request.inputs[0].parameters.is_empty());
    let texts: Vec<_> = request.inputs[2].bytes_elements().unwrap().map(Result::unwrap).collect();
    assert_eq!(texts, [&b"x"[..], b""]);
}

#[test]
fn raw_bodies_that_are_refused() {
    let raw = |size: &str, data: &str| {
        format!(
            r#"{{"inputs":[{{"name":"x","shape":[2],"datatype":"INT16","parameters":{{"binary_data_size":{size}}}{data}}}]}}"#
        )
    };
    let cases: [(&str, &str, &[u8], &str); 7] = [
        ("4", "", &[0; 3], "only 3 bytes are left"),
        ("4", "", &[0; 5], "1 bytes follow the last tensor"),
        ("3", "", &[0; 3], "takes 4 bytes, found 3"),
        ("-4", "", &[0; 4], "number of bytes"),
        ("\"4\"", "", &[0; 4], "number of bytes"),
        ("9223372036854775807", "", &[0; 4], "only 4 bytes"),
        ("4", ",\"data\":[1,2]", &[0; 4], "which is meant"),
    ];
    for (size, data, body, words) in cases {
        let message = decode_binary(&raw(size, data), body).expect_err(words).to_string();
        assert!(message.contains(words), "{size}{data}: {message}");
    }
    assert!(decode(&raw("4", "")).unwrap_err().to_string().contains("no Inference-Header-Content-Length"));
    let body = Bytes::from_static(b"{}");
    for (length, words) in [(0, "not supported"), (3, "but the body has 2 bytes")] {
        let error = decode_request(&body, Some(length), &DecodeLimits::default()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn responses_are_compact_and_in_order() {
    let response = InferResponse {
        model_name: "m".into(),
        model_version: Some("1".into()),
        id: Some("7".into()),
        outputs: vec![Tensor::from_f32("y", [1, 3], &[1.0, 0.1, 1e-45])],
        ..InferResponse::default()
    };
    let encoded = encode_response(&response, &OutputEncodings::default()).unwrap();
    let expected = r#"{"id":"7","model_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,3],"data":[1.0,0.1,1e-45]}]}"#;
    assert_eq!(str::from_utf8(&encoded.body).unwrap(), expected);
    assert_eq!(encoded.json_length, None);
}

#[test]
fn each_output_comes_as_it_was_asked_for() {
    let mut request = InferRequest::default();
    request.parameters.insert("binary_data_output".into(), true.into());
    request
        .outputs
        .push(RequestedOutput { name: "j".into(), parameters: [("binary_data".into(), false.into())].into() });
    let encodings = OutputEncodings::of(&request);
    let outputs = vec![Tensor::from_f32("j", [1], &[1.0]), Tensor::from_f32("b", [1], &[f32::NAN])];
    let response = InferResponse { model_name: "m".into(), outputs, ..InferResponse::default() };
    let encoded = encode_response(&response, &encodings).unwrap();
    assert_eq!(encoded.body.len(), encoded.json_length.unwrap() + 4);
    let back = decode_response(&encoded.body, encoded.json_length, &DecodeLimits::default()).unwrap();
    assert_eq!(back.outputs[0], response.outputs[0]);
    assert_eq!(back.outputs[1].data, response.outputs[1].data);
}

#[test]
fn what_json_cannot_express_is_refused_not_changed() {
    let tensors = [
        Tensor::from_f32("x", [1], &[f32::INFINITY]),
        Tensor::from_strings("x", [1], [&b"\xff"[..]]),
        Tensor::from_raw("x", Datatype::Fp16, [1], Bytes::from_static(&[0, 0])),
    ];
    for tensor in tensors {
        let request = InferRequest { inputs: vec![tensor], ..InferRequest::default() };
        let error = encode_request(&request, Encoding::Json).unwrap_err();
        assert!(matches!(&error, OipError::Unencodable { reason, .. } if reason.contains("binary")), "{error}");
        encode_request(&request, Encoding::Binary).unwrap();
    }
}

fn parameters() -> impl Strategy<Value = forebay_oip::Parameters> {
    let value = prop_oneof![
        any::<bool>().prop_map(Parameter::Bool),
        any::<i64>().prop_map(Parameter::Int),
        (-1e300..1e300_f64).prop_map(Parameter::Double),
        any::<String>().prop_map(Parameter::String),
    ];
    proptest::collection::btree_map("p_[a-z]{0,6}", value, 0..3)
}

/// Tensors that both encodings can carry, with every datatype that has a JSON form.
fn tensor(name: String) -> impl Strategy<Value = Tensor> {
    let datatype =
        proptest::sample::select(&Datatype::ALL[..]).prop_filter("JSON", |datatype| datatype.has_json_form());
    (datatype, proptest::collection::vec(0..4_u64, 0..4), parameters()).prop_flat_map(
        move |(datatype, shape, parameters)| {
            let count = usize::try_from(shape.iter().product::<u64>()).unwrap();
            let name = name.clone();
            data(datatype, count).prop_map(move |data| Tensor {
                name: name.clone(),
                datatype,
                shape: shape.clone(),
                parameters: parameters.clone(),
                data: data.into(),
            })
        },
    )
}

fn data(datatype: Datatype, count: usize) -> BoxedStrategy<Vec<u8>> {
    use proptest::collection::vec;
    match datatype {
        Datatype::Bool => vec(0..2_u8, count).boxed(),
        Datatype::Fp32 => {
            vec(any::<f32>(), count).prop_map(|v| v.iter().flat_map(|f| f.to_le_bytes()).collect()).boxed()
        }
        Datatype::Fp64 => {
            vec(any::<f64>(), count).prop_map(|v| v.iter().flat_map(|f| f.to_le_bytes()).collect()).boxed()
        }
        Datatype::Bytes => vec(any::<String>(), count)
            .prop_map(|texts| Tensor::from_strings("", [], texts.iter().map(String::as_bytes)).data.to_vec())
            .boxed(),
        other => vec(any::<u8>(), count * other.size_bytes().unwrap()).boxed(),
    }
}

fn request() -> impl Strategy<Value = InferRequest> {
    let outputs = parameters().prop_map(|parameters| vec![RequestedOutput { name: "y".into(), parameters }]);
    (proptest::option::of("[^\\x00]{1,5}"), parameters(), tensor("a/\"é".into()), tensor("b".into()), outputs)
        .prop_map(|(id, parameters, a, b, outputs)| InferRequest { id, parameters, inputs: vec![a, b], outputs })
}

proptest! {
    #[test]
    fn requests_read_back(request in request(), binary in any::<bool>()) {
        let encoding = if binary { Encoding::Binary } else { Encoding::Json };
        let encoded = encode_request(&request, encoding).unwrap();
        let back = decode_request(&encoded.body, encoded.json_length, &DecodeLimits::default()).unwrap();
        prop_assert_eq!(back, request);
    }

    #[test]
    fn responses_read_back(request in request(), binary in any::<bool>()) {
        let response = InferResponse {
            model_name: "m".into(), model_version: None, id: request.id, parameters: request.parameters, outputs: request.inputs,
        };
        let encodings = OutputEncodings::all(if binary { Encoding::Binary } else { Encoding::Json });
        let encoded = encode_response(&response, &encodings).unwrap();
        let back = decode_response(&encoded.body, encoded.json_length, &DecodeLimits::default()).unwrap();
        prop_assert_eq!(back, response);
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200), length in proptest::option::of(0..300_usize)) {
        let body = Bytes::from(body);
        let _ = decode_request(&body, length, &DecodeLimits::default());
        let _ = decode_response(&body, length, &DecodeLimits::default());
    }

    #[test]
    fn damaged_requests_never_panic(request in request(), at in any::<prop::sample::Index>(), byte in any::<u8>(), length in 0..2000_usize) {
        let encoded = encode_request(&request, Encoding::Binary).unwrap();
        let mut body = encoded.body.to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        let body = Bytes::from(body);
        let _ = decode_request(&body, encoded.json_length, &DecodeLimits::default());
        let _ = decode_request(&body, Some(length), &DecodeLimits::default());
        let _ = decode_request(&body, None, &DecodeLimits::default());
    }
}
