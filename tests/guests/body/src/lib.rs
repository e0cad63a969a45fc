//! A plugin that changes and refuses whole bodies, by the words in them and the rules in its configuration. Acts:
//! `!refuse`, `!trap`, `!loop`.

#[cfg(target_family = "wasm")]
mod component {
    use std::hint::black_box;
    use std::sync::OnceLock;

    #[allow(missing_docs, unreachable_pub, unsafe_code, unused_qualifications, clippy::all, clippy::indexing_slicing)]
    mod bindings {
        wit_bindgen::generate!({
            path: "../../../wit",
            inline: r#"
                package forebay:body-guest;

                world plugin {
                    import forebay:policy/body@0.1.1;
                    use forebay:policy/types@0.1.1.{verdict};
                    use forebay:policy/body@0.1.1.{part};
                    export configure: func(config: string) -> result<_, string>;
                    export on-request-body: func(part: borrow<part>) -> verdict;
                    export on-response-body: func(part: borrow<part>) -> verdict;
                }
            "#,
            world: "forebay:body-guest/plugin",
            generate_all,
        });
        pub(super) struct Plugin;
        export!(Plugin);
    }

    use bindings::forebay::policy::body::{Part, Side};
    use bindings::forebay::policy::types::{Answer, Verdict};

    static RULES: OnceLock<Vec<Rule>> = OnceLock::new();

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

        fn on_request_body(part: &Part) -> Verdict {
            on_body(part)
        }

        fn on_response_body(part: &Part) -> Verdict {
            on_body(part)
        }
    }

    fn on_body(part: &Part) -> Verdict {
        let before = String::from_utf8_lossy(&part.read(0, u32::MAX)).into_owned();
        let mut text = before.clone();
        let here = side(part);
        for rule in RULES.get().into_iter().flatten().filter(|rule| rule.side == here) {
            if !text.contains(&rule.word) {
                continue;
            }
            match rule.act.as_str() {
                "!refuse" => return refuse(),
                "!trap" => trap(),
                "!loop" => spin(),
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
