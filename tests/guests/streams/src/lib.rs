//! A plugin that changes and refuses parts of bodies as they stream, by the words in them and the rules in its
//! configuration, and trailers. Acts: `!refuse`, `!trap`, `!loop`, `!drop` (the part), `!bytes` (two that are no UTF-8 take its place), `!count` (the word becomes the
//! number of the part), `!hold` (the part comes with the next one).

#[cfg(target_family = "wasm")]
mod component {
    use std::hint::black_box;
    use std::sync::OnceLock;
    use std::sync::{Mutex, PoisonError};

    #[allow(missing_docs, unreachable_pub, unsafe_code, unused_qualifications, clippy::all, clippy::indexing_slicing)]
    mod bindings {
        wit_bindgen::generate!({
            path: "../../../wit",
            inline: r#"
                package forebay:streams-guest;

                world plugin {
                    import forebay:policy/http@0.1.1;
                    import forebay:policy/body@0.1.1;
                    use forebay:policy/types@0.1.1.{verdict};
                    use forebay:policy/http@0.1.1.{trailers};
                    use forebay:policy/body@0.1.1.{part, side};
                    export configure: func(config: string) -> result<_, string>;
                    export on-request-chunk: func(part: borrow<part>) -> verdict;
                    export on-response-chunk: func(part: borrow<part>) -> verdict;
                    export on-trailers: func(side: side, trailers: borrow<trailers>) -> verdict;
                }
            "#,
            world: "forebay:streams-guest/plugin",
            generate_all,
        });
        pub(super) struct Plugin;
        export!(Plugin);
    }

    use bindings::forebay::policy::body::{Part, Side};
    use bindings::forebay::policy::http::Trailers;
    use bindings::forebay::policy::types::{Answer, Verdict};

    static RULES: OnceLock<Vec<Rule>> = OnceLock::new();
    static SEEN: Mutex<Seen> = Mutex::new(Seen { parts: 0, held: String::new() });

    /// What is remembered of the parts before.
    struct Seen {
        parts: u32,
        held: String,
    }

    /// What is to be done about a word: rules such as `q:ping>pong|a:secret>!refuse`, `q` for requests and `a` for their
    /// answers. What stands behind `>` takes the word's place, unless it is one of the acts.
    struct Rule {
        side: char,
        word: String,
        act: String,
    }

    /// Reads a configuration: bare, or as a gateway has it, `{"behaviour":"..."}`.
    fn rules(config: &str) -> Result<Vec<Rule>, String> {
        let inner = config.strip_prefix("{\"behaviour\":\"").and_then(|rest| rest.strip_suffix("\"}"));
        let rule = |text: &str| {
            let (side, rest) = text.split_once(':').ok_or("a rule has no side")?;
            let (word, act) = rest.split_once('>').ok_or("a rule has no act")?;
            let side = side.chars().next().ok_or("a rule has no side")?;
            Ok(Rule { side, word: word.to_owned(), act: act.to_owned() })
        };
        inner.unwrap_or(config).split('|').map(rule).collect()
    }

    impl bindings::Guest for bindings::Plugin {
        fn configure(config: String) -> Result<(), String> {
            RULES.set(rules(&config)?).map_err(|_| "configured twice".to_owned())
        }

        fn on_request_chunk(part: &Part) -> Verdict {
            on_part(part)
        }

        fn on_response_chunk(part: &Part) -> Verdict {
            on_part(part)
        }

        fn on_trailers(side: Side, trailers: &Trailers) -> Verdict {
            let here = match side {
                Side::Request => "request",
                Side::Response => "response",
            };
            for name in trailers.header_names() {
                match trailers.header(&name).as_deref() {
                    Some(b"secret") => return refuse(),
                    Some(b"drop") => trailers.remove_header(&name),
                    Some(b"trap") => trap(),
                    _ => {}
                }
            }
            trailers.set_header("x-seen", here.as_bytes());
            Verdict::Continue
        }
    }

    fn on_part(part: &Part) -> Verdict {
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        seen.parts += 1;
        let before = String::from_utf8_lossy(&part.read(0, u32::MAX)).into_owned();
        let mut text = std::mem::take(&mut seen.held) + &before;
        let here = side(part);
        for rule in RULES.get().into_iter().flatten().filter(|rule| rule.side == here) {
            if !text.contains(&rule.word) {
                continue;
            }
            match rule.act.as_str() {
                "!refuse" => return refuse(),
                "!trap" => trap(),
                "!loop" => spin(),
                "!drop" => text.clear(),
                "!bytes" => {
                    part.replace(&[0xff, 0xfe]);
                    return Verdict::Continue;
                }
                "!count" => text = text.replace(&rule.word, &seen.parts.to_string()),
                "!hold" if !part.last() => seen.held = std::mem::take(&mut text),
                "!hold" => {}
                other => text = text.replace(&rule.word, other),
            }
        }
        if text != before {
            part.replace(text.as_bytes());
        }
        Verdict::Continue
    }

    fn side(part: &Part) -> char {
        match part.side() {
            Side::Request => 'q',
            Side::Response => 'a',
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

    fn refuse() -> Verdict {
        let (problem, detail) = (Some("forbidden".to_owned()), "a word that must not pass".to_owned());
        Verdict::Answer(Answer { status: 403, problem, detail, headers: Vec::new() })
    }
}
