#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use forebay_oip::Parameter;

use super::*;

const DIGITS: &str = "000102030405060708090a0b0c0d0e0f";

fn keyring() -> Keyring {
    let mut keyring = Keyring::new();
    keyring.insert("region", [7; 32]);
    keyring
}

fn sealable(contents: Contents) -> Sealable {
    let allowed = Arc::new(["region".to_owned()].into());
    let keys = Keys { keyring: Arc::new(keyring()), allowed, tenant: Some("acme".to_owned()) };
    Sealable { contents, keys, touched: false }
}

fn question(nonce: Option<&str>) -> Sealable {
    let request = InferRequest {
        parameters: nonce.map(|nonce| (sealed::NONCE.to_owned(), nonce.into())).into_iter().collect(),
        inputs: vec![Tensor::from_f32("x", [1], &[1.0]), Tensor::from_f32("z", [1], &[2.0])],
        ..InferRequest::default()
    };
    sealable(Contents::Request { model: "m".to_owned(), request })
}

fn input(name: &str) -> Field {
    Field::Input(name.to_owned())
}

fn request(message: &mut Sealable) -> &mut InferRequest {
    match &mut message.contents {
        Contents::Request { request, .. } => request,
        _ => panic!("no request"),
    }
}

/// The answer `y`, sealed in `place`, in the hands of a plugin that knows `nonce`.
fn answer(place: Place<'_>, nonce: Option<Nonce>) -> Sealable {
    let plain = Tensor::from_f32("y", [1], &[3.0]);
    let context = sealed::context(place, "m", "y", plain.datatype, &plain.shape);
    let jwe = keyring().seal("region", "acme", &context, &plain.data).unwrap();
    let outputs = vec![sealed::wrap(&plain, "region", "acme", &jwe)];
    let response = InferResponse { outputs, ..InferResponse::default() };
    sealable(Contents::Response { model: "m".to_owned(), nonce, response })
}

#[test]
fn an_input_is_bound_to_the_wishes_of_its_request() {
    let mut message = question(Some(DIGITS));
    message.expect_sealed("y", "region").unwrap();
    message.seal(&input("x"), "region").unwrap();

    let sealed_request = request(&mut message).clone();
    let parsed = sealed::parse(&sealed_request.inputs[0]).unwrap().unwrap();
    let context = format!("input/m/x/FP32/1/{DIGITS}/acme/y=region");
    keyring().open("region", "acme", &context, parsed.jwe).unwrap();

    let changes: [fn(&mut InferRequest); 3] = [
        |request| drop(request.parameters.remove("forebay_seal.y")),
        |request| drop(request.parameters.insert("forebay_tenant".to_owned(), "globex".into())),
        |request| drop(request.parameters.insert("forebay_nonce".to_owned(), "0".repeat(32).into())),
    ];
    for change in changes {
        request(&mut message).clone_from(&sealed_request);
        change(request(&mut message));
        assert_eq!(message.open(&input("x"), "region"), Err(SealFailure::Rejected));
    }
    *request(&mut message) = sealed_request;
    message.open(&input("x"), "region").unwrap();
}

#[test]
fn a_wish_comes_before_the_first_sealed_input() {
    let mut message = question(Some(DIGITS));
    message.seal(&input("x"), "region").unwrap();
    assert_eq!(message.expect_sealed("y", "region"), Err(SealFailure::Unsupported));
    message.seal(&input("z"), "region").unwrap();
    assert_eq!(request(&mut message).parameters.get(sealed::NONCE), Some(&Parameter::from(DIGITS)));
}

#[test]
fn without_a_nonce_nothing_is_sealed() {
    let mut message = question(None);
    assert_eq!(message.seal(&input("x"), "region"), Err(SealFailure::Unsupported));
    message.expect_sealed("y", "region").unwrap();
    assert_eq!(message.seal(&input("x"), "region"), Err(SealFailure::Unsupported));
}

#[test]
fn an_answer_opens_for_its_own_question_only() {
    let (own, other) = (DIGITS.parse().unwrap(), Nonce::from([9; 16]));
    let y = Field::Output("y".to_owned());
    answer(Place::Output(own), Some(own)).open(&y, "region").unwrap();
    for place in [Place::Output(other), Place::Client] {
        assert_eq!(answer(place, Some(own)).open(&y, "region"), Err(SealFailure::Rejected), "{place:?}");
    }

    let mut shown = answer(Place::Output(own), Some(own));
    shown.open(&y, "region").unwrap();
    shown.seal(&y, "region").unwrap();
    let Contents::Response { response, .. } = &shown.contents else { panic!("no answer") };
    let parsed = sealed::parse(&response.outputs[0]).unwrap().unwrap();
    keyring().open("region", "acme", "output/m/y/FP32/1", parsed.jwe).unwrap();
}
