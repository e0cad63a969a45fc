//! A pure rule with as many ways through it as its requests have: what it reads next depends on what it read, its
//! answers tell what it found, and it reads what it wrote. Its configuration is a word that its edits carry.

#[cfg(target_family = "wasm")]
mod component {
    use std::sync::OnceLock;

    #[allow(missing_docs, unreachable_pub, unsafe_code, unused_qualifications, clippy::all, clippy::indexing_slicing)]
    mod bindings {
        wit_bindgen::generate!({
            path: "../../../wit",
            inline: r#"
                package forebay:memo-rule;

                world plugin {
                    import forebay:policy/http@0.1.1;
                    import forebay:policy/identity@0.1.1;
                    use forebay:policy/types@0.1.1.{verdict};
                    use forebay:policy/http@0.1.1.{request, response};
                    use forebay:policy/sealing@0.1.1.{message};
                    export configure: func(config: string) -> result<_, string>;
                    export on-request: func(request: borrow<request>) -> verdict;
                    export on-response: func(response: borrow<response>, message: option<borrow<message>>) -> verdict;
                }
            "#,
            world: "forebay:memo-rule/plugin",
            generate_all,
        });
        pub(super) struct Plugin;
        export!(Plugin);
    }

    use bindings::forebay::policy::http::{Request, Response, current_request};
    use bindings::forebay::policy::identity;
    use bindings::forebay::policy::sealing::Message;
    use bindings::forebay::policy::types::{Answer, Header, Verdict};

    /// How many header fields a chain of names leads through.
    const HOPS: usize = 5;

    static WORD: OnceLock<String> = OnceLock::new();

    impl bindings::Guest for bindings::Plugin {
        fn configure(config: String) -> Result<(), String> {
            WORD.set(config).map_err(|_| "configured twice".to_owned())
        }

        fn on_request(request: &Request) -> Verdict {
            let path = request.path();
            match path.split('/').nth(1).unwrap_or_default() {
                "admin" => admin(),
                "echo" => echo(request),
                "deny" => answer(403, format!("{} {:?} {:?}", request.method(), request.query(), text(request, "x-a"))),
                "chain" => chain(request),
                "claims" => answer(403, format!("{:?}", identity::claims())),
                "bad" => bad(request),
                "nothing" => Verdict::Continue,
                "areas" => areas(request),
                "trace" => answer(403, request.trace_id()),
                _ => other(request),
            }
        }

        fn on_response(response: &Response, message: Option<&Message>) -> Verdict {
            if message.is_some() {
                response.set_header("x-message", b"yes");
            }
            match response.status() {
                500.. => {
                    response.remove_header("server");
                    let retry = response.header("retry-after").unwrap_or_else(|| b"1".to_vec());
                    response.set_header("retry-after", &retry);
                }
                404 => return answer(403, format!("hidden: {}", response.header_names().join(" "))),
                201 => {
                    // The request as it went on, and as this hook cannot edit it.
                    let request = current_request();
                    let names = request.header_names().join(" ");
                    let a = text(&request, "x-a").unwrap_or_default();
                    let etag = response.header("etag").unwrap_or_default();
                    response.set_header("etag", [etag.as_slice(), b"!"].concat().as_slice());
                    let seen = format!("{} {names} {}", response.header_names().join(" "), request.trace_id());
                    return answer(403, format!("{seen} {a}"));
                }
                _ => response.set_header("x-route", current_request().route().as_bytes()),
            }
            Verdict::Continue
        }
    }

    fn admin() -> Verdict {
        if let Err(absence) = identity::verify() {
            let challenge = Header { name: "www-authenticate".to_owned(), value: "Bearer".to_owned() };
            return with(401, format!("{absence:?}"), vec![challenge]);
        }
        match identity::claim("/role") {
            Some(role) if role == "\"root\"" => Verdict::Continue,
            role => answer(403, format!("role {role:?}")),
        }
    }

    /// Writes, reads what it wrote, and writes that.
    fn echo(request: &Request) -> Verdict {
        let before = request.header_names().len().to_string();
        request.set_header("x-before", before.as_bytes());
        let mut a = request.header("x-a").unwrap_or_default();
        a.extend_from_slice(WORD.get().map(String::as_bytes).unwrap_or_default());
        request.set_header("X-A", &a);
        request.remove_header("x-b");
        let again = request.header("x-a").unwrap_or_default();
        request.set_header("x-echo", &again);
        if request.header("x-b").is_some() {
            return answer(500, "an edit was not seen".to_owned());
        }
        request.set_header("x-names", request.header_names().join(",").as_bytes());
        Verdict::Continue
    }

    /// Narrows where the request may go by what it says, more than once.
    fn areas(request: &Request) -> Verdict {
        for name in ["x-a", "x-b"] {
            if let Some(area) = text(request, name) {
                request.restrict_jurisdictions(&[area, "eu".to_owned()]);
            }
        }
        request.set_header("x-trace", request.trace_id().as_bytes());
        Verdict::Continue
    }

    /// Each field names the next one to read.
    fn chain(request: &Request) -> Verdict {
        let mut name = "x-a".to_owned();
        for hop in 0..HOPS {
            match text(request, &name) {
                Some(next) if !next.is_empty() => name = format!("x-{next}"),
                end => return answer(403, format!("{hop} {name} {end:?}")),
            }
        }
        request.set_header("x-end", name.as_bytes());
        Verdict::Continue
    }

    fn bad(request: &Request) -> Verdict {
        match text(request, "x-a").as_deref() {
            Some("a") => request.set_header("forebay-own", b"no"),
            Some("b") => trap(),
            _ => {}
        }
        Verdict::Continue
    }

    fn other(request: &Request) -> Verdict {
        let model = request.model();
        let tenant = identity::tenant();
        match (model, tenant) {
            (Some(model), Some(tenant)) => {
                let scope = identity::claim("/scope").unwrap_or_default();
                request.set_header("x-who", format!("{tenant} {scope} {model}").as_bytes());
            }
            (Some(_), None) => return answer(401, format!("{} {}", request.dialect(), request.peer())),
            (None, _) if request.host() == "a" => request.set_header("x-protocol", request.protocol().as_bytes()),
            (None, _) => {}
        }
        Verdict::Continue
    }

    fn text(request: &Request, name: &str) -> Option<String> {
        request.header(name).map(|value| String::from_utf8_lossy(&value).into_owned())
    }

    fn answer(status: u16, detail: String) -> Verdict {
        with(status, detail, Vec::new())
    }

    fn with(status: u16, detail: String, headers: Vec<Header>) -> Verdict {
        // A text of somebody else's making may hold what no detail may.
        let detail = detail.chars().filter(|c| !c.is_control()).take(200).collect();
        Verdict::Answer(Answer { status, problem: Some("forbidden".to_owned()), detail, headers })
    }

    #[allow(clippy::panic)]
    fn trap() {
        panic!("told to");
    }
}
