//! Tells a run that nobody waits for it any more.
//!
//! The waiting side cancels; the working side looks at it between steps, and leaves a hook while it is inside a step
//! that cannot look. This is all that the queue's side knows about how a run is stopped.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;

type Hook = Box<dyn FnOnce() + Send>;

/// A switch that goes one way. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Cancel(Arc<Inner>);

#[derive(Default)]
struct Inner {
    started: AtomicBool,
    cancelled: AtomicBool,
    hook: Mutex<Option<Hook>>,
}

impl Cancel {
    /// Marks that a worker has taken the work up.
    pub(crate) fn start(&self) {
        self.0.started.store(true, Ordering::Release);
    }

    /// Whether a worker has taken the work up.
    pub(crate) fn is_started(&self) -> bool {
        self.0.started.load(Ordering::Acquire)
    }

    /// Cancels, and calls the hook if one is set.
    pub(crate) fn cancel(&self) {
        let hook = {
            let mut hook = self.0.hook.lock();
            self.0.cancelled.store(true, Ordering::Release);
            hook.take()
        };
        if let Some(hook) = hook {
            hook();
        }
    }

    /// Whether the work was cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Runs `step`, with `hook` to be called if the work is cancelled meanwhile (at once, if it was before).
    pub(crate) fn guard<T>(&self, hook: impl FnOnce() + Send + 'static, step: impl FnOnce() -> T) -> T {
        self.set(Box::new(hook));
        let result = step();
        self.0.hook.lock().take();
        result
    }

    fn set(&self, hook: Hook) {
        let mut slot = self.0.hook.lock();
        // Read under the lock that `cancel` writes under: a cancellation is seen here or finds the hook.
        if self.is_cancelled() {
            drop(slot);
            hook();
        } else {
            *slot = Some(hook);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cancel;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    fn counter() -> (Arc<AtomicUsize>, impl Fn() + Send + Clone + 'static) {
        let count = Arc::new(AtomicUsize::new(0));
        let inner = Arc::clone(&count);
        let hook = move || {
            inner.fetch_add(1, Ordering::SeqCst);
        };
        (count, hook)
    }

    #[test]
    fn the_hook_runs_once_when_cancelled_inside_the_step() {
        let (count, hook) = counter();
        let cancel = Cancel::default();
        cancel.guard(hook, || {
            cancel.cancel();
            cancel.cancel();
        });
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn the_hook_runs_at_once_when_cancelled_before() {
        let (count, hook) = counter();
        let cancel = Cancel::default();
        cancel.cancel();
        cancel.guard(hook, || assert_eq!(count.load(Ordering::SeqCst), 1));
    }

    #[test]
    fn the_hook_does_not_outlive_the_step() {
        let (count, hook) = counter();
        let cancel = Cancel::default();
        cancel.guard(hook, || ());
        cancel.cancel();
        assert_eq!(count.load(Ordering::SeqCst), 0);
        assert!(cancel.is_cancelled());
    }
}
