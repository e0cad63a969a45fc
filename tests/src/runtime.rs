//! One runtime for all tests of a binary, so that nodes can outlive the test that started them.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// No test needs as long; one that does hangs.
const TEST_LIMIT: Duration = Duration::from_secs(120);
/// What is waited for takes milliseconds; a busy machine may need seconds.
const EVENTUALLY_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

/// Tests at once, whatever the machine: a gateway's engine reserves terabytes of address space.
static PLACES: Semaphore = Semaphore::const_new(8);

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap());

/// Runs a test.
///
/// # Panics
/// The test hangs.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    RUNTIME.block_on(async {
        let _place = PLACES.acquire().await;
        timeout(TEST_LIMIT, test).await.expect("the test hangs")
    })
}

/// Waits for what can only be seen by looking again.
///
/// # Panics
/// It does not come.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let reached = async {
        while !holds().await {
            tokio::time::sleep(POLL).await;
        }
    };
    assert!(timeout(EVENTUALLY_LIMIT, reached).await.is_ok(), "{what}: not within {EVENTUALLY_LIMIT:?}");
}
