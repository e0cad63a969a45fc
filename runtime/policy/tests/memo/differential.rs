//! Memo on and memo off never differ: verdicts, edits and the heads that come of them, over more than a hundred
//! thousand requests, most of which are drawn from small alphabets so that they come again, and some from large
//! ones so that they do not.

use forebay_policy::{Absence, Failure, HeadEdits, Message, Outcome, Plugin};
use http::{HeaderMap, HeaderName, HeaderValue};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore, SeedableRng};
use serde_json::json;

use super::support::{ENGINE, Identity, Nothing, Request, Response, context, limits, load, spec};

/// Requests and responses of one comparison.
const REQUESTS: usize = 80_000;
const RESPONSES: usize = 20_000;
/// Small enough that much is given up and comes back.
const SMALL_MEMO_BYTES: usize = 24 * 1024;

/// What is drawn from; the same in each run.
struct Dice(StdRng);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from.choose(&mut self.0).unwrap().clone()
    }

    fn one_in(&mut self, many: u32) -> bool {
        self.0.random_ratio(1, many)
    }

    /// A word of a small alphabet, or now and then one that never comes again.
    fn word(&mut self) -> String {
        if self.one_in(60) { format!("w{:x}", self.0.next_u64()) } else { self.pick(&["a", "b", "c", ""]).to_owned() }
    }

    fn request(&mut self) -> Request {
        let first =
            self.pick(&["admin", "echo", "deny", "chain", "claims", "bad", "nothing", "other", "v2", "areas", "trace"]);
        let mut request = Request::to(&format!("/{first}/{}", self.word()), &[]);
        for name in ["x-a", "x-b", "x-c", "x-next", "accept"] {
            if self.one_in(2) {
                let value = if self.one_in(40) { b"\xff\x00\xfe".to_vec() } else { self.word().into_bytes() };
                request.headers.insert(name.to_owned(), value);
            }
        }
        if self.one_in(300) {
            request.headers.insert("x-a".to_owned(), "long".repeat(2_000).into_bytes());
        }
        request.method = self.pick(&["GET", "POST"]).to_owned();
        request.host = self.pick(&["a", "b"]).to_owned();
        request.query = self.pick(&[None, Some(""), Some("q=1")]).map(str::to_owned);
        request.route = self.pick(&["r", "s"]).to_owned();
        request.model = self.pick(&[None, Some("minilm"), Some("gpt")]).map(str::to_owned);
        request.peer = [10, 0, 0, self.pick(&[1, 2])];
        request.trace_id =
            self.pick(&["4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000001"]).to_owned();
        request
    }

    fn identity(&mut self) -> Identity {
        match self.pick(&[0, 1, 2, 3]) {
            0 => Identity::absent(self.pick(&[Absence::Missing, Absence::Expired, Absence::Revoked])),
            1 => Identity::with(json!({"tenant": "acme", "scope": "infer", "jti": self.word()})),
            2 => Identity::with(json!({"tenant": "acme", "scope": self.word(), "role": self.pick(&["root", "user"])})),
            _ => Identity::with(json!({"scp": ["infer", self.word()], "aud": self.pick(&["x", "y"])})),
        }
    }

    fn response(&mut self) -> Response {
        let names = ["server", "retry-after", "etag"];
        let there: Vec<_> = names.into_iter().filter(|_| self.one_in(2)).collect();
        let headers = there.into_iter().map(|name| (name.to_owned(), self.word().into_bytes())).collect();
        Response { status: self.pick(&[200, 201, 404, 500, 503]), headers }
    }
}

/// The head that comes of a head and its edits.
fn edited(head: impl IntoIterator<Item = (String, Vec<u8>)>, edits: &HeadEdits) -> HeaderMap {
    let field = |(name, value): (String, Vec<u8>)| {
        let value = HeaderValue::from_bytes(&value).unwrap_or_else(|_| HeaderValue::from_static("illegal"));
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), value)
    };
    let mut map: HeaderMap = head.into_iter().map(field).collect();
    edits.apply(&mut map);
    map
}

/// How a comparison came out: decisions by kind.
#[derive(Debug, Default)]
struct Seen {
    continued: usize,
    answered: usize,
    failed: usize,
}

impl Seen {
    fn count<T>(&mut self, outcome: &Result<Outcome<T>, Failure>) {
        match outcome {
            Ok(Outcome::Continue(_)) => self.continued += 1,
            Ok(Outcome::Answer(_)) => self.answered += 1,
            Err(_) => self.failed += 1,
        }
    }
}

async fn requests(with: &Plugin, without: &Plugin, dice: &mut Dice, count: usize) -> Seen {
    let mut seen = Seen::default();
    for number in 0..count {
        let request = dice.request();
        let context = context(request.clone(), dice.identity());
        let (one, other) = (with.on_request(&context).await, without.on_request(&context).await);
        assert_eq!(one, other, "request {number}: {request:?}");
        if let (Ok(Outcome::Continue(one)), Ok(Outcome::Continue(other))) = (&one, &other) {
            assert_eq!(one.jurisdictions(None), other.jurisdictions(None));
            assert_eq!(edited(request.headers.clone(), one), edited(request.headers, other));
        }
        seen.count(&one);
    }
    seen
}

async fn responses(with: &Plugin, without: &Plugin, dice: &mut Dice, count: usize) -> Seen {
    let mut seen = Seen::default();
    for number in 0..count {
        let (context, response) = (context(dice.request(), dice.identity()), dice.response());
        let message = dice.one_in(2);
        let ask = |plugin: &Plugin| {
            let (plugin, context, head) = (plugin.clone(), context.clone(), std::sync::Arc::new(response.clone()));
            async move {
                let given = message.then(|| Box::new(Nothing) as Box<dyn Message>);
                let ended = plugin.on_response(head, given, &context).await?;
                Ok(match ended {
                    Outcome::Continue((edits, back)) => {
                        assert_eq!(back.is_some(), message, "a message comes back");
                        Outcome::Continue(edits)
                    }
                    Outcome::Answer(answer) => Outcome::Answer(answer),
                })
            }
        };
        let (one, other): (Result<_, Failure>, _) = (ask(with).await, ask(without).await);
        assert_eq!(one, other, "response {number}: {response:?}");
        seen.count(&one);
    }
    seen
}

/// The rich rule, in a roomy memo and in one that is always full.
#[tokio::test]
async fn a_rule_with_many_branches_decides_alike() {
    let without = load("memo-rule", "word", limits(0));
    assert!(without.is_pure());
    for (seed, memo_bytes, least) in [(1, 2 << 20, 0.6), (2, SMALL_MEMO_BYTES, 0.1)] {
        let with = load("memo-rule", "word", limits(memo_bytes));
        let mut dice = Dice::new(seed);
        let seen = requests(&with, &without, &mut dice, REQUESTS / 2).await;
        let (most, some) = (REQUESTS / 20, REQUESTS / 100);
        assert!(seen.continued > most && seen.answered > most && seen.failed > some, "{seen:?}");
        let seen = responses(&with, &without, &mut dice, RESPONSES / 2).await;
        assert!(seen.continued > RESPONSES / 20 && seen.answered > RESPONSES / 20, "{seen:?}");
        let stats = with.memo_stats();
        println!("{memo_bytes} bytes: {stats:?}");
        let looked = (stats.hits + stats.misses) as f64;
        assert!(stats.hits as f64 > least * looked && stats.misses > 1_000, "{stats:?}");
        assert!(stats.bytes <= memo_bytes as u64 && stats.switched_off == 0, "{stats:?}");
        assert_eq!(memo_bytes == SMALL_MEMO_BYTES, stats.evictions > 100, "{stats:?}");
    }
    assert_eq!(without.memo_stats().hits, 0);
}

/// A reload that changes nothing keeps what was learnt, and it is still right.
#[tokio::test]
async fn a_rule_decides_alike_after_it_was_loaded_again() {
    let without = load("memo-rule", "word", limits(0));
    let mut with = load("memo-rule", "word", limits(2 << 20));
    for seed in [4, 4, 5] {
        let mut dice = Dice::new(seed);
        requests(&with, &without, &mut dice, REQUESTS / 20).await;
        responses(&with, &without, &mut dice, RESPONSES / 20).await;
        let (hits, stores) = (with.memo_stats().hits, with.memo_stats().stores);
        let again = ENGINE.load_after(&with, spec("memo-rule", "word", limits(2 << 20))).unwrap();
        assert_eq!((again.memo_stats().hits, again.memo_stats().stores), (hits, stores));
        with = again;
    }
    // Another configuration has a memo of its own.
    let other = ENGINE.load_after(&with, spec("memo-rule", "other", limits(2 << 20))).unwrap();
    assert_eq!(other.memo_stats().stores, 0);
    let without = load("memo-rule", "other", limits(0));
    requests(&other, &without, &mut Dice::new(4), REQUESTS / 20).await;
}

#[tokio::test]
async fn the_access_rule_decides_alike() {
    let config = r#"{"realm":"demo","rules":[
        {"routes":["r"],"models":["minilm"],"scopes":["infer"]},
        {"routes":["s"],"tenants":["acme"],"scopes":["a"]},
        {"models":["gpt"],"scopes":["infer"],"audiences":["x"]}]}"#;
    let without = load("jwt-access", config, limits(0));
    let with = load("jwt-access", config, limits(1 << 20));
    let seen = requests(&with, &without, &mut Dice::new(3), REQUESTS / 2).await;
    assert!(seen.continued > 1_000 && seen.answered > 1_000 && seen.failed == 0, "{seen:?}");
    let stats = with.memo_stats();
    println!("{stats:?}");
    assert!(stats.hits > (REQUESTS / 2 * 8 / 10) as u64 && stats.misses > 10 && stats.switched_off == 0, "{stats:?}");
}
