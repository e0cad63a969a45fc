//! What a node refuses before it serves.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::{ProptestConfig, any, proptest};
use proptest::sample::Index;

use forebay_policy::{Capability, Engine, EngineLimits, Failure, LoadError, Phase, PolicyError};

use super::support::{ENGINE, access, hostile, spec};

#[test]
fn imports_are_the_manifest() {
    let access = access();
    assert_eq!(*access.imports(), BTreeSet::from([Capability::Http, Capability::Identity]));
    assert_eq!(access.phases().iter().collect::<Vec<_>>(), [Phase::Request]);

    let sealing = super::sealing::plugin();
    // It has the response and the message in the signatures of its hooks, and uses the message alone.
    assert_eq!(*sealing.imports(), BTreeSet::from([Capability::Sealing]));
    let phases: Vec<Phase> = sealing.phases().iter().collect();
    assert_eq!(phases, [Phase::Forward, Phase::Return, Phase::Response]);
}

#[test]
fn more_imports_than_grants_are_refused_with_both_lists() {
    let mut spec = spec("jwt-access", r#"{"rules":[{"scopes":[]}]}"#);
    spec.grants = BTreeSet::from([Capability::Http, Capability::Log]);
    let error = ENGINE.load(spec).unwrap_err();
    assert_eq!(error.to_string(), "the component uses [http, identity] but is granted [http, log]");
}

#[test]
fn a_plugins_own_words_say_what_is_wrong_with_its_configuration() {
    let error = ENGINE.load(spec("jwt-access", r#"{"rules":[{"scope":["infer"]}]}"#)).unwrap_err();
    let LoadError::Refused(words) = error else { panic!("{error}") };
    assert!(words.contains("rules[0].scope"), "{words}");
}

#[test]
fn those_words_are_cut_and_hold_no_token() {
    let jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
    let error = ENGINE.load(spec("hostile", &format!("{jwt}\n{}", "x".repeat(5_000)))).unwrap_err();
    let LoadError::Refused(words) = error else { panic!("{error}") };
    assert!(words.len() <= 1_024 && !words.contains("eyJ") && !words.contains('\n'), "{words}");
}

#[test]
fn configure_is_held_to_its_limits() {
    let mut looping = spec("hostile", "loop-in-configure");
    looping.limits.configure_deadline = Duration::from_millis(50);
    assert!(matches!(ENGINE.load(looping), Err(LoadError::Configure(Failure::Deadline))));
    for behaviour in ["trap-in-configure", "call-in-configure"] {
        let result = ENGINE.load(spec("hostile", behaviour));
        assert!(matches!(result, Err(LoadError::Configure(Failure::Trap(_)))), "{behaviour}: {result:?}");
    }
    assert!(matches!(ENGINE.load(spec("hostile", "nonsense")), Err(LoadError::Refused(_))));
}

#[test]
fn what_is_not_a_component_is_refused() {
    let good = spec("hostile", "ok");
    let cut = good.wasm[..good.wasm.len() / 2].to_vec();
    for wasm in [Vec::new(), b"\0asm\x01\0\0\0".to_vec(), b"not wasm".to_vec(), cut] {
        let mut spec = good.clone();
        spec.wasm = wasm;
        let error = ENGINE.load(spec).unwrap_err();
        assert!(matches!(error, LoadError::Compile(_)), "{error}");
    }
}

#[test]
fn a_component_without_hooks_or_with_foreign_imports_is_refused() {
    // The smallest component: the preamble alone.
    let empty = b"\0asm\x0d\0\x01\0".to_vec();
    let mut spec = spec("hostile", "");
    spec.wasm = empty.clone();
    assert!(matches!(ENGINE.load(spec.clone()), Err(LoadError::NoHooks)));
    spec.config = "x".to_owned();
    assert!(matches!(ENGINE.load(spec.clone()), Err(LoadError::NotConfigurable)));

    // With one import more: the function type `() -> ()` (section 7) and an import of it (section 10).
    let name = b"clock";
    let mut foreign = empty;
    foreign.extend([7, 5, 1, 0x40, 0, 1, 0]);
    let length = u8::try_from(name.len()).unwrap();
    foreign.extend([10, 5 + length, 1, 0, length]);
    foreign.extend(name);
    foreign.extend([1, 0]);
    spec.wasm = foreign;
    let error = ENGINE.load(spec).unwrap_err();
    assert!(matches!(&error, LoadError::UnknownImports(names) if names == &["clock"]), "{error}");
}

#[test]
fn a_digest_is_of_component_and_configuration() {
    assert_eq!(hostile("ok").digest(), hostile("ok").digest());
    assert_ne!(hostile("ok").digest(), hostile("answer").digest());
    assert_eq!(hostile("ok").digest().len(), 64);
}

#[test]
fn limits_beyond_the_engine_or_the_machine_are_refused() {
    let mut greedy = spec("hostile", "ok");
    greedy.limits.memory_bytes = usize::MAX;
    assert!(matches!(ENGINE.load(greedy), Err(LoadError::BadLimits(_))));
    for instances in [0, 65] {
        let mut spec = spec("hostile", "ok");
        spec.limits.instances = Some(instances);
        assert!(matches!(ENGINE.load(spec), Err(LoadError::BadLimits(_))), "{instances}");
    }

    let many = EngineLimits { instances: u32::MAX, ..EngineLimits::default() };
    assert!(matches!(Engine::new(&many), Err(PolicyError::TooManyInstances { .. })));
    let none = EngineLimits { instances: 0, ..EngineLimits::default() };
    assert!(matches!(Engine::new(&none), Err(PolicyError::BadLimits(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_damaged_component_is_refused_or_loads_but_never_breaks_the_node(at in any::<Index>(), byte in any::<u8>()) {
        let mut damaged = spec("hostile", "ok");
        let at = at.index(damaged.wasm.len());
        damaged.wasm[at] = byte;
        damaged.limits.configure_deadline = Duration::from_millis(50);
        drop(ENGINE.load(damaged));
    }
}
