//! Seals fields that leave the PoP and opens them where they come back.
//!
//! This file is glue between the host's messages and the decision in [`rule`]. The host does the
//! cryptography: neither the content of a field nor a key ever comes here.

pub mod rule;

#[cfg(target_family = "wasm")]
mod component {
    use std::sync::OnceLock;

    use crate::rule::{Config, Field, Refusal, SealError, Sealable, forward, give_back, respond};

    #[allow(missing_docs, unreachable_pub, unsafe_code, unused_qualifications, clippy::all, clippy::indexing_slicing)]
    mod bindings {
        wit_bindgen::generate!({
            path: "../../wit",
            inline: r#"
                package forebay:field-seal;

                world plugin {
                    import forebay:policy/sealing@0.1.0;
                    use forebay:policy/types@0.1.0.{verdict};
                    use forebay:policy/http@0.1.0.{response};
                    use forebay:policy/sealing@0.1.0.{message};
                    export configure: func(config: string) -> result<_, string>;
                    export on-forward: func(message: borrow<message>) -> verdict;
                    export on-return: func(message: borrow<message>) -> verdict;
                    export on-response: func(response: borrow<response>, message: option<borrow<message>>) -> verdict;
                }
            "#,
            world: "forebay:field-seal/plugin",
            generate_all,
        });
        pub(super) struct Plugin;
        export!(Plugin);
    }

    use bindings::forebay::policy::http::Response;
    use bindings::forebay::policy::sealing::{self, Message};
    use bindings::forebay::policy::types::{Answer, Verdict};

    /// Set by `configure`, which the host runs once; every call starts from the memory it leaves.
    static CONFIG: OnceLock<Config> = OnceLock::new();

    impl bindings::Guest for bindings::Plugin {
        fn configure(config: String) -> Result<(), String> {
            let config = Config::parse(&config)?;
            CONFIG.set(config).map_err(|_| "configured twice".to_owned())
        }

        fn on_forward(message: &Message) -> Verdict {
            verdict(with_config(|config| forward(config, message)))
        }

        fn on_return(message: &Message) -> Verdict {
            verdict(with_config(|config| give_back(config, message)))
        }

        fn on_response(_: &Response, message: Option<&Message>) -> Verdict {
            verdict(with_config(|config| message.map_or(Ok(()), |message| respond(config, message))))
        }
    }

    fn with_config(run: impl FnOnce(&Config) -> Result<(), Refusal>) -> Result<(), Refusal> {
        match CONFIG.get() {
            Some(config) => run(config),
            None => Err(Refusal { status: 500, problem: "internal", detail: "not configured".to_owned() }),
        }
    }

    fn verdict(result: Result<(), Refusal>) -> Verdict {
        match result {
            Ok(()) => Verdict::Continue,
            Err(refusal) => Verdict::Answer(Answer {
                status: refusal.status,
                problem: Some(refusal.problem.to_owned()),
                detail: refusal.detail,
                headers: Vec::new(),
            }),
        }
    }

    impl Sealable for Message {
        fn model(&self) -> Option<String> {
            Message::model(self)
        }

        fn has(&self, field: &Field<'_>) -> bool {
            Message::has(self, &wit(field))
        }

        fn seal(&self, field: &Field<'_>, key: &str) -> Result<(), SealError> {
            Message::seal(self, &wit(field), key).map_err(from_wit)
        }

        fn open(&self, field: &Field<'_>, key: &str) -> Result<(), SealError> {
            Message::open(self, &wit(field), key).map_err(from_wit)
        }

        fn expect_sealed(&self, output: &str, key: &str) -> Result<(), SealError> {
            Message::expect_sealed(self, output, key).map_err(from_wit)
        }
    }

    fn wit(field: &Field<'_>) -> sealing::Field {
        match field {
            Field::Input(name) => sealing::Field::Input((*name).to_owned()),
            Field::Output(name) => sealing::Field::Output((*name).to_owned()),
            Field::Json(pointer) => sealing::Field::Json((*pointer).to_owned()),
        }
    }

    fn from_wit(error: sealing::SealError) -> SealError {
        match error {
            sealing::SealError::NoField => SealError::NoField,
            sealing::SealError::NoKey => SealError::NoKey,
            sealing::SealError::NotSealed => SealError::NotSealed,
            sealing::SealError::AlreadySealed => SealError::AlreadySealed,
            sealing::SealError::Rejected => SealError::Rejected,
            sealing::SealError::Unsupported => SealError::Unsupported,
        }
    }
}
