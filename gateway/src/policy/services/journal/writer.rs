//! The thread that writes one file.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;

use super::file::Rotating;
use super::queue::{Next, Queue};

/// How long it waits before it tries again what failed.
const RETRY: Duration = Duration::from_millis(250);
/// Bytes of a buffer that are kept for the next records; a larger one was for a rush.
const KEPT_BYTES: usize = 1024 * 1024;

/// Starts the thread. It ends when the queue is closed and empty.
///
/// # Errors
/// The system has no thread left.
pub(super) fn start(plugin: &str, queue: Arc<Queue>, file: Rotating, lost: Counter) -> io::Result<()> {
    let writer =
        Writer { plugin: plugin.to_owned(), queue: Arc::clone(&queue), file, lost, unsynced: None, told: false };
    let run = move || {
        // Dropped last: whoever waits for it may open the file.
        let _ending = Ending(queue);
        writer.run();
    };
    std::thread::Builder::new().name("forebay-journal".to_owned()).spawn(run).map(drop)
}

struct Writer {
    plugin: String,
    queue: Arc<Queue>,
    file: Rotating,
    lost: Counter,
    /// When what is not on disk yet must be.
    unsynced: Option<Instant>,
    /// Whether the log knows that it cannot write.
    told: bool,
}

/// The writer's end, however it comes about: nobody may wait for one that is gone.
struct Ending(Arc<Queue>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ended();
    }
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            match self.queue.take(&mut batch, self.unsynced) {
                Next::Write => self.write(&batch),
                Next::Due => self.sync(),
                Next::End => return self.sync(),
            }
            batch.clear();
            batch.shrink_to(KEPT_BYTES);
            // Records that never stop coming must not put it off.
            if self.unsynced.is_some_and(|due| due <= Instant::now()) {
                self.sync();
            }
        }
    }

    /// Writes whole lines, however long it takes; when the queue is closed, for as long as it goes well.
    fn write(&mut self, lines: &[u8]) {
        let settings = self.queue.settings();
        let mut at = 0;
        while let Err(error) = self.file.write(lines, &mut at, &settings) {
            if !self.failed(&error) {
                let left = lines.get(at..).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
                tracing::error!(plugin = self.plugin, journal = %self.file, records = left, "records are lost");
                self.lost.inc_by(u64::try_from(left).unwrap_or(u64::MAX));
                return self.queue.written();
            }
        }
        self.succeeded();
        self.queue.written();
        self.unsynced = self.unsynced.or_else(|| Some(Instant::now() + settings.sync));
    }

    fn sync(&mut self) {
        if self.unsynced.take().is_none() {
            return;
        }
        while let Err(error) = self.file.sync() {
            if !self.failed(&error) {
                return;
            }
        }
        self.succeeded();
        self.queue.mended();
    }

    /// Waits until it is to try again; false when it is to give up.
    fn failed(&mut self, error: &io::Error) -> bool {
        if !self.told {
            tracing::error!(plugin = self.plugin, journal = %self.file, %error, "cannot be written; no record is taken");
            self.told = true;
        }
        self.queue.broke(Instant::now() + RETRY)
    }

    fn succeeded(&mut self) {
        if std::mem::take(&mut self.told) {
            tracing::warn!(plugin = self.plugin, journal = %self.file, "can be written again");
        }
    }
}
