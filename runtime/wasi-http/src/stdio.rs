//! Standard output and error of a component: lines in the node's log, bounded in length and number.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::limits::LOG_LINE_BYTES;

/// The most bytes that one write takes.
const WRITE_BYTES: usize = 4096;

/// Both streams of one instance.
#[derive(Clone)]
pub(crate) struct Stdio(Arc<Mutex<Lines>>);

struct Lines {
    component: Arc<str>,
    line: Vec<u8>,
    left: u32,
    dropped: u32,
}

impl Stdio {
    pub(crate) fn new(component: Arc<str>, lines: u32) -> Self {
        Self(Arc::new(Mutex::new(Lines { component, line: Vec::new(), left: lines, dropped: 0 })))
    }

    fn write(&self, bytes: &[u8]) {
        let mut lines = self.0.lock();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let room = LOG_LINE_BYTES.saturating_sub(lines.line.len()).min(text.len());
            lines.line.extend(text.iter().take(room));
            if text.len() < piece.len() {
                lines.end_line();
            }
        }
    }

    /// The instance has ended: what it wrote last needs no end of line.
    pub(crate) fn end(&self) {
        let mut lines = self.0.lock();
        if !lines.line.is_empty() {
            lines.end_line();
        }
        if lines.dropped > 0 {
            tracing::warn!(target: "forebay::function", function = &*lines.component, lines = lines.dropped, "log lines dropped");
        }
    }
}

impl Lines {
    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                let text = String::from_utf8_lossy(&line);
                tracing::info!(target: "forebay::function", function = &*self.component, "{}", text.escape_debug());
            }
            None => self.dropped = self.dropped.saturating_add(1),
        }
    }
}

impl IsTerminal for Stdio {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stdio {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Stdio {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stdio {
    async fn ready(&mut self) {}
}

impl OutputStream for Stdio {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        Self::write(self, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_in_length_and_number() {
        let stdio = Stdio::new("f".into(), 2);
        stdio.write(&[b'x'; 10_000]);
        assert_eq!(stdio.0.lock().line.len(), LOG_LINE_BYTES);
        stdio.write(b"\nsecond\nthird\nfourth");
        assert_eq!(stdio.0.lock().dropped, 1);
        stdio.end();
        assert_eq!(stdio.0.lock().dropped, 2);
    }
}
