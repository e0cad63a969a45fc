#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use super::{Pool, Served, Work};
use crate::{InferenceError, cancel::Cancel};

const LONG: Duration = Duration::from_secs(60);

fn soon() -> Instant {
    Instant::now() + LONG
}

/// A worker that reports each request it takes up, and goes on when told to or when its run is cancelled.
struct Gate {
    pool: Pool<&'static str, &'static str>,
    taken: mpsc::Receiver<&'static str>,
    go: mpsc::SyncSender<()>,
}

fn gate(capacity: usize) -> Gate {
    let (report, taken) = mpsc::sync_channel(16);
    let (go, gone) = mpsc::sync_channel(16);
    let wake = go.clone();
    let work: Work<&str, &str> = Box::new(move |request, cancel: &Cancel| {
        report.send(request).unwrap();
        let wake = wake.clone();
        cancel.guard(move || wake.send(()).unwrap(), || gone.recv().unwrap());
        if request == "panic" {
            panic!("as asked");
        }
        Ok(request)
    });
    Gate { pool: Pool::start("gate", capacity, vec![work]).unwrap(), taken, go }
}

#[tokio::test]
async fn an_answer_comes_back() {
    let gate = gate(1);
    gate.go.send(()).unwrap();
    let Served { answer, .. } = gate.pool.submit("hello", soon()).await.unwrap();
    assert_eq!(answer, "hello");
    gate.pool.close();
}

#[tokio::test]
async fn full_is_answered_at_once() {
    let gate = gate(1);
    let first = gate.pool.submit("first", soon());
    let rest = async {
        assert_eq!(gate.taken.recv().unwrap(), "first");
        let mut second = Box::pin(gate.pool.submit("second", soon()));
        assert!(still_waits(second.as_mut()).await);
        let third = gate.pool.submit("third", soon()).await;
        assert!(matches!(third, Err(InferenceError::QueueFull { capacity: 1, .. })));
        gate.go.send(()).unwrap();
        gate.go.send(()).unwrap();
        second.await
    };
    let (first, second) = tokio::join!(first, rest);
    assert_eq!(first.unwrap().answer, "first");
    assert_eq!(second.unwrap().answer, "second");
}

#[tokio::test]
async fn a_deadline_in_the_queue_is_answered_while_the_worker_is_busy() {
    let gate = gate(4);
    let busy = gate.pool.submit("busy", soon());
    let late = async {
        assert_eq!(gate.taken.recv().unwrap(), "busy");
        let late = gate.pool.submit("late", Instant::now() + Duration::from_millis(20)).await;
        // The worker still holds "busy": this answer did not wait for it.
        assert!(matches!(late, Err(InferenceError::DeadlineExceeded { started: false })));
        assert_eq!(gate.pool.depth(), 0, "its place in the queue is free again");
        gate.go.send(()).unwrap();
    };
    let (busy, ()) = tokio::join!(busy, late);
    assert_eq!(busy.unwrap().answer, "busy");
    assert!(gate.taken.try_recv().is_err(), "the late one was never run");
}

#[tokio::test]
async fn a_deadline_during_the_run_stops_it() {
    let gate = gate(1);
    let slow = gate.pool.submit("slow", Instant::now() + Duration::from_millis(20)).await;
    // "go" was never sent: the worker can only have ended because the run was cancelled.
    assert!(matches!(slow, Err(InferenceError::DeadlineExceeded { .. })));
    gate.pool.close();
}

#[tokio::test]
async fn a_caller_that_leaves_takes_its_request_along() {
    let gate = gate(4);
    let busy = gate.pool.submit("busy", soon());
    let rest = async {
        assert_eq!(gate.taken.recv().unwrap(), "busy");
        let mut left = Box::pin(gate.pool.submit("left", soon()));
        assert!(still_waits(left.as_mut()).await);
        assert_eq!(gate.pool.depth(), 1);
        drop(left);
        assert_eq!(gate.pool.depth(), 0);
        gate.go.send(()).unwrap();
    };
    let (busy, ()) = tokio::join!(busy, rest);
    busy.unwrap();
    assert!(gate.taken.try_recv().is_err());
}

/// Polls once; true if the future is still waiting.
async fn still_waits<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

#[tokio::test]
async fn a_panic_is_one_failed_answer_and_no_more() {
    let gate = gate(1);
    gate.go.send(()).unwrap();
    let error = gate.pool.submit("panic", soon()).await.err().expect("it panicked");
    assert!(matches!(error, InferenceError::Internal { .. }));
    gate.go.send(()).unwrap();
    assert_eq!(gate.pool.submit("next", soon()).await.unwrap().answer, "next");
}

#[tokio::test]
async fn a_passed_deadline_is_refused_without_a_run() {
    let gate = gate(1);
    let refused = gate.pool.submit("late", Instant::now()).await;
    assert!(matches!(refused, Err(InferenceError::DeadlineExceeded { started: false })));
    assert!(gate.taken.try_recv().is_err());
}

#[tokio::test]
async fn closing_refuses_newcomers() {
    let gate = gate(1);
    gate.pool.close();
    assert!(matches!(gate.pool.submit("new", soon()).await, Err(InferenceError::Closed)));
}
