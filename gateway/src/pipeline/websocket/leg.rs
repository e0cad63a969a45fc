//! One of a WebSocket's two connections, and the watch over both: silence, peers that take nothing, half-open ends.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use forebay_http::Upgraded;
use forebay_policy::Side;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;
use super::{Bounds, Ended, GOODBYE};

/// No such moment.
const NEVER: u64 = u64::MAX;

/// A connection that is watched.
pub(super) struct Leg<S = Upgraded> {
    io: S,
    meter: Arc<Meter>,
    frames: Frames,
}

/// What is known of a connection; times are milliseconds since the WebSocket began.
pub(super) struct Meter {
    began: Instant,
    heard_ms: AtomicU64,
    stuck_since_ms: AtomicU64,
    ended_ms: AtomicU64,
    sent: Arc<AtomicU64>,
}

/// A moment's reading.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// When bytes came last.
    heard_ms: u64,
    /// Since when it takes no bytes that are there for it.
    stuck_since_ms: u64,
    /// When it was clear that no more bytes come.
    ended_ms: u64,
}

impl<S> Leg<S> {
    /// `sent` counts the bytes that the peer was sent.
    pub(super) fn new(io: S, began: Instant, sent: Arc<AtomicU64>) -> Self {
        let (heard_ms, stuck_since_ms, ended_ms) = (AtomicU64::new(0), AtomicU64::new(NEVER), AtomicU64::new(NEVER));
        let meter = Meter { began, heard_ms, stuck_since_ms, ended_ms, sent };
        Self { io, meter: Arc::new(meter), frames: Frames::default() }
    }

    pub(super) fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    /// Whether the peer was sent a close frame.
    pub(super) fn has_closed(&self) -> bool {
        self.frames.has_closed()
    }

    /// Whether the peer has whole frames alone, so that another one may follow.
    pub(super) fn is_between_frames(&self) -> bool {
        self.frames.is_between()
    }

    fn written(&mut self, bytes: &[u8], written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = &written {
            self.meter.sent.fetch_add(*count as u64, Ordering::Relaxed);
            self.frames.pass(bytes.get(..*count).unwrap_or_default());
        }
        self.meter.stuck(written.is_pending());
        written
    }
}

impl Meter {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NEVER)
    }

    fn stuck(&self, is_stuck: bool) {
        let was_stuck = self.stuck_since_ms.load(Ordering::Relaxed) != NEVER;
        if is_stuck != was_stuck {
            self.stuck_since_ms.store(if is_stuck { self.now_ms() } else { NEVER }, Ordering::Relaxed);
        }
    }

    fn read(&self) -> Reading {
        Reading {
            heard_ms: self.heard_ms.load(Ordering::Relaxed),
            stuck_since_ms: self.stuck_since_ms.load(Ordering::Relaxed),
            ended_ms: self.ended_ms.load(Ordering::Relaxed),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Leg<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let asked = buffer.remaining() > 0;
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        let ended = match &read {
            Poll::Pending => return read,
            Poll::Ready(Ok(())) => asked && buffer.filled().len() == before,
            Poll::Ready(Err(_)) => true,
        };
        let moment = if ended { &self.meter.ended_ms } else { &self.meter.heard_ms };
        moment.store(self.meter.now_ms(), Ordering::Relaxed);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Leg<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.written(bytes, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.meter.stuck(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        self.meter.stuck(shut.is_pending());
        shut
    }
}

/// Waits until the two connections must not go on.
pub(super) async fn watch(client: &Meter, origin: &Meter, bounds: &Bounds) -> Ended {
    // A stall begins unnoticed: it is found by looking again, before twice its time has passed.
    let look_again = bounds.idle.min(bounds.stall).min(GOODBYE).max(Duration::from_millis(1));
    loop {
        let now_ms = client.now_ms();
        let (due_ms, ended) = next([client.read(), origin.read()], bounds);
        if due_ms <= now_ms {
            return ended;
        }
        tokio::time::sleep(Duration::from_millis(due_ms - now_ms).min(look_again)).await;
    }
}

/// What ends a WebSocket next, and when, if nothing changes.
fn next(legs: [Reading; 2], bounds: &Bounds) -> (u64, Ended) {
    let after =
        |since_ms: u64, wait: Duration| since_ms.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(NEVER));
    let last_heard_ms = legs.iter().map(|leg| leg.heard_ms).max().unwrap_or_default();
    let stuck_since_ms = legs.iter().map(|leg| leg.stuck_since_ms).min().unwrap_or(NEVER);
    // One end is closed already: what the other one still has to say is not waited for at length.
    let (ended_ms, lost) = first_ended(legs);
    let idle = (after(last_heard_ms, bounds.idle), Ended::Idle);
    let stalled = (after(stuck_since_ms, bounds.stall), Ended::Stalled);
    let half_open = (after(ended_ms, GOODBYE), Ended::Lost(lost));
    [idle, stalled, half_open].into_iter().min_by_key(|(due_ms, _)| *due_ms).unwrap_or((NEVER, Ended::Idle))
}

/// Which side ended first, and when. Where neither did, nobody asks which.
fn first_ended([client, origin]: [Reading; 2]) -> (u64, Side) {
    match client.ended_ms <= origin.ended_ms {
        true => (client.ended_ms, Side::Request),
        false => (origin.ended_ms, Side::Response),
    }
}

/// The side that is gone.
pub(super) fn lost(client: &Meter, origin: &Meter) -> Ended {
    Ended::Lost(first_ended([client.read(), origin.read()]).1)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const QUIET: Reading = Reading { heard_ms: 0, stuck_since_ms: NEVER, ended_ms: NEVER };

    fn bounds() -> Bounds {
        Bounds { idle: Duration::from_secs(60), stall: Duration::from_secs(30), message_bytes: 1 }
    }

    #[test]
    fn whoever_is_heard_keeps_it_open() {
        let one = Reading { heard_ms: 1_000, ..QUIET };
        for legs in [[QUIET, one], [one, QUIET]] {
            assert!(matches!(next(legs, &bounds()), (61_000, Ended::Idle)));
        }
    }

    #[test]
    fn whoever_takes_nothing_ends_it() {
        let stuck = Reading { stuck_since_ms: 2_000, heard_ms: 40_000, ..QUIET };
        assert!(matches!(next([QUIET, stuck], &bounds()), (32_000, Ended::Stalled)));
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_stuck_until_it_takes_some() {
        let (ours, mut theirs) = tokio::io::duplex(4);
        let mut leg = Leg::new(ours, Instant::now(), Arc::default());
        let meter = leg.meter();
        assert!(leg.write_all(b"more").await.is_ok());
        assert!(leg.write_all(b"!").now_or_never().is_none());
        assert_ne!(meter.read().stuck_since_ms, NEVER);
        assert_eq!(theirs.read(&mut [0; 1]).await.ok(), Some(1));
        assert!(leg.write_all(b"!").await.is_ok());
        assert_eq!(meter.read().stuck_since_ms, NEVER);
    }

    #[test]
    fn an_end_is_not_left_half_open() {
        let ended = Reading { ended_ms: 1_000, ..QUIET };
        let chatting = Reading { heard_ms: 50_000, ..QUIET };
        assert!(matches!(next([ended, chatting], &bounds()), (6_000, Ended::Lost(Side::Request))));
    }
}
