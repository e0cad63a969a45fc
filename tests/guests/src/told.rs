//! What a configuration tells the plugin to do, and where.

/// Every act by name. `ok` does nothing wrong.
const ACTS: [&str; 42] = [
    "ok",
    "loop",
    "trap",
    "memory",
    "pages",
    "recursion",
    "wide-recursion",
    "giant-answer",
    "long-answer",
    "many-headers",
    "heavy-headers",
    "bad-status",
    "bad-header",
    "own-header",
    "bad-problem",
    "control-detail",
    "answer",
    "edit",
    "bad-edit",
    "edit-elsewhere",
    "edit-then-trap",
    "edit-flood",
    "heavy-edits",
    "host-call-flood",
    "host-byte-flood",
    "giant-host-call",
    "handle-flood",
    "log-flood",
    "remember",
    "giant-part",
    "hold-for-ever",
    "loop-at-third",
    "trap-at-third",
    "read-flood",
    "count",
    "ask",
    "seal-then-trap",
    "loop-in-configure",
    "trap-in-configure",
    "memory-in-configure",
    "recursion-in-configure",
    "call-in-configure",
];

/// The hooks.
const HOOKS: [&str; 9] = [
    "on-request-body",
    "on-request-chunk",
    "on-request",
    "on-forward",
    "on-return",
    "on-response-body",
    "on-response-chunk",
    "on-response",
    "on-trailers",
];

/// Stands for every hook.
const EVERYWHERE: &str = "everywhere";

/// An act and its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) act: String,
    hook: &'static str,
}

impl Told {
    /// Reads a configuration: bare, or as a gateway has it, `{"behaviour":"..."}`.
    pub(crate) fn read(config: &str) -> Result<Self, String> {
        let inner = config.strip_prefix("{\"behaviour\":\"").and_then(|rest| rest.strip_suffix("\"}"));
        let text = inner.unwrap_or(config);
        let place = |hook: &&'static str| Some((text.strip_suffix(hook)?.strip_suffix('-')?, *hook));
        let told = HOOKS.iter().chain(&[EVERYWHERE]).find_map(place);
        let (act, hook) = match (told, text) {
            (Some(told), _) => told,
            (None, "seal-then-trap") => (text, "on-forward"),
            (None, _) => (text, "on-request"),
        };
        if !ACTS.contains(&act) {
            return Err(format!("no such behaviour: {text}"));
        }
        Ok(Self { act: act.to_owned(), hook })
    }

    /// Whether the act is to be done in this hook.
    pub(crate) fn is_here(&self, hook: &str) -> bool {
        self.hook == hook || self.hook == EVERYWHERE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_names_an_act_and_its_hook() {
        let told = |act: &str, hook| Ok(Told { act: act.to_owned(), hook });
        assert_eq!(Told::read("loop"), told("loop", "on-request"));
        assert_eq!(Told::read("loop-on-request"), told("loop", "on-request"));
        assert_eq!(Told::read("loop-on-request-body"), told("loop", "on-request-body"));
        assert_eq!(Told::read("{\"behaviour\":\"trap-on-response\"}"), told("trap", "on-response"));
        assert_eq!(Told::read("memory-everywhere"), told("memory", "everywhere"));
        assert_eq!(Told::read("seal-then-trap"), told("seal-then-trap", "on-forward"));
        assert_eq!(Told::read("loop-in-configure"), told("loop-in-configure", "on-request"));
        let here = |config| Told::read(config).map(|told| (told.is_here("on-request"), told.is_here("on-return")));
        assert_eq!((here("loop"), here("loop-everywhere")), (Ok((true, false)), Ok((true, true))));
        assert!(Told::read("nonsense").is_err() && Told::read("on-request").is_err());
    }
}
