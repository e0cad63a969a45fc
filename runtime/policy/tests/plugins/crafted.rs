//! Components written by hand whose glue is hostile: what runs before a hook, around its host calls and after it.

use std::time::{Duration, Instant};

use forebay_policy::{Failure, LoadError, Outcome, Plugin, PluginSpec};

use super::support::{ENGINE, ask, spec};

/// Far longer than it takes on a busy machine.
const BOUND: Duration = Duration::from_secs(20);

/// Where a component does something of its own. All are instructions.
#[derive(Clone, Copy)]
struct Glue {
    /// When it is made.
    start: &'static str,
    /// When the host wants room for what it gives. Returns a pointer.
    realloc: &'static str,
    /// In the hook, which has `$handle`, `$path` and `$arguments`.
    hook: &'static str,
    /// When the host took what the hook returned.
    after: &'static str,
}

/// A component that does what it should.
const GOOD: Glue = Glue { start: "", realloc: "(i32.const 4096)", hook: ASKS, after: "" };
const ASKS: &str = "(call $path (local.get $handle) (i32.const 16))";
const LOOP: &str = "(loop $l (br $l)) (unreachable)";

fn text(glue: Glue) -> String {
    let Glue { start, realloc, hook, after } = glue;
    format!(
        r#"(component
  (import "forebay:policy/types@0.1.1" (instance $types
    (type $h (record (field "name" string) (field "value" string)))
    (export "header" (type $header (eq $h)))
    (type $a (record (field "status" u16) (field "problem" (option string)) (field "detail" string)
      (field "headers" (list $header))))
    (export "answer" (type $answer (eq $a)))
    (type $v (variant (case "continue") (case "answer" $answer)))
    (export "verdict" (type (eq $v)))))
  (alias export $types "verdict" (type $verdict))
  (import "forebay:policy/http@0.1.1" (instance $http
    (export "request" (type $request (sub resource)))
    (export "[method]request.path" (func (param "self" (borrow $request)) (result string)))))
  (import "wasi:cli/environment@0.2.6" (instance $environment
    (export "get-arguments" (func (result (list string))))))
  (alias export $http "request" (type $request))
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc}))
  (core instance $memory (instantiate $memory))
  (core func $path (canon lower (func $http "[method]request.path")
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core func $arguments (canon lower (func $environment "get-arguments")
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core func $drop (canon resource.drop $request))
  (core module $module
    (import "host" "path" (func $path (param i32 i32)))
    (import "host" "arguments" (func $arguments (param i32)))
    (import "host" "drop" (func $drop (param i32)))
    (func $start {start})
    (start $start)
    (func (export "hook") (param $handle i32) (result i32)
      {hook}
      (call $drop (local.get $handle))
      (i32.const 1024))
    (func (export "after") (param i32) {after}))
  (core instance $instance (instantiate $module (with "host" (instance
    (export "path" (func $path)) (export "arguments" (func $arguments)) (export "drop" (func $drop))))))
  (func (export "on-request") (param "request" (borrow $request)) (result $verdict)
    (canon lift (core func $instance "hook") (memory (core memory $memory "memory"))
      (post-return (core func $instance "after")))))"#
    )
}

fn spec_of(glue: Glue) -> PluginSpec {
    let mut spec = spec("hostile", "");
    spec.wasm = wat::parse_str(text(glue)).expect("a component");
    spec.limits.deadline = Duration::from_millis(50);
    spec
}

fn load(glue: Glue) -> Plugin {
    ENGINE.load(spec_of(glue)).expect("a plugin")
}

#[tokio::test]
async fn glue_that_does_what_it_should_is_no_failure() {
    assert!(matches!(ask(&load(GOOD)).await, Ok(Outcome::Continue(_))));
}

#[tokio::test]
async fn a_hostile_allocator_ends_the_call() {
    for (realloc, reason) in [
        (LOOP, "deadline"),
        ("(unreachable)", "trap"),
        ("(i32.const -64)", "bad-verdict or trap"),
        ("(i32.const 65530)", "bad-verdict or trap"),
        ("(loop $l (drop (memory.grow (i32.const 1))) (br $l)) (unreachable)", "memory"),
    ] {
        ends(&load(Glue { realloc, ..GOOD }), realloc, reason).await;
    }
}

#[tokio::test]
async fn a_hostile_clean_up_ends_the_call() {
    for (after, reason) in [
        (LOOP, "deadline"),
        ("(unreachable)", "trap"),
        // No host calls from there.
        ("(call $path (i32.const 1) (i32.const 16))", "trap or bad-verdict"),
    ] {
        ends(&load(Glue { after, ..GOOD }), after, reason).await;
    }
}

#[tokio::test]
async fn what_stands_in_for_wasi_is_held_to_the_limit_of_host_calls() {
    let hook = "(loop $l (call $arguments (i32.const 32)) (br $l)) (unreachable)";
    let mut spec = spec_of(Glue { hook, ..GOOD });
    spec.limits.deadline = Duration::from_secs(10);
    ends(&ENGINE.load(spec).expect("a plugin"), hook, "host-calls").await;
}

#[test]
fn a_start_function_that_computes_for_long_is_refused() {
    let mut spec = spec_of(Glue { start: LOOP, ..GOOD });
    // Nor does it get the time of `configure`.
    spec.limits.configure_deadline = Duration::from_secs(600);
    let started = Instant::now();
    let refused = ENGINE.load(spec);
    assert!(matches!(refused, Err(LoadError::SlowStart)), "{refused:?}");
    assert!(started.elapsed() < BOUND);

    let refused = ENGINE.load(spec_of(Glue { start: "(unreachable)", ..GOOD }));
    assert!(matches!(refused, Err(LoadError::Configure(Failure::Trap(_)))), "{refused:?}");
    let flood = "(loop $l (call $arguments (i32.const 32)) (br $l)) (unreachable)";
    let refused = ENGINE.load(spec_of(Glue { start: flood, ..GOOD }));
    assert!(matches!(refused, Err(LoadError::Configure(_) | LoadError::SlowStart)), "{refused:?}");
}

async fn ends(plugin: &Plugin, what: &str, reason: &str) {
    let started = Instant::now();
    let ended = ask(plugin).await;
    let why = ended.as_ref().err().map_or("continue", Failure::reason);
    assert!(reason.split(" or ").any(|reason| reason == why), "{what}: {ended:?}, expected {reason}");
    assert!(started.elapsed() < BOUND, "{what}");
}
