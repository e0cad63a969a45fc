//! Imports WASI beside the contract, as the runtimes of some guest languages do, and asks it for what a header field names.

#[cfg(target_family = "wasm")]
mod component {
    #[allow(missing_docs, unreachable_pub, unsafe_code, unused_qualifications, clippy::all, clippy::indexing_slicing)]
    mod bindings {
        wit_bindgen::generate!({
            path: "../../../wit",
            inline: r#"
                package forebay:wasi-rule;

                world plugin {
                    import forebay:policy/http@0.1.1;
                    import wasi:cli/environment@0.2.6;
                    import wasi:filesystem/preopens@0.2.6;
                    import wasi:random/random@0.2.6;
                    use forebay:policy/types@0.1.1.{verdict};
                    use forebay:policy/http@0.1.1.{request};
                    export on-request: func(request: borrow<request>) -> verdict;
                }

                package wasi:cli@0.2.6 {
                    interface environment {
                        get-environment: func() -> list<tuple<string, string>>;
                        get-arguments: func() -> list<string>;
                        initial-cwd: func() -> option<string>;
                    }
                }

                package wasi:filesystem@0.2.6 {
                    interface preopens {
                        resource descriptor {
                            sync: func();
                        }
                        get-directories: func() -> list<tuple<descriptor, string>>;
                    }
                }

                package wasi:random@0.2.6 {
                    interface random {
                        get-random-bytes: func(length: u64) -> list<u8>;
                        get-random-u64: func() -> u64;
                    }
                }
            "#,
            world: "forebay:wasi-rule/plugin",
            generate_all,
        });
        pub(super) struct Plugin;
        export!(Plugin);
    }

    use bindings::forebay::policy::http::Request;
    use bindings::forebay::policy::types::{Answer, Verdict};
    use bindings::wasi::{cli::environment, filesystem::preopens, random::random};

    impl bindings::Guest for bindings::Plugin {
        fn on_request(request: &Request) -> Verdict {
            let found = match request.header("x-ask").as_deref() {
                Some(b"bytes") => random::get_random_bytes(16).len(),
                Some(b"number") => usize::from(random::get_random_u64() > 0),
                _ => {
                    preopens::get_directories().iter().map(|(directory, _)| directory.sync()).count()
                        + environment::get_environment().len()
                        + environment::get_arguments().len()
                        + usize::from(environment::initial_cwd().is_some())
                }
            };
            let detail = format!("found {found} things");
            Verdict::Answer(Answer { status: 403, problem: Some("forbidden".to_owned()), detail, headers: Vec::new() })
        }
    }
}
