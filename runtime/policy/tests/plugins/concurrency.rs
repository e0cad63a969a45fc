//! Many calls at once, on several threads, and a pool that is full.

use std::time::Duration;

use forebay_policy::{Engine, EngineLimits, Failure, Outcome};

use super::support::{access, ask, hostile, spec};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_and_hostile_calls_mix_on_two_threads() {
    let plugins = [access(), hostile("trap"), hostile("answer"), hostile("host-call-flood"), hostile("remember")];
    let mut calls = tokio::task::JoinSet::new();
    for worker in 0..20_usize {
        let plugins = plugins.clone();
        calls.spawn(async move {
            for turn in 0..25_usize {
                let which = (worker + turn) % plugins.len();
                let outcome = ask(&plugins[which]).await;
                let as_expected = match which {
                    0 | 4 => matches!(outcome, Ok(Outcome::Continue(_))),
                    1 => matches!(outcome, Err(Failure::Trap(_))),
                    2 => matches!(&outcome, Ok(Outcome::Answer(answer)) if answer.status == 403),
                    _ => outcome == Err(Failure::HostCalls),
                };
                assert!(as_expected, "{which}: {outcome:?}");
            }
        });
    }
    while let Some(ended) = calls.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn a_full_pool_is_an_answer() {
    let engine = Engine::new(&EngineLimits { instances: 2, ..EngineLimits::default() }).unwrap();
    let mut spec = spec("hostile", "loop");
    (spec.limits.deadline, spec.limits.instances) = (Duration::from_millis(50), Some(2));
    let (plugin, other) = (engine.load(spec.clone()).unwrap(), engine.load(spec).unwrap());
    let (first, second, third) = tokio::join!(ask(&plugin), ask(&plugin), ask(&other));
    assert_eq!((first, second), (Err(Failure::Deadline), Err(Failure::Deadline)));
    let full = third.unwrap_err();
    assert_eq!(full, Failure::PoolExhausted);
    assert!(!full.blames_plugin());
    assert_eq!(ask(&other).await, Err(Failure::Deadline));
}

#[tokio::test]
async fn a_plugin_that_has_its_share_leaves_the_rest_to_others() {
    let engine = Engine::new(&EngineLimits { instances: 8, ..EngineLimits::default() }).unwrap();
    let mut looping = spec("hostile", "loop");
    looping.limits.deadline = Duration::from_millis(50);
    let looping = engine.load(looping).unwrap();
    let mut good = spec("hostile", "ok");
    good.limits.deadline = Duration::from_secs(5);
    let good = engine.load(good).unwrap();
    let (first, second, third, other) = tokio::join!(ask(&looping), ask(&looping), ask(&looping), ask(&good));
    assert_eq!((first, second), (Err(Failure::Deadline), Err(Failure::Deadline)));
    assert_eq!(third, Err(Failure::PoolExhausted));
    assert!(matches!(other, Ok(Outcome::Continue(_))));
    assert_eq!(ask(&looping).await, Err(Failure::Deadline));
}

#[tokio::test]
async fn plugins_outlive_the_engines_handle() {
    let engine = Engine::new(&EngineLimits { instances: 2, ..EngineLimits::default() }).unwrap();
    let plugin = engine.load(spec("hostile", "loop")).unwrap();
    drop(engine);
    // The clock still runs, or this would never end.
    assert_eq!(ask(&plugin).await, Err(Failure::Deadline));
}
