//! When stocks are filled: on the thread that took from them, once its task lets go of it.
//!
//! A thread of its own would do it while requests run, but in another core's cache: measured on two cores, a call then
//! costs half as much again in all, and on a busy node its instances come too late.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::Ready;

/// After so many instances, other tasks of the thread have their turn.
const AT_A_TIME: usize = 4;

/// Plugins that a thread took instances of since it last filled stocks.
#[derive(Default)]
struct Pending(Mutex<Vec<Arc<Ready>>>);

thread_local! {
    static PENDING: Arc<Pending> = Arc::default();
}

/// Has the stocks filled as soon as the running task lets go of this thread. False where there is no runtime to do it.
pub(super) fn after_this_task(ready: &Arc<Ready>) -> bool {
    PENDING.try_with(|pending| pending.add(ready)).unwrap_or_default()
}

impl Pending {
    fn add(self: &Arc<Self>, ready: &Arc<Ready>) -> bool {
        let mut plugins = self.0.lock();
        if plugins.iter().any(|known| Arc::ptr_eq(known, ready)) {
            return true;
        }
        if plugins.is_empty() {
            let Ok(runtime) = Handle::try_current() else { return false };
            runtime.spawn(fill(Task(Some(Arc::clone(self)))));
        }
        plugins.push(Arc::clone(ready));
        true
    }
}

/// The task that has to fill the stocks of those that are pending. A runtime that ends may never run it; then they are
/// forgotten, so that the next one has a task again.
struct Task(Option<Arc<Pending>>);

impl Task {
    /// Those that are pending. What is added from here on has a task of its own.
    fn begin(&mut self) -> Vec<Arc<Ready>> {
        self.0.take().map(|pending| std::mem::take(&mut *pending.0.lock())).unwrap_or_default()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        drop(self.begin());
    }
}

async fn fill(mut task: Task) {
    let plugins = task.begin();
    let mut done = 0;
    for ready in plugins {
        while ready.fill_one() {
            done += 1;
            if done % AT_A_TIME == 0 {
                tokio::task::yield_now().await;
            }
        }
    }
}
