//! Who may use which route and model, by verified token claims.
//!
//! This file is glue: it asks the host for what the rule needs and puts the rule's decision into a verdict.
//! The decision itself is in [`rule`], without WebAssembly, and tested there. The token never comes here: the
//! host verified it, or says why it could not.

pub mod rule;

#[cfg(target_family = "wasm")]
mod component {
    use std::sync::OnceLock;

    use crate::rule::{Absence, Asked, Config, Decision, Identity, Refusal, decide};

    #[allow(missing_docs, unreachable_pub, unsafe_code, unused_qualifications, clippy::all, clippy::indexing_slicing)]
    mod bindings {
        wit_bindgen::generate!({
            path: "../../wit",
            inline: r#"
                package forebay:jwt-access;

                world plugin {
                    import forebay:policy/http@0.1.0;
                    import forebay:policy/identity@0.1.0;
                    use forebay:policy/types@0.1.0.{verdict};
                    use forebay:policy/http@0.1.0.{request};
                    export configure: func(config: string) -> result<_, string>;
                    export on-request: func(request: borrow<request>) -> verdict;
                }
            "#,
            world: "forebay:jwt-access/plugin",
            generate_all,
        });
        pub(super) struct Plugin;
        export!(Plugin);
    }

    use bindings::forebay::policy::types::{Answer, Header, Verdict};
    use bindings::forebay::policy::{http::Request, identity};

    /// Set by `configure`, which the host runs once; every call starts from the memory it leaves.
    static CONFIG: OnceLock<Config> = OnceLock::new();

    impl bindings::Guest for bindings::Plugin {
        fn configure(config: String) -> Result<(), String> {
            let config = Config::parse(&config)?;
            CONFIG.set(config).map_err(|_| "configured twice".to_owned())
        }

        fn on_request(request: &Request) -> Verdict {
            let nothing = Config::default();
            let config = CONFIG.get().unwrap_or(&nothing);
            let asked = Asked { route: request.route(), model: request.model() };
            match decide(config, &asked, &Host) {
                Decision::Allow => Verdict::Continue,
                Decision::Refuse(refusal) => Verdict::Answer(answer(refusal)),
            }
        }
    }

    fn answer(refusal: Refusal) -> Answer {
        let challenge = refusal.challenge.map(|value| Header { name: "www-authenticate".to_owned(), value });
        Answer {
            status: refusal.status,
            problem: Some(refusal.problem.to_owned()),
            detail: refusal.detail.to_owned(),
            headers: challenge.into_iter().collect(),
        }
    }

    struct Host;

    impl Identity for Host {
        fn verify(&self) -> Result<(), Absence> {
            identity::verify().map_err(|absence| match absence {
                identity::Absence::Missing => Absence::Missing,
                identity::Absence::Expired => Absence::Expired,
                _ => Absence::Invalid,
            })
        }

        fn claim(&self, pointer: &str) -> Option<String> {
            identity::claim(pointer)
        }

        fn tenant(&self) -> Option<String> {
            identity::tenant()
        }
    }
}
