//! A plugin that asks its stores, its clock and its generator for too much. Its configuration names what it asks for;
//! what it was told is answered in the field `x-result`.

#[cfg(target_family = "wasm")]
mod component {
    use std::hint::black_box;
    use std::sync::OnceLock;

    #[allow(missing_docs, unreachable_pub, unsafe_code, unused_qualifications, clippy::all, clippy::indexing_slicing)]
    mod bindings {
        wit_bindgen::generate!({
            path: "../../../wit",
            inline: r#"
                package forebay:greedy-guest;

                world plugin {
                    import forebay:policy/clock@0.1.1;
                    import forebay:policy/random@0.1.1;
                    import forebay:policy/counters@0.1.1;
                    import forebay:policy/key-value@0.1.1;
                    import forebay:policy/metrics@0.1.1;
                    import forebay:policy/notes@0.1.1;
                    use forebay:policy/types@0.1.1.{verdict};
                    use forebay:policy/http@0.1.1.{request};
                    export configure: func(config: string) -> result<_, string>;
                    export on-request: func(request: borrow<request>) -> verdict;
                }
            "#,
            world: "forebay:greedy-guest/plugin",
            generate_all,
        });
        pub(super) struct Plugin;
        export!(Plugin);
    }

    use bindings::forebay::policy::http::Request;
    use bindings::forebay::policy::types::{Answer, Header, Verdict};
    use bindings::forebay::policy::{clock, counters, key_value, metrics, notes, random};

    static ACT: OnceLock<String> = OnceLock::new();

    /// One byte more than a key may have.
    const LONG_KEY: usize = 257;
    /// One byte more than a value may have.
    const LONG_VALUE: usize = 65_537;
    /// One second more than a day.
    const LONG_TIME_S: u32 = 86_401;

    impl bindings::Guest for bindings::Plugin {
        fn configure(config: String) -> Result<(), String> {
            match config.as_str() {
                "clock-in-configure" => drop(black_box(clock::now_ms())),
                "random-in-configure" => drop(black_box(random::number())),
                "counters-in-configure" => drop(black_box(counters::add("a", 1, 1))),
                "store-in-configure" => drop(black_box(key_value::get("a"))),
                "note-in-configure" => drop(black_box(notes::set("a", b"1"))),
                _ => {}
            }
            ACT.set(config).map_err(|_| "configured twice".to_owned())
        }

        fn on_request(_: &Request) -> Verdict {
            let result = match ACT.get().map(String::as_str).unwrap_or_default() {
                "long-key" => format!("{:?}", counters::add(&"k".repeat(LONG_KEY), 1, 1)),
                "long-bucket" => {
                    format!("{:?}", counters::take(&"k".repeat(LONG_KEY), 1, 1, 1).map(|taken| taken.granted))
                }
                "long-store-key" => format!("{:?}", key_value::get(&"k".repeat(LONG_KEY)).map(|_| ())),
                "long-value" => format!("{:?}", key_value::set("a", &vec![0; LONG_VALUE], 1)),
                "no-time" => format!("{:?}", key_value::set("a", b"1", 0)),
                "long-time" => format!("{:?}", key_value::set("a", b"1", LONG_TIME_S)),
                "no-window" => format!("{:?}", counters::add("a", 1, 0)),
                "long-window" => format!("{:?}", counters::add("a", 1, LONG_TIME_S)),
                "many-random-bytes" => random::bytes(1025).len().to_string(),
                "random-flood" => loop {
                    black_box(random::bytes(1024));
                },
                "clock-flood" => loop {
                    black_box(clock::monotonic_us());
                },
                "counter-flood" => loop {
                    black_box(counters::add("a", 1, 60).is_ok());
                },
                "store-flood" => loop {
                    black_box(key_value::set("a", &[0; 60_000], 60).is_ok());
                },
                "metric-flood" => loop {
                    metrics::observe("a", f64::NAN);
                },
                "note-flood" => (0..64).filter(|i| notes::set(&format!("n{i}"), &[0; 100])).count().to_string(),
                _ => "ok".to_owned(),
            };
            let headers = vec![Header { name: "x-result".to_owned(), value: result }];
            Verdict::Answer(Answer { status: 200, problem: None, detail: String::new(), headers })
        }
    }
}
