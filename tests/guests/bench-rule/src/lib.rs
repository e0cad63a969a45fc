//! The rule that benchmarks measure: a path's prefix, three headers, two claims, one header set, one removed.
//!
//! The configuration is the prefix, as a JSON string. `tests/guests-bench` is the same rule for Envoy; whoever changes
//! one changes the other.

#[cfg(target_family = "wasm")]
mod component {
    use std::sync::OnceLock;

    #[allow(missing_docs, unreachable_pub, unsafe_code, unused_qualifications, clippy::all, clippy::indexing_slicing)]
    mod bindings {
        wit_bindgen::generate!({
            path: "../../../wit",
            inline: r#"
                package forebay:bench-rule;

                world plugin {
                    import forebay:policy/http@0.1.1;
                    import forebay:policy/identity@0.1.1;
                    use forebay:policy/types@0.1.1.{verdict};
                    use forebay:policy/http@0.1.1.{request};
                    export configure: func(config: string) -> result<_, string>;
                    export on-request: func(request: borrow<request>) -> verdict;
                }
            "#,
            world: "forebay:bench-rule/plugin",
            generate_all,
        });
        pub(super) struct Plugin;
        export!(Plugin);
    }

    use bindings::forebay::policy::types::{Answer, Verdict};
    use bindings::forebay::policy::{http::Request, identity};

    static PREFIX: OnceLock<String> = OnceLock::new();

    impl bindings::Guest for bindings::Plugin {
        /// `{"prefix":"/v2/"}`.
        fn configure(config: String) -> Result<(), String> {
            let inner = config.strip_prefix("{\"prefix\":\"").and_then(|rest| rest.strip_suffix("\"}"));
            let prefix = inner.ok_or_else(|| "prefix is missing".to_owned())?;
            PREFIX.set(prefix.to_owned()).map_err(|_| "configured twice".to_owned())
        }

        fn on_request(request: &Request) -> Verdict {
            let Some(client) = decide(request) else {
                return Verdict::Answer(Answer {
                    status: 403,
                    problem: Some("forbidden".to_owned()),
                    detail: "refused".to_owned(),
                    headers: Vec::new(),
                });
            };
            request.set_header("x-policy-client", client.as_bytes());
            request.remove_header("x-debug");
            Verdict::Continue
        }
    }

    /// What the header to set says, or none when the request is refused.
    fn decide(request: &Request) -> Option<String> {
        let header = |name| request.header(name).and_then(|value| String::from_utf8(value).ok());
        let prefix = PREFIX.get()?;
        let path_fits = request.path().starts_with(prefix.as_str());
        let agent_fits = header("user-agent").is_some_and(|agent| !agent.contains("bot"));
        let version = header("x-client-version").filter(|version| version.starts_with("2."))?;
        let region_fits = header("x-client-region").is_some_and(|region| region == "eu" || region == "us");
        let scope = identity::claim("/scope")?;
        let scope_fits = scope.trim_matches('"').split(' ').any(|scope| scope == "infer");
        let tenant = identity::claim("/tenant")?;
        let tenant = tenant.trim_matches('"');
        (path_fits && agent_fits && region_fits && scope_fits).then(|| format!("{tenant}/{version}"))
    }
}
