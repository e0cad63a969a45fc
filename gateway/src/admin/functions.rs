//! The functions and middleware that serve, as `/v1/status` lists them.

use serde::Serialize;

use crate::function::Loaded;

/// One function, as operators see it.
#[derive(Serialize)]
pub(super) struct FunctionStatus<'a> {
    name: &'a str,
    digest: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<&'a str>,
    imports: Vec<&'a str>,
    middleware: bool,
    /// It rests after repeated failures, or is being tried after it did.
    quarantined: bool,
}

impl<'a> FunctionStatus<'a> {
    pub(super) fn of(loaded: &'a Loaded) -> Self {
        let (function, verified) = (&loaded.function, loaded.verified.as_ref());
        Self {
            name: function.name(),
            digest: function.digest(),
            version: verified.map(|verified| verified.statement.version.to_string()),
            signer: verified.map(|verified| verified.signer.as_str()),
            imports: function.manifest().iter().map(String::as_str).collect(),
            middleware: function.is_middleware(),
            quarantined: function.is_quarantined(),
        }
    }
}
