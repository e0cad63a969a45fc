//! A plugin that uses the capabilities of the host as each request tells it: the field `x-do` holds a command and its
//! words. What came of it is answered in the field `x-result`, but for `note`, after which the request goes on and
//! `on-response` tells the note in `x-note`.

#[cfg(target_family = "wasm")]
mod component {
    use std::fmt::Write as _;

    #[allow(missing_docs, unreachable_pub, unsafe_code, unused_qualifications, clippy::all, clippy::indexing_slicing)]
    mod bindings {
        wit_bindgen::generate!({
            path: "../../../wit",
            inline: r#"
                package forebay:capabilities-guest;

                world plugin {
                    import forebay:policy/http@0.1.1;
                    import forebay:policy/log@0.1.1;
                    import forebay:policy/counters@0.1.1;
                    import forebay:policy/key-value@0.1.1;
                    import forebay:policy/keys@0.1.1;
                    import forebay:policy/metrics@0.1.1;
                    import forebay:policy/outbound@0.1.1;
                    import forebay:policy/inference@0.1.1;
                    import forebay:policy/notes@0.1.1;
                    use forebay:policy/types@0.1.1.{verdict};
                    use forebay:policy/http@0.1.1.{request, response};
                    use forebay:policy/sealing@0.1.1.{message};
                    export configure: func(config: string) -> result<_, string>;
                    export on-request: func(request: borrow<request>) -> verdict;
                    export on-response: func(response: borrow<response>, message: option<borrow<message>>) -> verdict;
                }
            "#,
            world: "forebay:capabilities-guest/plugin",
            generate_all,
        });
        pub(super) struct Plugin;
        export!(Plugin);
    }

    use bindings::forebay::policy::http::{Request, Response};
    use bindings::forebay::policy::inference::Tensor;
    use bindings::forebay::policy::outbound::Outgoing;
    use bindings::forebay::policy::sealing::Message;
    use bindings::forebay::policy::types::{Answer, Header, Verdict};
    use bindings::forebay::policy::{counters, inference, key_value, keys, log, metrics, notes, outbound};

    /// The note that `on-response` tells.
    const NOTE: &str = "told";

    impl bindings::Guest for bindings::Plugin {
        fn configure(_: String) -> Result<(), String> {
            Ok(())
        }

        fn on_request(request: &Request) -> Verdict {
            let told = request.header("x-do").and_then(|value| String::from_utf8(value).ok()).unwrap_or_default();
            let words: Vec<&str> = told.split(' ').collect();
            let result = match words.as_slice() {
                ["add", key, by, window] => text(counters::add(key, number(by), small(window))),
                ["count", key] => text(counters::get(key)),
                ["take", bucket, tokens, capacity, per_minute] => take(bucket, tokens, capacity, per_minute),
                ["set", key, value, ttl] => text(key_value::set(key, value.as_bytes(), small(ttl)).map(|()| "kept")),
                ["once", key, value, ttl] => text(key_value::set_if_absent(key, value.as_bytes(), small(ttl))),
                ["get", key] => get(key),
                ["delete", key] => text(key_value::delete(key).map(|()| "deleted")),
                ["sign", key, purpose, data] => text(keys::sign(key, purpose, data.as_bytes()).map(|tag| hex(&tag))),
                ["verify", key, purpose, data, tag] => text(keys::verify(key, purpose, data.as_bytes(), &bytes(tag))),
                ["seal", key, purpose, plain] => text(keys::seal_text(key, purpose, plain)),
                ["open", key, purpose, sealed] => text(keys::open_text(key, purpose, sealed)),
                ["measure", name, by, value] => {
                    metrics::count(name, number(by));
                    metrics::observe(name, value.parse().unwrap_or_default());
                    "measured".to_owned()
                }
                ["fetch", method, url, timeout, body, headers @ ..] => fetch(method, url, timeout, body, headers),
                ["infer", model] => infer(model),
                ["log", times, line @ ..] => {
                    let line = line.join(" ");
                    (0..number(times)).for_each(|_| log::write(log::Level::Info, &line));
                    "logged".to_owned()
                }
                ["restrict", area, model] => {
                    request.restrict_jurisdictions(&[(*area).to_owned()]);
                    infer(model)
                }
                ["note", value] => {
                    notes::set(NOTE, value.as_bytes());
                    return Verdict::Continue;
                }
                [""] => return Verdict::Continue,
                _ => "unknown".to_owned(),
            };
            let headers = vec![Header { name: "x-result".to_owned(), value: result }];
            Verdict::Answer(Answer { status: 200, problem: None, detail: String::new(), headers })
        }

        fn on_response(response: &Response, _: Option<&Message>) -> Verdict {
            if let Some(note) = notes::get(NOTE) {
                response.set_header("x-note", &note);
            }
            Verdict::Continue
        }
    }

    /// A result in words; an error by its name in the contract.
    fn text<T: ToString, E: std::fmt::Debug>(result: Result<T, E>) -> String {
        match result {
            Ok(value) => value.to_string(),
            // `Error { code: 0, name: "full", message: ".." }`
            Err(error) => format!("{error:?}").split('"').nth(1).unwrap_or("unnamed").to_owned(),
        }
    }

    fn number(word: &str) -> u64 {
        word.parse().unwrap_or_default()
    }

    fn small(word: &str) -> u32 {
        word.parse().unwrap_or_default()
    }

    fn take(bucket: &str, tokens: &str, capacity: &str, per_minute: &str) -> String {
        let taken = counters::take(bucket, number(tokens), number(capacity), number(per_minute));
        text(taken.map(|taken| {
            let wait = if taken.retry_after_ms > 0 { "later" } else { "now" };
            format!("{} {} {wait}", taken.granted, taken.remaining)
        }))
    }

    fn get(key: &str) -> String {
        text(key_value::get(key).map(|value| {
            let value = value.map(|value| String::from_utf8_lossy(&value).into_owned());
            value.unwrap_or_else(|| "none".to_owned())
        }))
    }

    fn fetch(method: &str, url: &str, timeout: &str, body: &str, headers: &[&str]) -> String {
        let header = |field: &&str| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            // So that a test can try what cannot stand in a field of its own.
            Header { name: name.to_owned(), value: value.replace("%0A", "\n") }
        };
        let request = Outgoing {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: headers.iter().map(header).collect(),
            body: body.repeat(100).into_bytes(),
            timeout_ms: small(timeout),
        };
        text(outbound::send(&request).map(|answer| {
            let kind = answer.headers.iter().find(|field| field.name == "content-type").map(|field| &*field.value);
            format!("{} {} {}", answer.status, answer.body.len(), kind.unwrap_or("none"))
        }))
    }

    /// Asks the product of two small matrices, which both have known outcomes, and tells its numbers.
    fn infer(model: &str) -> String {
        let tensor = |name: &str, shape: &[u64], elements: &[f32]| Tensor {
            name: name.to_owned(),
            datatype: "FP32".to_owned(),
            shape: shape.to_vec(),
            data: elements.iter().flat_map(|element| element.to_le_bytes()).collect(),
        };
        let inputs = [
            tensor("a", &[1, 2], &[1.0, 2.0]),
            tensor("b", &[2, 2], &[1.0, 2.0, 3.0, 4.0]),
            tensor("bias", &[1], &[0.5]),
        ];
        text(inference::infer(model, &inputs).map(|outputs| {
            let mut told = String::new();
            for output in outputs {
                let _ = write!(told, "{} {}:", output.name, output.datatype);
                for element in output.data.as_chunks().0 {
                    let _ = write!(told, " {}", f32::from_le_bytes(*element));
                }
            }
            told
        }))
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.chars().filter_map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| (byte << 4) | digit)).collect()
    }
}
