//! A plugin that misbehaves as it is told: its configuration names a behaviour.
//!
//! One component for all of them, since each is a few lines; the tests of the policy runtime and of the
//! gateway load it many times.

/// Every behaviour by name. `ok` does nothing wrong.
pub const BEHAVIOURS: [&str; 24] = [
    "ok",
    "loop",
    "trap",
    "memory",
    "recursion",
    "giant-answer",
    "bad-status",
    "bad-header",
    "bad-edit",
    "edit-then-trap",
    "edit-flood",
    "host-call-flood",
    "host-byte-flood",
    "log-flood",
    "remember",
    "answer",
    "trap-on-forward",
    "seal-then-trap",
    "ask-on-forward",
    "trap-on-return",
    "trap-on-response",
    "loop-in-configure",
    "trap-in-configure",
    "call-in-configure",
];

#[cfg(target_family = "wasm")]
mod component {
    use std::hint::black_box;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[allow(missing_docs, unreachable_pub, unsafe_code, unused_qualifications, clippy::all, clippy::indexing_slicing)]
    mod bindings {
        wit_bindgen::generate!({
            path: "../../wit",
            world: "forebay:policy/policy",
            generate_all,
        });
        pub(super) struct Plugin;
        export!(Plugin);
    }

    use bindings::forebay::policy::http::{Request, Response};
    use bindings::forebay::policy::sealing::{Field, Message};
    use bindings::forebay::policy::types::{Answer, Header, Verdict};
    use bindings::forebay::policy::{identity, log};

    static BEHAVIOUR: OnceLock<String> = OnceLock::new();
    /// Counts the calls that this memory has seen, which must never be more than one.
    static CALLS: AtomicU32 = AtomicU32::new(0);

    /// The behaviour that a configuration names: bare, or as a gateway has it, `{"behaviour":"..."}`.
    fn behaviour(config: String) -> String {
        let inner = config.strip_prefix("{\"behaviour\":\"").and_then(|rest| rest.strip_suffix("\"}"));
        inner.map(str::to_owned).unwrap_or(config)
    }

    fn told(behaviour: &str) -> bool {
        BEHAVIOUR.get().is_some_and(|told| told == behaviour)
    }

    impl bindings::Guest for bindings::Plugin {
        fn configure(config: String) -> Result<(), String> {
            let config = behaviour(config);
            match config.as_str() {
                "loop-in-configure" => spin(),
                "trap-in-configure" => trap(),
                "call-in-configure" => log::write(log::Level::Info, "hello"),
                known if super::BEHAVIOURS.contains(&known) => {}
                unknown => return Err(format!("no such behaviour: {unknown}")),
            }
            BEHAVIOUR.set(config).map_err(|_| "configured twice".to_owned())
        }

        fn on_request(request: &Request) -> Verdict {
            match BEHAVIOUR.get().map(String::as_str).unwrap_or_default() {
                "loop" => spin(),
                "trap" => trap(),
                "memory" => hoard(),
                "recursion" => drop(black_box(descend(black_box(1)))),
                "giant-answer" => return answer(403, &"x".repeat(4 << 20), Vec::new()),
                "bad-status" => return answer(204, "no body here", Vec::new()),
                "bad-header" => {
                    let header = Header { name: "x-a".to_owned(), value: "1\r\nset-cookie: a=b".to_owned() };
                    return answer(403, "split", vec![header]);
                }
                "answer" => return answer(403, "no", Vec::new()),
                "bad-edit" => request.set_header("forebay-timeout-ms", b"999999"),
                "edit-then-trap" => {
                    request.set_header("x-edited", b"yes");
                    trap();
                }
                "edit-flood" => (0..100_000).for_each(|_| request.set_header("x-a", b"1")),
                "host-call-flood" => loop {
                    black_box(identity::tenant());
                },
                "host-byte-flood" => {
                    let text = "x".repeat(1 << 20);
                    (0..500).for_each(|_| log::write(log::Level::Info, &text));
                }
                "log-flood" => (0..500).for_each(|_| log::write(log::Level::Info, "again")),
                "remember" => {
                    let seen = CALLS.fetch_add(1, Ordering::Relaxed);
                    request.set_header("x-seen", seen.to_string().as_bytes());
                }
                _ => {}
            }
            Verdict::Continue
        }

        fn on_forward(message: &Message) -> Verdict {
            if told("trap-on-forward") {
                trap();
            }
            if told("ask-on-forward") {
                let field = Field::Input("text".to_owned());
                (0..64).for_each(|_| {
                    black_box(message.has(&field));
                });
            }
            if told("seal-then-trap") {
                let _ = message.seal(&Field::Input("text".to_owned()), "region");
                trap();
            }
            Verdict::Continue
        }

        fn on_return(_: &Message) -> Verdict {
            if told("trap-on-return") {
                trap();
            }
            Verdict::Continue
        }

        fn on_response(response: &Response, _: Option<&Message>) -> Verdict {
            if told("trap-on-response") {
                response.set_header("x-edited", b"yes");
                trap();
            }
            Verdict::Continue
        }
    }

    fn spin() {
        let mut turns = 0_u64;
        while black_box(true) {
            turns = black_box(turns.wrapping_add(1));
        }
    }

    #[allow(clippy::panic)]
    fn trap() {
        panic!("told to");
    }

    fn hoard() {
        let mut hoard = Vec::new();
        while black_box(true) {
            hoard.push(vec![1_u8; 1 << 20]);
            black_box(&hoard);
        }
    }

    #[allow(unconditional_recursion)]
    fn descend(depth: u64) -> u64 {
        let frame = black_box([depth; 16]);
        descend(black_box(depth.wrapping_add(1))).wrapping_add(frame.iter().sum())
    }

    fn answer(status: u16, detail: &str, headers: Vec<Header>) -> Verdict {
        Verdict::Answer(Answer { status, problem: Some("forbidden".to_owned()), detail: detail.to_owned(), headers })
    }
}
