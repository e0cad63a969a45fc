//! A plugin that misbehaves as it is told: its configuration names an act and, behind it, the hook that performs it:
//! `loop-on-request-body`. Without a hook it is `on-request`; with `-everywhere` it is each one that is called.
//!
//! One component for all of them, since each is a few lines; the tests of the policy runtime and of the
//! gateway load it many times.

#[cfg(any(target_family = "wasm", test))]
mod told;

#[cfg(target_family = "wasm")]
mod component {
    use std::hint::black_box;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Mutex, OnceLock};

    #[allow(missing_docs, unreachable_pub, unsafe_code, unused_qualifications, clippy::all, clippy::indexing_slicing)]
    mod bindings {
        wit_bindgen::generate!({
            path: "../../wit",
            inline: r#"
                package forebay:hostile-guest;

                world plugin {
                    import forebay:policy/http@0.1.1;
                    import forebay:policy/identity@0.1.1;
                    import forebay:policy/sealing@0.1.1;
                    import forebay:policy/log@0.1.1;
                    import forebay:policy/body@0.1.1;
                    use forebay:policy/types@0.1.1.{verdict};
                    use forebay:policy/http@0.1.1.{request, response, trailers};
                    use forebay:policy/sealing@0.1.1.{message};
                    use forebay:policy/body@0.1.1.{part, side};
                    export configure: func(config: string) -> result<_, string>;
                    export on-request: func(request: borrow<request>) -> verdict;
                    export on-request-body: func(part: borrow<part>) -> verdict;
                    export on-request-chunk: func(part: borrow<part>) -> verdict;
                    export on-forward: func(message: borrow<message>) -> verdict;
                    export on-return: func(message: borrow<message>) -> verdict;
                    export on-response: func(response: borrow<response>, message: option<borrow<message>>) -> verdict;
                    export on-response-body: func(part: borrow<part>) -> verdict;
                    export on-response-chunk: func(part: borrow<part>) -> verdict;
                    export on-trailers: func(side: side, trailers: borrow<trailers>) -> verdict;
                }
            "#,
            world: "forebay:hostile-guest/plugin",
            generate_all,
        });
        pub(super) struct Plugin;
        export!(Plugin);
    }

    use super::told::Told;
    use bindings::forebay::policy::body::{Part, Side};
    use bindings::forebay::policy::http::{self, Request, Response, Trailers};
    use bindings::forebay::policy::sealing::{Field, Message};
    use bindings::forebay::policy::types::{Answer, Header, Verdict};
    use bindings::forebay::policy::{identity, log};

    static TOLD: OnceLock<Told> = OnceLock::new();
    /// Counts the calls that this memory has seen, which must never be more than one but for the parts of a body.
    static CALLS: AtomicU32 = AtomicU32::new(0);
    /// What was held back of a body.
    static HELD: Mutex<Vec<u8>> = Mutex::new(Vec::new());

    /// The most that a plugin may put in the place of a part, in bytes.
    const PART_BYTES: usize = 8 << 20;
    /// Pages of linear memory in 4 GiB, but for one.
    const MANY_PAGES: usize = 65_535;

    /// Sets a field of what this hook may edit, or of what it may not.
    type SetHeader<'a> = &'a dyn Fn(&str, &[u8]);

    impl bindings::Guest for bindings::Plugin {
        fn configure(config: String) -> Result<(), String> {
            let told = Told::read(&config)?;
            match told.act.as_str() {
                "loop-in-configure" => spin(),
                "trap-in-configure" => trap(),
                "memory-in-configure" => hoard(),
                "recursion-in-configure" => drop(black_box(descend(black_box(1)))),
                "call-in-configure" => log::write(log::Level::Info, "hello"),
                _ => {}
            }
            TOLD.set(told).map_err(|_| "configured twice".to_owned())
        }

        fn on_request(request: &Request) -> Verdict {
            perform("on-request", &|name, value| request.set_header(name, value))
        }

        fn on_request_body(part: &Part) -> Verdict {
            on_part("on-request-body", part)
        }

        fn on_request_chunk(part: &Part) -> Verdict {
            on_part("on-request-chunk", part)
        }

        fn on_forward(message: &Message) -> Verdict {
            match act("on-forward") {
                "ask" => {
                    let field = Field::Input("text".to_owned());
                    (0..64).for_each(|_| {
                        black_box(message.has(&field));
                    });
                }
                "seal-then-trap" => {
                    let _ = message.seal(&Field::Input("text".to_owned()), "region");
                    trap();
                }
                _ => {}
            }
            perform("on-forward", &set_elsewhere)
        }

        fn on_return(_: &Message) -> Verdict {
            perform("on-return", &set_elsewhere)
        }

        fn on_response(response: &Response, _: Option<&Message>) -> Verdict {
            perform("on-response", &|name, value| response.set_header(name, value))
        }

        fn on_response_body(part: &Part) -> Verdict {
            on_part("on-response-body", part)
        }

        fn on_response_chunk(part: &Part) -> Verdict {
            on_part("on-response-chunk", part)
        }

        fn on_trailers(_: Side, trailers: &Trailers) -> Verdict {
            perform("on-trailers", &|name, value| trailers.set_header(name, value))
        }
    }

    /// What is to be done in this hook.
    fn act(hook: &str) -> &'static str {
        TOLD.get().filter(|told| told.is_here(hook)).map(|told| told.act.as_str()).unwrap_or_default()
    }

    /// Edits the head of the request, which only `on-request` may.
    fn set_elsewhere(name: &str, value: &[u8]) {
        http::current_request().set_header(name, value);
    }

    /// What can be done with a part of a body, and then what can be done anywhere.
    fn on_part(hook: &str, part: &Part) -> Verdict {
        let before = CALLS.fetch_add(1, Ordering::Relaxed);
        match act(hook) {
            "giant-part" => part.replace(&vec![b'x'; PART_BYTES + 1]),
            "hold-for-ever" => {
                if let Ok(mut held) = HELD.lock() {
                    held.extend(part.read(0, u32::MAX));
                }
                part.replace(&[]);
            }
            "loop-at-third" if before == 2 => spin(),
            "trap-at-third" if before == 2 => trap(),
            "read-flood" => loop {
                black_box(part.read(0, u32::MAX));
            },
            "count" => part.replace((before + 1).to_string().as_bytes()),
            _ => {}
        }
        perform(hook, &set_elsewhere)
    }

    fn perform(hook: &str, set: SetHeader<'_>) -> Verdict {
        match act(hook) {
            "loop" => spin(),
            "trap" => trap(),
            "memory" => hoard(),
            "pages" => drop(black_box(core::arch::wasm32::memory_grow::<0>(MANY_PAGES))),
            "recursion" => drop(black_box(descend(black_box(1)))),
            "wide-recursion" => drop(black_box(descend_wide(black_box(1)))),
            "giant-answer" => return answer(403, "forbidden", &"x".repeat(4 << 20), Vec::new()),
            "long-answer" => return answer(403, "forbidden", &"x".repeat(1025), Vec::new()),
            "many-headers" => return answer(403, "forbidden", "many", vec![header("x-a", "1"); 17]),
            "heavy-headers" => return answer(403, "forbidden", "heavy", vec![header("x-a", &"1".repeat(4096)); 3]),
            "bad-status" => return answer(204, "forbidden", "no body here", Vec::new()),
            "bad-header" => {
                return answer(403, "forbidden", "split", vec![header("x-a", "1\r\nset-cookie: a=b")]);
            }
            "own-header" => return answer(403, "forbidden", "framing", vec![header("content-length", "0")]),
            "bad-problem" => return answer(403, "no slug", "no slug", Vec::new()),
            "control-detail" => return answer(403, "forbidden", "a\u{1b}[31mb", Vec::new()),
            "answer" => return answer(403, "forbidden", "no", Vec::new()),
            "edit" => set("x-a", b"1"),
            "bad-edit" => set("forebay-timeout-ms", b"999999"),
            "edit-elsewhere" => set_elsewhere("x-a", b"1"),
            "edit-then-trap" => {
                set("x-edited", b"yes");
                trap();
            }
            "edit-flood" => (0..100_000).for_each(|_| set("x-a", b"1")),
            "heavy-edits" => (0..8).for_each(|i| set(&format!("x-{i}"), &[b'1'; 4096])),
            "host-call-flood" => loop {
                black_box(identity::tenant());
            },
            "host-byte-flood" => {
                let text = "x".repeat(1 << 20);
                (0..500).for_each(|_| log::write(log::Level::Info, &text));
            }
            "giant-host-call" => log::write(log::Level::Info, &"x".repeat(11 << 20)),
            "handle-flood" => (0..900).for_each(|_| std::mem::forget(http::current_request())),
            "log-flood" => (0..500).for_each(|_| log::write(log::Level::Info, "again")),
            "remember" => {
                let seen = CALLS.fetch_add(1, Ordering::Relaxed);
                set("x-seen", seen.to_string().as_bytes());
            }
            _ => {}
        }
        Verdict::Continue
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

    /// Runs out of the stack that is in linear memory before it runs out of the engine's.
    #[allow(unconditional_recursion, clippy::large_stack_arrays)]
    fn descend_wide(depth: u64) -> u64 {
        let frame = black_box([depth; 8192]);
        descend_wide(black_box(depth.wrapping_add(1))).wrapping_add(frame.iter().sum())
    }

    fn header(name: &str, value: &str) -> Header {
        Header { name: name.to_owned(), value: value.to_owned() }
    }

    fn answer(status: u16, problem: &str, detail: &str, headers: Vec<Header>) -> Verdict {
        Verdict::Answer(Answer { status, problem: Some(problem.to_owned()), detail: detail.to_owned(), headers })
    }
}
