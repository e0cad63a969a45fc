//! What leaves the PoP sealed: on a wire that is listened to, and in the hands of whoever holds a key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use forebay_oip::sealed::{self, Place as Bound};
use forebay_oip::{Datatype, Tensor};
use forebay_tests::fakes::{Behaviour, FakeRegion, GOOD_ANSWER, Origin};
use forebay_tests::questions::{matmul, texts};
use forebay_tests::region::RegionFile;
use forebay_tests::{Answer, Gateway, GatewayFile, Place, Region, Tap, Token, run};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::house::acme;

/// A gateway before one region with the real models, and a tap on the wire between them.
struct Wire {
    place: Place,
    tap: Tap,
    gateway: Gateway,
    #[expect(dead_code, reason = "held while the gateway watches it")]
    region: Region,
}

static WIRE: OnceCell<Wire> = OnceCell::const_new();

async fn wire() -> &'static Wire {
    WIRE.get_or_init(|| async {
        let place = Place::new();
        let region = RegionFile::new("eu", "eu").real_models().start(&place).await;
        let tap = Tap::to(region.address()).await;
        let cached = "cache = { ttl_s = 300 }";
        let gateway = GatewayFile::new()
            .region("eu", &tap.url(), "eu")
            .sealing(
                "reseal",
                "inputs = [{ name = \"text\", key = \"region\" }]\n\
                 outputs = [{ name = \"embedding\", key = \"region\", client = { reseal = \"client\" } }]",
            )
            .route("plain", "/plain", &format!("policies = [\"access\"]\n{cached}"))
            .route("sealed", "/sealed", &format!("policies = [\"access\", \"seal\"]\n{cached}"))
            .route("reseal", "/reseal", &format!("policies = [\"access\", \"reseal\"]\n{cached}"))
            .start(&place)
            .await;
        Wire { place, tap, gateway, region }
    })
    .await
}

async fn embed(route: &str, text: &str) -> Answer {
    let client = wire().await.gateway.client();
    client.infer(route, "minilm", &texts(&[text])).token(&acme()).send().await.ok()
}

fn embedding(answer: &Answer) -> Tensor {
    let mut outputs = answer.inference().outputs;
    assert_eq!(outputs.len(), 1);
    outputs.remove(0)
}

/// The first numbers of an answer, as they travel between the nodes.
fn first_numbers(answer: &Answer) -> Vec<u8> {
    embedding(answer).data[..32].to_vec()
}

#[test]
fn a_sealed_sentence_and_its_embedding_are_not_on_the_wire() {
    run(async {
        let tap = &wire().await.tap;
        let (open, secret) = ("patient Ada Weiss was admitted at dawn", "patient Jon Braun was admitted at dusk");

        let answer = embed("/plain", open).await;
        assert!(tap.heard(open.as_bytes()), "the tap hears nothing");
        assert!(tap.heard(&first_numbers(&answer)), "the tap does not hear answers");

        let answer = embed("/sealed", secret).await;
        assert!(!tap.heard(secret.as_bytes()) && !tap.heard(b"Jon Braun"));
        assert!(!tap.heard(&first_numbers(&answer)));
        assert!(tap.heard(b"\"forebay_sealed\":\"region\""));
        let base64 = URL_SAFE_NO_PAD.encode(secret);
        assert!(!tap.heard(&base64.as_bytes()[..16]));
    });
}

#[test]
fn sealing_changes_no_answer_and_is_kept_opened() {
    run(async {
        let text = "the same either way";
        let (plain, sealed) = (embed("/plain", text).await, embed("/sealed", text).await);
        assert_eq!(sealed.cache(), "miss");
        assert_eq!(embedding(&sealed), embedding(&plain));
        let again = embed("/sealed", text).await;
        assert_eq!((again.cache(), again.body), ("hit", sealed.body));
    });
}

/// Opens a JWE as RFC 7516, section 5.2 says, with nothing of ours but the key.
fn open_by_hand(jwk: &str, jwe: &str) -> (Value, Vec<u8>) {
    let jwk: Value = serde_json::from_str(jwk).unwrap();
    assert_eq!(jwk["kty"], "oct");
    let parts: Vec<&str> = jwe.split('.').collect();
    let [protected, key, nonce, ciphertext, tag] = parts[..] else { panic!("{jwe}") };
    assert_eq!(key, "", "`dir` has no encrypted key");
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let mut sealed = [decode(ciphertext), decode(tag)].concat();
    let content_key = UnboundKey::new(&AES_256_GCM, &decode(jwk["k"].as_str().unwrap())).unwrap();
    let nonce = Nonce::try_assume_unique_for_key(&decode(nonce)).unwrap();
    let aad = Aad::from(protected.as_bytes());
    let opened = LessSafeKey::new(content_key).open_in_place(nonce, aad, &mut sealed).unwrap().to_vec();
    (serde_json::from_slice(&decode(protected)).unwrap(), opened)
}

#[test]
fn an_output_sealed_for_the_client_opens_with_its_key_and_no_other() {
    run(async {
        let text = "for your eyes";
        let plain = embedding(&embed("/plain", text).await);
        let (first, second) = (embed("/reseal", text).await, embed("/reseal", text).await);
        assert_eq!((first.cache(), second.cache()), ("miss", "hit"));
        let context = sealed::context(Bound::Client, "minilm", "embedding", Datatype::Fp32, &[1, 384]);
        assert_eq!(context, "output/minilm/embedding/FP32/1,384");
        let keyring = wire().await.place.keyring();
        let mut jwes = Vec::new();
        for answer in [first, second] {
            let tensor = embedding(&answer);
            let parsed = sealed::parse(&tensor).unwrap().expect("a sealed tensor");
            assert_eq!((parsed.key, parsed.tenant, parsed.datatype), ("client", "acme", Datatype::Fp32));
            let jwe = parsed.jwe;
            assert_eq!(keyring.open("client", "acme", &context, jwe).unwrap(), plain.data);
            let (header, opened) = open_by_hand(&keyring.jwk("client", "acme").unwrap(), jwe);
            assert_eq!(opened, plain.data);
            let expected = json!({"alg": "dir", "enc": "A256GCM", "kid": "client", "tnt": "acme", "ctx": context});
            assert_eq!(header, expected);
            assert!(keyring.open("client", "globex", &context, jwe).is_err());
            assert!(keyring.open("region", "acme", &context, jwe).is_err());
            jwes.push(jwe.to_owned());
        }
        assert_ne!(jwes[0], jwes[1], "each caller gets a sealing of its own");
    });
}

#[test]
fn what_must_be_sealed_must_be_there() {
    run(async {
        let client = wire().await.gateway.client();
        let answer = client.infer("/sealed", "matmul", &matmul(0.5)).token(&acme()).send().await;
        answer.refused(400, "bad-request");
    });
}

const SEAL_MATMUL: &str = "inputs = [{ name = \"a\", key = \"region\", required = true }]\n\
    outputs = [{ name = \"y\", key = \"region\", client = \"open\" }]";

fn sealing_matmul(region_url: &str) -> GatewayFile {
    GatewayFile::new().region("eu", region_url, "eu").sealing("matmul", SEAL_MATMUL).route(
        "sealed",
        "",
        "policies = [\"access\", \"matmul\"]",
    )
}

#[test]
fn a_region_without_the_right_key_can_do_nothing_with_it() {
    run(async {
        let place = Place::new();
        let right = RegionFile::new("eu", "eu");
        for (file, opens) in
            [(right.clone(), true), (right.clone().key("region", "other.key"), false), (right.no_key(), false)]
        {
            let region = file.start(&place).await;
            let gateway = sealing_matmul(&region.url()).start(&place).await;
            let answer = gateway.client().infer("", "matmul", &matmul(0.5)).token(&acme()).send().await;
            if opens {
                assert_eq!(answer.ok().f32s("y"), [7.5, 10.5]);
            } else {
                let (status, kind) = answer.verdict();
                assert!([(400, "sealed-field"), (502, "bad-gateway")].contains(&(status, &kind)), "{answer:?}");
            }
        }
    });
}

#[test]
fn nobody_on_the_path_gets_an_answer_in_the_clear() {
    run(async {
        let place = Place::new();
        let region = RegionFile::new("eu", "eu").start(&place).await;
        for (old, new, opens) in [
            ("\"forebay_seal.y\"", "\"forebay_seal.y\"", true),
            // The wish is dropped, is for another output, and is for another tenant; the request is another one.
            ("\"forebay_seal.y\"", "\"forebay-seal.y\"", false),
            ("\"forebay_seal.y\"", "\"forebay_seal.z\"", false),
            ("\"forebay_tenant\":\"acme\"", "\"forebay_tenant\":\"evil\"", false),
            ("\"forebay_nonce\":\"", "\"forebay-nonce\":\"", false),
        ] {
            let tap = Tap::changing(region.address(), old, new).await;
            let gateway = sealing_matmul(&tap.url()).start(&place).await;
            let answer = gateway.client().infer("", "matmul", &matmul(0.5)).token(&acme()).send().await;
            assert!(tap.heard(old.as_bytes()), "{old} is not on the wire");
            if opens {
                assert_eq!(answer.ok().f32s("y"), [7.5, 10.5]);
            } else {
                assert!([400, 502].contains(&answer.status), "{new}: {answer:?}");
            }
            let plaintext = [7.5_f32, 10.5].map(f32::to_le_bytes).concat();
            assert!(!tap.heard(&plaintext) && !tap.heard(b"10.5"), "{new}: {}", tap.text());
        }
    });
}

#[test]
fn a_wish_for_an_output_that_the_model_lacks_is_refused() {
    run(async {
        let place = Place::new();
        let region = RegionFile::new("eu", "eu").start(&place).await;
        let misspelt = SEAL_MATMUL.replace("name = \"y\"", "name = \"yy\"");
        let gateway = GatewayFile::new()
            .region("eu", &region.url(), "eu")
            .sealing("matmul", &misspelt)
            .route("sealed", "", "policies = [\"access\", \"matmul\"]")
            .start(&place)
            .await;
        let answer = gateway.client().infer("", "matmul", &matmul(0.5)).token(&acme()).send().await;
        answer.refused(400, "invalid-tensor");
    });
}

#[test]
fn an_answer_that_should_be_sealed_and_is_not_is_refused() {
    run(async {
        let place = Place::new();
        let mut forged: Value = serde_json::from_str(GOOD_ANSWER).unwrap();
        forged["outputs"][0] = json!({
            "name": "y", "datatype": "BYTES", "shape": [1], "data": ["e30..AAAAAAAAAAAAAAAA.AA.AAAAAAAAAAAAAAAAAAAAAA"],
            "parameters": {
                "forebay_sealed": "region", "forebay_tenant": "acme", "forebay_datatype": "FP32", "forebay_shape": "1,2",
            },
        });
        for body in [GOOD_ANSWER.to_owned(), forged.to_string()] {
            let region = FakeRegion::start("eu", Behaviour::Answers(200, body)).await;
            let gateway = sealing_matmul(&region.url()).start(&place).await;
            let answer = gateway.client().infer("", "matmul", &matmul(0.5)).token(&acme()).send().await;
            answer.refused(502, "bad-gateway");
            assert_eq!(region.asked(), 1);
        }
    });
}

#[test]
fn an_origin_sees_a_jwe_in_place_of_a_json_field() {
    run(async {
        let place = Place::new();
        let origin = Origin::start().await;
        let gateway = GatewayFile::new()
            .sealing("json", "json = [{ pointer = \"/patient/name\", key = \"client\", required = true }]")
            .origin("notes", "/notes", &origin.url(), "policies = [\"access\", \"json\"]")
            .origin("site", "/", &origin.url(), "access = \"public\"")
            .start(&place)
            .await;
        let client = gateway.client();
        let note = json!({"patient": {"name": {"first": "Ada", "last": "Weiss"}, "age": 41}, "text": "admitted"});
        let answer = client.post("/notes?day=1").token(&acme()).json(&note).send().await.ok();
        assert_eq!(answer.json(), note, "what comes back is opened");

        let seen = origin.seen().pop().unwrap();
        let text = String::from_utf8(seen.body.to_vec()).unwrap();
        assert!(!text.contains("Ada") && !text.contains("Weiss"), "{text}");
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&body["patient"]["age"], &body["text"]), (&json!(41), &json!("admitted")));
        let jwe = body["patient"]["name"].as_str().unwrap();
        let (header, opened) = open_by_hand(&place.keyring().jwk("client", "acme").unwrap(), jwe);
        assert_eq!(header["ctx"], "json/patient/name");
        assert_eq!(serde_json::from_slice::<Value>(&opened).unwrap(), note["patient"]["name"]);
        assert_eq!(seen.line, "POST /notes?day=1");
        assert!(!seen.headers.contains_key("authorization"), "{:?}", seen.headers);

        let ask = || client.post("/notes").token(&acme());
        ask().header("content-type", "text/plain").body(note.to_string()).send().await.refused(400, "malformed-body");
        ask().json(&json!({"text": "nobody"})).send().await.refused(400, "bad-request");
        ask().header("content-type", "application/json").body("{").send().await.refused(400, "malformed-body");
        client.post("/notes").json(&note).send().await.refused(401, "missing-credentials");
        assert_eq!(origin.seen().len(), 1, "nothing else got through");
    });
}

#[test]
fn a_tenant_cannot_open_what_another_one_sealed() {
    run(async {
        let place = Place::new();
        let origin = Origin::start().await;
        let gateway = GatewayFile::new()
            .sealing("json", "json = [{ pointer = \"/name\", key = \"client\", answer = \"keep\" }]")
            .origin("keep", "/keep", &origin.url(), "policies = [\"access\", \"json\"]")
            .start(&place)
            .await;
        let ask = |tenant: &str| {
            let token = Token::of(tenant).signed();
            gateway.client().post("/keep").token(&token).json(&json!({"name": "Ada"})).send()
        };
        let jwe = ask("acme").await.ok().json()["name"].as_str().unwrap().to_owned();
        let keyring = place.keyring();
        assert_eq!(keyring.open("client", "acme", "json/name", &jwe).unwrap(), b"\"Ada\"");
        assert!(keyring.open("client", "globex", "json/name", &jwe).is_err());
        let jwe = ask("globex").await.ok().json()["name"].as_str().unwrap().to_owned();
        assert_eq!(keyring.open("client", "globex", "json/name", &jwe).unwrap(), b"\"Ada\"");
    });
}
