//! WASI with nothing behind it: an empty world, and the end of a call that wants more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use forebay_policy::{Capability, Context, Failure, Outcome, Plugin};

use super::support::{ENGINE, Request, of_acme, spec};

async fn ask(plugin: &Plugin, what: &'static str) -> Result<String, Failure> {
    let request = Request { model: None, headers: BTreeMap::from([("x-ask", what)]) };
    let context = Context { request: Arc::new(request), ..of_acme() };
    match plugin.on_request(&context).await? {
        Outcome::Answer(answer) => Ok(answer.detail),
        Outcome::Continue(_) => panic!("it always answers"),
    }
}

#[tokio::test]
async fn wasi_needs_no_grant_and_gives_nothing() {
    let mut spec = spec("wasi-rule", "");
    spec.grants = BTreeSet::from([Capability::Http]);
    let plugin = ENGINE.load(spec).unwrap();
    assert_eq!(*plugin.imports(), BTreeSet::from([Capability::Http]));
    let stubbed: Vec<&str> = plugin.stubbed().iter().filter_map(|name| name.split('@').next()).collect();
    assert_eq!(stubbed, ["wasi:cli/environment", "wasi:filesystem/preopens", "wasi:random/random"]);
    assert!(plugin.is_pure());

    assert_eq!(ask(&plugin, "everything").await, Ok("found 0 things".to_owned()));
    for (what, function) in [("bytes", "get-random-bytes"), ("number", "get-random-u64")] {
        let Err(Failure::Trap(reason)) = ask(&plugin, what).await else { panic!("{what}") };
        assert_eq!(reason, format!("nothing is behind `wasi:random/random@0.2.6#{function}`"));
    }
}
