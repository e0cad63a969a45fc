//! The benchmark's rule as a proxy-wasm filter (`tests/guests-bench`), run by V8.
//!
//! Every choice here is in Envoy's favour: its filters share one virtual machine per thread between all requests, the
//! four of a chain share it too, and claims come as headers, which a filter reads faster than dynamic metadata.

use serde_json::{Value, json};

use super::HTTP;
use crate::arena::Arena;

/// Has `jwt_authn` hand the two claims on as headers.
pub(super) fn with_claims(mut jwt: Value) -> Value {
    let headers =
        ["scope", "tenant"].map(|claim| json!({"header_name": format!("x-claim-{claim}"), "claim_name": claim}));
    if let Some(provider) = jwt.pointer_mut("/typed_config/providers/bench").and_then(Value::as_object_mut) {
        provider.insert("claim_to_headers".into(), headers.to_vec().into());
    }
    jwt
}

/// One filter; requests whose path does not begin with `prefix` are refused.
pub(super) fn filter(arena: &Arena, number: usize, prefix: &str) -> Value {
    json!({"name": format!("rule-{number}"), "typed_config": {
        "@type": format!("{HTTP}.wasm.v3.Wasm"),
        "config": {
            "name": format!("rule-{number}"),
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": prefix},
            "vm_config": {
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": arena.workspace.peers_dir().join("bench-filter.wasm")}},
            },
        },
    }})
}
