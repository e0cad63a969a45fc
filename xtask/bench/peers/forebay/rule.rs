//! The benchmark's rule as plugins (`tests/guests/bench-rule`), and a plugin that never returns.

use std::fmt::Write;

use crate::arena::Arena;

/// The path of the route whose plugin never returns.
pub(crate) const LOOPING: &str = "/loop";
/// The deadline of every plugin here, which is the default.
pub(crate) const DEADLINE_MS: u64 = 5;

/// A cached inference route behind `plugins` plugins with the rule. Without a plugin it verifies the token all the
/// same, so what is left between the two is what plugins cost.
pub(super) fn chain(arena: &Arena, plugins: usize, memo: bool) -> String {
    let component = arena.workspace.assets_dir().join("plugins/bench-rule.wasm");
    let memo = if memo { "" } else { "memo_bytes = 0" };
    let mut text = String::new();
    for number in 0..plugins {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            r#"
[[plugins]]
name = "rule-{number}"
component = "{component}"
grants = ["http", "identity"]
deadline_ms = {DEADLINE_MS}
{memo}
config = {{ prefix = "/v2/" }}
"#,
            component = component.display(),
        );
    }
    let names: Vec<_> = (0..plugins).map(|number| format!("\"rule-{number}\"")).collect();
    let access = if plugins == 0 { "access = \"public\"" } else { "" };
    let policies = names.join(", ");
    text + &format!(
        r#"
[[routes]]
name = "infer"
path = "/v2/"
dialect = "oip"
policies = [{policies}]
{access}
cache = {{ ttl_s = 86400 }}
"#
    )
}

/// A route whose plugin never returns.
pub(super) fn looping(arena: &Arena, rests: bool) -> String {
    format!(
        r#"
[[plugins]]
name = "looping"
component = "{component}"
grants = ["http", "identity", "body", "sealing", "log", "clock", "random", "counters", "key-value", "metrics", "notes"]
deadline_ms = {DEADLINE_MS}
quarantine_after = {after}
config = {{ behaviour = "loop" }}
[[routes]]
name = "looping"
path = "{LOOPING}"
dialect = "http"
policies = ["looping"]
origin = "http://{origin}"
"#,
        component = arena.workspace.assets_dir().join("plugins/hostile.wasm").display(),
        after = if rests { 20 } else { 0 },
        origin = arena.origin,
    )
}
