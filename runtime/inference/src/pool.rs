//! The threads around the queue: one worker per session, and the callers that wait for them.
//!
//! A caller waits for its answer and for its deadline at the same time, so a deadline is answered when it passes and
//! not when a worker gets round to it. A caller that goes away takes its request out of the queue, or stops the run.
//! What a worker does is a closure: this file must not know models or ONNX Runtime.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tokio::{sync::oneshot, time::sleep_until};

use crate::{
    InferenceError,
    cancel::Cancel,
    queue::{Next, Queue, Refusal, Ticket},
};

/// What one worker does with one request. It looks at the switch between its steps.
pub(crate) type Work<Q, A> = Box<dyn FnMut(Q, &Cancel) -> Result<A, InferenceError> + Send>;

/// A queue and its workers.
pub(crate) struct Pool<Q, A> {
    shared: Arc<Shared<Q, A>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared<Q, A> {
    state: Mutex<State<Q, A>>,
    ready: Condvar,
}

struct State<Q, A> {
    queue: Queue<Job<Q, A>>,
    /// One place per worker: what it runs now.
    running: Vec<Option<Cancel>>,
}

struct Job<Q, A> {
    request: Q,
    cancel: Cancel,
    reply: oneshot::Sender<Answer<A>>,
}

type Answer<A> = Result<Served<A>, InferenceError>;

/// An answer and how long its request waited for a worker.
pub(crate) struct Served<A> {
    pub(crate) answer: A,
    pub(crate) waited: Duration,
}

impl<Q: Send + 'static, A: Send + 'static> Pool<Q, A> {
    /// Starts one thread per piece of `work`.
    ///
    /// # Errors
    /// The system's, if it gives no thread. Those started before it end.
    pub(crate) fn start(name: &str, capacity: usize, work: Vec<Work<Q, A>>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queue: Queue::new(capacity, work.len()),
                running: work.iter().map(|_| None).collect(),
            }),
            ready: Condvar::new(),
        });
        let pool = Self { shared: Arc::clone(&shared), threads: Mutex::new(Vec::with_capacity(work.len())) };
        for (place, work) in work.into_iter().enumerate() {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("{name}-{place}"));
            // On an error `pool` is dropped here, which closes the queue and so ends the threads before this one.
            pool.threads.lock().push(thread.spawn(move || serve(&shared, place, work))?);
        }
        Ok(pool)
    }

    /// Waits for a worker's answer, until `deadline`.
    pub(crate) async fn submit(&self, request: Q, deadline: Instant) -> Answer<A> {
        let (reply, answer) = oneshot::channel();
        let cancel = Cancel::default();
        let job = Job { request, cancel: cancel.clone(), reply };
        let ticket = self.shared.offer(deadline, job)?;
        let abandon = Abandon { shared: &self.shared, ticket, cancel };
        tokio::select! {
            biased;
            answer = answer => answer.unwrap_or_else(|_gone| Err(InferenceError::internal("the worker ended"))),
            () = sleep_until(deadline.into()) => {
                Err(InferenceError::DeadlineExceeded { started: abandon.cancel.is_started() })
            }
        }
    }

    /// What a request is told for which there is no room.
    pub(crate) fn full(&self) -> InferenceError {
        let state = self.shared.state.lock();
        queue_full(&state.queue, state.queue.retry_after())
    }

    /// How many requests wait for a worker; those being run are not among them.
    pub(crate) fn depth(&self) -> usize {
        self.shared.state.lock().queue.len()
    }

    /// Refuses what waits, stops what runs and waits for the threads to end. Blocks.
    pub(crate) fn close(&self) {
        self.shared.close();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // A worker's panic was caught and answered where it happened.
            let _ = thread.join();
        }
    }
}

impl<Q, A> Drop for Pool<Q, A> {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl<Q, A> Shared<Q, A> {
    fn offer(&self, deadline: Instant, job: Job<Q, A>) -> Result<Ticket, InferenceError> {
        let mut state = self.state.lock();
        let ticket = state.queue.offer(Instant::now(), deadline, job).map_err(|refusal| match refusal {
            Refusal::Full { retry_after } => queue_full(&state.queue, retry_after),
            Refusal::Expired => InferenceError::DeadlineExceeded { started: false },
            Refusal::Closed => InferenceError::Closed,
        })?;
        drop(state);
        self.ready.notify_one();
        Ok(ticket)
    }

    /// The next request to run, for the worker at `place`. `None` ends the worker.
    fn take(&self, place: usize) -> Option<(Job<Q, A>, Duration)> {
        let mut state = self.state.lock();
        loop {
            match state.queue.next(Instant::now()) {
                Next::Run { item, waited } => {
                    item.cancel.start();
                    if let Some(running) = state.running.get_mut(place) {
                        *running = Some(item.cancel.clone());
                    }
                    return Some((item, waited));
                }
                Next::Expired(job) => {
                    // The caller's own timer may have been first; then nobody listens.
                    let _ = job.reply.send(Err(InferenceError::DeadlineExceeded { started: false }));
                }
                Next::Idle => self.ready.wait(&mut state),
                Next::Closed => return None,
            }
        }
    }

    fn finished(&self, place: usize, service: Duration) {
        let mut state = self.state.lock();
        state.queue.record(service);
        if let Some(running) = state.running.get_mut(place) {
            *running = None;
        }
    }

    fn close(&self) {
        let mut state = self.state.lock();
        let waiting = state.queue.close();
        let running: Vec<_> = state.running.iter().flatten().cloned().collect();
        drop(state);
        self.ready.notify_all();
        for job in waiting {
            let _ = job.reply.send(Err(InferenceError::Closed));
        }
        for cancel in running {
            cancel.cancel();
        }
    }
}

fn queue_full<T>(queue: &Queue<T>, retry_after: Duration) -> InferenceError {
    InferenceError::QueueFull { capacity: queue.capacity(), retry_after }
}

/// Takes back what the caller no longer waits for, however its waiting ended. After an answer it finds nothing to do.
struct Abandon<'a, Q, A> {
    shared: &'a Shared<Q, A>,
    ticket: Ticket,
    cancel: Cancel,
}

impl<Q, A> Drop for Abandon<'_, Q, A> {
    fn drop(&mut self) {
        if !self.cancel.is_started() {
            let withdrawn = self.shared.state.lock().queue.withdraw(self.ticket);
            drop(withdrawn);
        }
        // Also if it was withdrawn: a worker may have taken it up between the two lines above.
        self.cancel.cancel();
    }
}

/// A worker's life.
fn serve<Q, A>(shared: &Shared<Q, A>, place: usize, mut work: Work<Q, A>) {
    while let Some((job, waited)) = shared.take(place) {
        let Job { request, cancel, reply } = job;
        let began = Instant::now();
        let answer = catch_unwind(AssertUnwindSafe(|| work(request, &cancel)))
            .unwrap_or_else(|_panic| Err(InferenceError::internal("the model's worker panicked")));
        shared.finished(place, began.elapsed());
        // If nobody listens any more, the caller has had its answer: the deadline.
        let _ = reply.send(answer.map(|answer| Served { answer, waited }));
    }
}

#[cfg(test)]
mod tests;
