//! Drives a connection and watches it: idle, slow and stalled peers, shutdown, and the end of the drain.
//!
//! One timer serves all of these. It is moved only when an alarm comes nearer; an alarm that was put off is noticed
//! when the old time comes. So a busy connection touches no timer per request.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::server::graceful::GracefulConnection;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::activity::{Activity, Alarm};
use crate::limits::Limits;

/// How long a peer may take to follow a polite close (GOAWAY, close_notify) of an idle connection.
const GOODBYE: Duration = Duration::from_secs(2);

/// How a connection ended.
pub(super) enum Ending<E> {
    /// By the protocol, or because the peer broke it or left.
    Closed(Result<(), E>),
    /// It was idle.
    Idle,
    /// A request's headers took too long.
    SlowHeaders,
    /// The peer stopped taking bytes, or those of one response.
    Stalled,
    /// The drain ended before it did.
    Cut,
}

struct Driver<'a> {
    activity: &'a Activity,
    limits: &'a Limits,
    timer: Pin<Box<Sleep>>,
    /// When the timer fires; None if it fired.
    armed_ms: Option<u64>,
    draining: bool,
    /// Set when an idle connection was asked to close.
    goodbye_ms: Option<u64>,
}

/// Polls `connection` to its end.
pub(super) async fn drive<C: GracefulConnection>(
    connection: C,
    activity: &Activity,
    limits: &Limits,
    shutdown: &CancellationToken,
    cut: &CancellationToken,
) -> Ending<C::Error> {
    let mut connection = pin!(connection);
    let mut shutdown = pin!(shutdown.cancelled());
    let mut cut = pin!(cut.cancelled());
    let mut driver = Driver {
        activity,
        limits,
        timer: Box::pin(tokio::time::sleep(limits.idle)),
        armed_ms: None,
        draining: false,
        goodbye_ms: None,
    };
    poll_fn(|cx| {
        if cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ending::Cut);
        }
        driver.poll(cx, connection.as_mut(), shutdown.as_mut())
    })
    .await
}

impl Driver<'_> {
    fn poll<C: GracefulConnection>(
        &mut self,
        cx: &mut Context<'_>,
        mut connection: Pin<&mut C>,
        mut shutdown: Pin<&mut WaitForCancellationFuture<'_>>,
    ) -> Poll<Ending<C::Error>> {
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(if self.goodbye_ms.is_some() { Ending::Idle } else { Ending::Closed(result) });
            }
            if !self.draining && shutdown.as_mut().poll(cx).is_ready() {
                self.draining = true;
                connection.as_mut().graceful_shutdown();
                continue;
            }
            match self.due_alarm() {
                Some(Alarm::SlowHeaders) => return Poll::Ready(Ending::SlowHeaders),
                Some(Alarm::Stalled) => return Poll::Ready(Ending::Stalled),
                Some(Alarm::Idle) if self.goodbye_ms.is_some() => return Poll::Ready(Ending::Idle),
                Some(Alarm::Idle) => {
                    let goodbye_ms = u64::try_from(GOODBYE.as_millis()).unwrap_or_default();
                    self.goodbye_ms = Some(self.activity.now_ms() + goodbye_ms);
                    connection.as_mut().graceful_shutdown();
                }
                None => {
                    std::task::ready!(self.poll_timer(cx));
                }
            }
        }
    }

    fn next_alarm(&self) -> Option<(u64, Alarm)> {
        let mut next = self.activity.snapshot().next_alarm(self.limits);
        if next.is_some_and(|(due_ms, alarm)| alarm == Alarm::Stalled && due_ms <= self.activity.now_ms()) {
            self.activity.tighten();
            next = self.activity.snapshot().next_alarm(self.limits);
        }
        match (self.goodbye_ms, next) {
            (Some(goodbye_ms), Some((_, Alarm::Idle))) => Some((goodbye_ms, Alarm::Idle)),
            _ => next,
        }
    }

    /// The alarm whose time has come; otherwise arms the timer for the next one.
    fn due_alarm(&mut self) -> Option<Alarm> {
        let next = self.next_alarm();
        // Without an alarm it is enough to look again later: a request in another task may end, or its response begin
        // to wait for the peer, unnoticed by this one.
        let look_again = || (self.activity.now_ms().saturating_add(look_again_ms(self.limits)), None);
        let (due_ms, alarm) = next.map_or_else(look_again, |(due_ms, alarm)| (due_ms, Some(alarm)));
        if let Some(alarm) = alarm
            && due_ms <= self.activity.now_ms()
        {
            return Some(alarm);
        }
        if self.armed_ms.is_none_or(|armed_ms| due_ms < armed_ms) {
            self.armed_ms = Some(due_ms);
            self.timer.as_mut().reset(self.activity.at(due_ms));
        }
        None
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let fired = self.timer.as_mut().poll(cx);
        if fired.is_ready() {
            self.armed_ms = None;
        }
        fired
    }
}

/// So a wait is noticed before twice its limit has passed.
fn look_again_ms(limits: &Limits) -> u64 {
    // At least one, so that looking again never spins.
    u64::try_from(limits.idle.min(limits.write_stall).as_millis()).unwrap_or(u64::MAX / 2).max(1)
}
