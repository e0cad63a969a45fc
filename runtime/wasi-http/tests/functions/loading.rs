//! What is refused before it serves.

use std::collections::BTreeSet;

use forebay_wasi_http::{Engine, EngineLimits, Grant, LoadError};

use crate::support::{MIDDLEWARE, SERVICE, load, wasm};

#[test]
fn imports_must_be_inside_the_grants() {
    let refused = load("wasi-service", |spec| spec.grants = BTreeSet::from([Grant::Random])).unwrap_err();
    assert_eq!(refused.to_string(), "the component uses [wasi-http, clocks, random, stdio] but is granted [random]");
    assert!(load("wasi-middleware", |spec| spec.grants = BTreeSet::new()).is_ok());
}

#[test]
fn what_it_imports_tells_what_it_is() {
    assert!(MIDDLEWARE.is_middleware() && MIDDLEWARE.imports().is_empty());
    assert!(!SERVICE.is_middleware());
    assert_eq!(SERVICE.imports(), &BTreeSet::from(Grant::ALL));
}

#[test]
fn a_manifest_is_read_without_running_it() {
    let manifest = |name: &str| forebay_wasi_http::manifest(&wasm(name)).unwrap();
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
    assert_eq!(manifest("wasi-service"), names(&["clocks", "random", "stdio", "wasi-http"]));
    assert_eq!(manifest("wasi-middleware"), names(&["handler"]));
    assert_eq!(manifest("wasi-service").as_ref(), Some(SERVICE.manifest()));
    assert_eq!(manifest("jwt-access"), None);
    assert!(forebay_wasi_http::manifest(b"\0asm").is_err());
}

#[test]
fn what_is_no_handler_is_refused() {
    assert!(matches!(load("wasi-service", |spec| spec.wasm = b"\0asm".to_vec()), Err(LoadError::Compile(_))));
    assert!(matches!(load("wasi-service", |spec| spec.wasm = wasm("jwt-access")), Err(LoadError::UnknownImports(_))));
    let empty = b"(component)".to_vec();
    assert!(load("wasi-service", |spec| spec.wasm = empty).is_err());
    // The binary form of the same.
    let empty = b"\0asm\x0d\0\x01\0".to_vec();
    assert!(matches!(load("wasi-service", |spec| spec.wasm = empty), Err(LoadError::NoHandler)));
}

#[test]
fn limits_are_inside_the_engines() {
    let most = EngineLimits::default();
    let bad = |result| matches!(result, Err(LoadError::BadLimits(_)));
    assert!(bad(load("wasi-service", |spec| spec.limits.memory_bytes = most.memory_bytes + 1)));
    assert!(bad(load("wasi-service", |spec| spec.limits.instances = Some(0))));
    assert!(bad(load("wasi-service", |spec| spec.limits.instances = Some(most.instances + 1))));
    assert!(matches!(load("wasi-service", |spec| spec.limits.memory_bytes = 1), Err(LoadError::Start(_))));
    for instances in [0, 1_001] {
        assert!(Engine::new(&EngineLimits { instances, ..EngineLimits::default() }).is_err());
    }
}
