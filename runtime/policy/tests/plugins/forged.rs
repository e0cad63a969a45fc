//! Components written by hand, for what no compiler makes: a hook of any phase that plays with its table, its stack, its
//! handles and the bytes of its verdict.

use forebay_policy::{Phase, Plugin};

use super::support::{ENGINE, spec};

/// Everything that such a component does, in any hook: its name, and its instructions.
pub(crate) const ACTS: [(&str, &str); 11] = [
    ("grows its table", "(loop $l (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $l))"),
    ("grows its table at once", "(drop (table.grow $t (ref.null func) (i32.const -1))) (unreachable)"),
    ("recurs without a frame", "(drop (call $deep (i32.const 0)))"),
    ("keeps its handle", KEEPS),
    ("drops its handle twice", "(call $drop (local.get $handle))"),
    ("guesses a handle", "(call $drop (i32.const 77))"),
    ("detail is no UTF-8", "(call $answer (i32.const 2048) (i32.const 2) (i32.const 0))"),
    ("detail is not there", "(call $answer (i32.const -16) (i32.const 64) (i32.const 0))"),
    ("headers without end", "(call $answer (i32.const 2048) (i32.const 0) (i32.const 0x7fffffff))"),
    ("a verdict of no kind", "(i32.store8 (i32.const 1024) (i32.const 9))"),
    ("a verdict beyond memory", "(call $drop (local.get $handle)) (return (i32.const -64))"),
];

/// The hook returns without dropping what it was lent.
const KEEPS: &str = "(return (i32.const 1024))";

/// A plugin whose hook of this phase does this.
pub(crate) fn plugin(phase: Phase, act: &str) -> Plugin {
    let mut spec = spec("hostile", "");
    spec.wasm = wat::parse_str(text(phase, act)).expect("a component");
    spec.limits.deadline = std::time::Duration::from_secs(5);
    ENGINE.load(spec).unwrap_or_else(|error| panic!("{phase} {act}: {error}"))
}

/// What a hook is called with: resource, its interface, and the parameters of the core function.
fn subject(phase: Phase) -> (&'static str, &'static str, &'static str) {
    match phase {
        Phase::Request => ("request", "http", "(param $handle i32)"),
        Phase::Response => ("response", "http", "(param $handle i32) (param $some i32) (param $message i32)"),
        Phase::Trailers => ("trailers", "http", "(param $side i32) (param $handle i32)"),
        Phase::Forward | Phase::Return => ("message", "sealing", "(param $handle i32)"),
        _ => ("part", "body", "(param $handle i32)"),
    }
}

fn text(phase: Phase, act: &str) -> String {
    let (resource, interface, core) = subject(phase);
    let (extra, params) = match phase {
        Phase::Response => (
            r#"(import "forebay:policy/sealing@0.1.1" (instance $sealing (export "message" (type (sub resource)))))
               (alias export $sealing "message" (type $message))
               (core func $drop-message (canon resource.drop $message))"#,
            r#"(param "response" (borrow $subject)) (param "message" (option (borrow $message)))"#.to_owned(),
        ),
        Phase::Trailers => (
            r#"(import "forebay:policy/body@0.1.1" (instance $body
                 (type $plain (enum "request" "response"))
                 (export "side" (type (eq $plain)))))
               (alias export $body "side" (type $side))"#,
            r#"(param "side" $side) (param "trailers" (borrow $subject))"#.to_owned(),
        ),
        _ => ("", format!(r#"(param "{resource}" (borrow $subject))"#)),
    };
    // The message of a response is lent too.
    let (import, with, drop) = match phase {
        Phase::Response => (
            r#"(import "host" "drop-message" (func $drop-message (param i32)))"#,
            r#"(export "drop-message" (func $drop-message))"#,
            "(if (local.get $some) (then (call $drop-message (local.get $message))))",
        ),
        _ => ("", "", ""),
    };
    let hook = phase.hook();
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
  (import "forebay:policy/{interface}@0.1.1" (instance $interface (export "{resource}" (type (sub resource)))))
  (alias export $interface "{resource}" (type $subject))
  {extra}
  (core func $drop (canon resource.drop $subject))
  (core module $module
    (import "host" "drop" (func $drop (param i32)))
    {import}
    (memory (export "memory") 1)
    (table $t 1 funcref)
    (data (i32.const 2048) "\ff\fe")
    (func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))
    (func $answer (param $detail i32) (param $length i32) (param $headers i32)
      (i32.store8 (i32.const 1024) (i32.const 1))
      (i32.store16 (i32.const 1028) (i32.const 403))
      (i32.store (i32.const 1044) (local.get $detail))
      (i32.store (i32.const 1048) (local.get $length))
      (i32.store (i32.const 1052) (i32.const 2048))
      (i32.store (i32.const 1056) (local.get $headers)))
    (func (export "hook") {core} (result i32)
      {act}
      {drop}
      (call $drop (local.get $handle))
      (i32.const 1024)))
  (core instance $instance (instantiate $module (with "host" (instance
    (export "drop" (func $drop))
    {with}))))
  (func (export "{hook}") {params} (result $verdict)
    (canon lift (core func $instance "hook") (memory (core memory $instance "memory")))))"#
    )
}

/// A plugin that, at the second part of a body, asks about the handle of the first.
pub(crate) fn late(phase: Phase) -> Plugin {
    let text = text(
        phase,
        r"(if (global.get $kept)
            (then (call $drop (local.get $handle)) (drop (call $size (global.get $kept))) (return (i32.const 1024))))
          (global.set $kept (local.get $handle))",
    )
    .replace(
        r#"(export "part" (type (sub resource)))"#,
        r#"(export "part" (type $part (sub resource)))
           (export "[method]part.size" (func (param "self" (borrow $part)) (result u64)))"#,
    )
    .replace("(core module $module", "(core func $size (canon lower (func $interface \"[method]part.size\")))\n  (core module $module")
    .replace(
        "(memory (export",
        "(import \"host\" \"size\" (func $size (param i32) (result i64)))\n    (global $kept (mut i32) (i32.const 0))\n    (memory (export",
    )
    .replace(r#"(export "drop" (func $drop))"#, r#"(export "drop" (func $drop)) (export "size" (func $size))"#);
    let mut spec = spec("hostile", "");
    spec.wasm = wat::parse_str(text).expect("a component");
    ENGINE.load(spec).expect("a plugin")
}
