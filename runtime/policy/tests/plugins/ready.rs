//! Instances that were made ahead of their calls.

use std::future::Future as _;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use forebay_policy::{Engine, EngineLimits, Failure, LoadError, Outcome, Plugin, Side};

use super::support::{ask, of_acme, spec};

/// Far longer than it takes on a busy machine.
const BOUND: Duration = Duration::from_secs(30);

fn engine(instances: u32) -> Engine {
    Engine::new(&EngineLimits { instances, ..EngineLimits::default() }).unwrap()
}

/// The hostile plugin with a deadline that a busy machine does not reach.
fn load(engine: &Engine, behaviour: &str) -> Plugin {
    let mut spec = spec("hostile", behaviour);
    spec.limits.deadline = Duration::from_secs(5);
    engine.load(spec).unwrap()
}

/// Calls it until instances wait for their call.
async fn call_until_some_wait(plugin: &Plugin) {
    let started = Instant::now();
    while plugin.waiting() == 0 {
        assert!(matches!(ask(plugin).await, Ok(Outcome::Continue(_))));
        assert!(started.elapsed() < BOUND, "nothing was made ahead");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn only_a_plugin_that_is_called_holds_instances() {
    let engine = engine(64);
    let (called, other) = (load(&engine, "ok"), load(&engine, "ok"));
    assert_eq!(called.waiting(), 0);
    call_until_some_wait(&called).await;
    assert_eq!(other.waiting(), 0);
}

#[tokio::test]
async fn no_instance_is_used_twice() {
    let plugin = load(&engine(64), "remember");
    call_until_some_wait(&plugin).await;
    // Answers 403 when its memory has seen another call.
    for _ in 0..1_000 {
        assert!(matches!(ask(&plugin).await, Ok(Outcome::Continue(_))));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn nothing_is_made_ahead_of_a_plugin_that_wants_none() {
    let mut spec = spec("hostile", "ok");
    spec.limits.ready = 0;
    let plugin = engine(64).load(spec).unwrap();
    for _ in 0..1_000 {
        assert!(matches!(ask(&plugin).await, Ok(Outcome::Continue(_))));
    }
    assert_eq!(plugin.waiting(), 0);
}

#[tokio::test]
async fn time_begins_with_the_call() {
    let mut spec = spec("hostile", "ok");
    spec.limits.deadline = Duration::from_millis(20);
    let plugin = engine(64).load(spec).unwrap();
    call_until_some_wait(&plugin).await;
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(100) {
        std::thread::yield_now();
    }
    assert!(matches!(ask(&plugin).await, Ok(Outcome::Continue(_))));
}

#[tokio::test]
async fn what_waits_makes_room_for_calls() {
    let engine = engine(8);
    let waiting = load(&engine, "ok");
    let mut looping = spec("hostile", "loop");
    (looping.limits.deadline, looping.limits.instances) = (Duration::from_millis(50), Some(8));
    let looping = engine.load(looping).unwrap();
    for _ in 0..5 {
        call_until_some_wait(&waiting).await;
        // As many calls as the pool has places.
        let calls = [(); 8].map(|()| ask(&looping));
        let [a, b, c, d, e, f, g, h] = calls;
        let (a, b, c, d, e, f, g, h) = tokio::join!(a, b, c, d, e, f, g, h);
        for ended in [a, b, c, d, e, f, g, h] {
            assert_eq!(ended, Err(Failure::Deadline));
        }
    }
}

#[tokio::test]
async fn what_waits_makes_room_for_a_plugin_that_is_loaded() {
    let engine = engine(4);
    let waiting = load(&engine, "ok");
    let mut streaming = spec("streams", "q:a>b");
    streaming.limits.instances = Some(4);
    let streaming = [engine.load(streaming.clone()).unwrap(), engine.load(streaming).unwrap()];
    for _ in 0..3 {
        call_until_some_wait(&waiting).await;
        let mut streams = Vec::new();
        for plugin in [0, 0, 1] {
            streams.push(streaming[plugin].stream(Side::Request, of_acme()).await.unwrap());
        }
        // Every place is taken: by three streams, and by what waits.
        call_until_some_wait(&waiting).await;
        let loaded = load(&engine, "ok");
        assert!(matches!(ask(&loaded).await, Ok(Outcome::Continue(_))));
        streams.push(streaming[1].stream(Side::Request, of_acme()).await.unwrap());
        let full = engine.load(spec("hostile", "ok"));
        assert!(matches!(full, Err(LoadError::Configure(Failure::PoolExhausted))), "{full:?}");
    }
}

#[test]
fn no_call_is_refused_while_there_are_fewer_than_places() {
    const PLACES: u32 = 8;
    let engine = engine(PLACES);
    let plugins = ["ok", "ok", "remember"].map(|behaviour| {
        let mut spec = spec("hostile", behaviour);
        (spec.limits.deadline, spec.limits.instances) = (Duration::from_secs(5), Some(PLACES));
        engine.load(spec).unwrap()
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let callers: Vec<_> = (1..PLACES as usize)
        .map(|caller| {
            let plugins = plugins.clone();
            runtime.spawn(async move {
                for call in 0..500 {
                    let ended = ask(&plugins[(caller + call / 10) % plugins.len()]).await;
                    assert!(matches!(ended, Ok(Outcome::Continue(_))), "call {call}: {ended:?}");
                }
            })
        })
        .collect();
    for ended in runtime.block_on(futures_util::future::join_all(callers)) {
        ended.unwrap();
    }
}

#[test]
fn a_runtime_that_ends_before_it_filled_a_stock_is_no_loss() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let plugin = load(&engine(64), "ok");
    {
        // It has the task, and never runs it.
        let idle = runtime();
        let _entered = idle.enter();
        let mut asked = std::pin::pin!(ask(&plugin));
        let mut context = Context::from_waker(Waker::noop());
        while asked.as_mut().poll(&mut context).is_pending() {}
    }
    assert_eq!(plugin.waiting(), 0);
    runtime().block_on(call_until_some_wait(&plugin));
}

#[tokio::test]
async fn stocks_go_with_their_engine() {
    let engine = engine(64);
    let plugin = load(&engine, "ok");
    call_until_some_wait(&plugin).await;
    drop((plugin, engine));
    // Another one works all the same.
    call_until_some_wait(&load(&self::engine(64), "ok")).await;
}
