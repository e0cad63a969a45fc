//! The benchmark's rule as a proxy-wasm filter, built with the public SDK and loaded by Envoy.
//!
//! The same decision as `tests/guests/bench-rule`: a path's prefix, three headers, two claims, one header set, one
//! removed. Claims arrive as headers that Envoy's `jwt_authn` made of the token (`claim_to_headers`), which costs a
//! filter less than reading them out of dynamic metadata.

#[cfg(target_family = "wasm")]
mod filter {
    use std::rc::Rc;

    use proxy_wasm::traits::{Context, HttpContext, RootContext};
    use proxy_wasm::types::{Action, ContextType, LogLevel};

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Warn);
        proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root { prefix: Rc::from("") }) });
    }}

    struct Root {
        prefix: Rc<str>,
    }

    impl Context for Root {}

    impl RootContext for Root {
        fn on_configure(&mut self, _: usize) -> bool {
            let prefix = self.get_plugin_configuration().and_then(|bytes| String::from_utf8(bytes).ok());
            self.prefix = Rc::from(prefix.unwrap_or_default());
            !self.prefix.is_empty()
        }

        fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
            Some(Box::new(Rule { prefix: Rc::clone(&self.prefix) }))
        }

        fn get_type(&self) -> Option<ContextType> {
            Some(ContextType::HttpContext)
        }
    }

    struct Rule {
        prefix: Rc<str>,
    }

    impl Rule {
        /// What the header to set says, or none when the request is refused.
        fn decide(&self) -> Option<String> {
            let header = |name| self.get_http_request_header(name);
            let path_fits = header(":path").is_some_and(|path| path.starts_with(&*self.prefix));
            let agent_fits = header("user-agent").is_some_and(|agent| !agent.contains("bot"));
            let version = header("x-client-version").filter(|version| version.starts_with("2."))?;
            let region_fits = header("x-client-region").is_some_and(|region| region == "eu" || region == "us");
            let scope_fits = header("x-claim-scope")?.split(' ').any(|scope| scope == "infer");
            let tenant = header("x-claim-tenant")?;
            (path_fits && agent_fits && region_fits && scope_fits).then(|| format!("{tenant}/{version}"))
        }
    }

    impl Context for Rule {}

    impl HttpContext for Rule {
        fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
            let Some(client) = self.decide() else {
                self.send_http_response(403, Vec::new(), Some(b"refused"));
                return Action::Pause;
            };
            self.set_http_request_header("x-policy-client", Some(&client));
            self.set_http_request_header("x-debug", None);
            Action::Continue
        }
    }
}
