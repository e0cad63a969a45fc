//! The log after a panic; a process of its own, since the hook is the process's.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write;
use std::sync::Arc;

use parking_lot::Mutex;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_panic_leaves_its_place_and_not_its_words() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    forebay_http::log_panics_by_location();
    let caught = tracing::subscriber::with_default(subscriber, || std::panic::catch_unwind(|| panic!("a secret")));
    assert!(caught.is_err());
    let text = String::from_utf8(log.0.lock().clone()).unwrap();
    assert!(text.contains("ERROR") && text.contains("panics.rs") && !text.contains("secret"), "{text}");
}
