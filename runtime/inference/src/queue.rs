//! Who waits for a model, and what happens to them next.
//!
//! Pure: time comes in as `now`, decisions go out as values. The threads and timers around it are in `pool.rs`.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Requests that wait, first come first served.
pub(crate) struct Queue<T> {
    entries: VecDeque<Entry<T>>,
    capacity: usize,
    workers: u32,
    next_id: u64,
    mean_service: Duration,
    closed: bool,
}

struct Entry<T> {
    id: u64,
    arrived: Instant,
    deadline: Instant,
    item: T,
}

/// Names one waiting request, so that it can be withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// Why a request was not taken in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// As many wait as may.
    Full { retry_after: Duration },
    /// Its deadline has passed already.
    Expired,
    /// The model is going away.
    Closed,
}

/// What a free worker is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<T> {
    /// Run this.
    Run { item: T, waited: Duration },
    /// Answer this with "deadline exceeded"; do not run it.
    Expired(T),
    /// Wait.
    Idle,
    /// End.
    Closed,
}

/// Weight of the newest run in the mean, as one part in this many.
const MEAN_PARTS: u32 = 8;
/// Bounds of the advice to come again: not so soon that it is a storm, not so late that it is a loss.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(100);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

impl<T> Queue<T> {
    /// A queue for at most `capacity` waiting requests, served by `workers` threads.
    pub(crate) fn new(capacity: usize, workers: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            capacity,
            workers: u32::try_from(workers.max(1)).unwrap_or(u32::MAX),
            next_id: 0,
            mean_service: Duration::ZERO,
            closed: false,
        }
    }

    /// Takes a request in, or says why not.
    pub(crate) fn offer(&mut self, now: Instant, deadline: Instant, item: T) -> Result<Ticket, Refusal> {
        if self.closed {
            return Err(Refusal::Closed);
        }
        if deadline <= now {
            return Err(Refusal::Expired);
        }
        if self.entries.len() >= self.capacity {
            return Err(Refusal::Full { retry_after: self.retry_after() });
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.entries.push_back(Entry { id, arrived: now, deadline, item });
        Ok(Ticket(id))
    }

    /// Gives up a waiting request. `None` if it is not waiting any more.
    pub(crate) fn withdraw(&mut self, ticket: Ticket) -> Option<T> {
        let place = self.entries.iter().position(|entry| entry.id == ticket.0)?;
        self.entries.remove(place).map(|entry| entry.item)
    }

    /// What a worker that is free at `now` does.
    pub(crate) fn next(&mut self, now: Instant) -> Next<T> {
        if self.closed {
            return Next::Closed;
        }
        match self.entries.pop_front() {
            None => Next::Idle,
            Some(entry) if entry.deadline <= now => Next::Expired(entry.item),
            Some(entry) => Next::Run { waited: now.saturating_duration_since(entry.arrived), item: entry.item },
        }
    }

    /// Learns how long a run took.
    pub(crate) fn record(&mut self, service: Duration) {
        self.mean_service = if self.mean_service.is_zero() {
            service
        } else {
            (self.mean_service * (MEAN_PARTS - 1) + service) / MEAN_PARTS
        };
    }

    /// Takes nothing in any more, and gives back all that still wait.
    pub(crate) fn close(&mut self) -> Vec<T> {
        self.closed = true;
        self.entries.drain(..).map(|entry| entry.item).collect()
    }

    /// How many requests wait.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many requests may wait.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// When what waits now will have been served, by the mean.
    pub(crate) fn retry_after(&self) -> Duration {
        let waiting = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let drained = self.mean_service.saturating_mul(waiting.saturating_add(1)) / self.workers;
        drained.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Duration, Instant, Next, Queue, Refusal};
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn first_come_first_served_with_the_time_waited() {
        let (mut queue, now) = (Queue::new(4, 1), Instant::now());
        queue.offer(now, now + SECOND, 'a').unwrap();
        queue.offer(now, now + SECOND, 'b').unwrap();
        let later = now + SECOND / 4;
        assert_eq!(queue.next(later), Next::Run { item: 'a', waited: SECOND / 4 });
        assert_eq!(queue.next(later), Next::Run { item: 'b', waited: SECOND / 4 });
        assert_eq!(queue.next(later), Next::Idle);
    }

    #[test]
    fn full_is_an_answer_with_a_time_to_come_again() {
        let (mut queue, now) = (Queue::new(3, 2), Instant::now());
        queue.record(SECOND);
        for item in 0..3 {
            queue.offer(now, now + SECOND, item).unwrap();
        }
        // Four runs of a second each by two workers.
        assert_eq!(queue.offer(now, now + SECOND, 3), Err(Refusal::Full { retry_after: SECOND * 2 }));
        assert_eq!(queue.len(), 3);
    }

    #[test]
    fn a_passed_deadline_is_refused_at_the_door_and_at_the_desk() {
        let (mut queue, now) = (Queue::new(4, 1), Instant::now());
        assert_eq!(queue.offer(now, now, 'a'), Err(Refusal::Expired));
        queue.offer(now, now + SECOND, 'b').unwrap();
        assert_eq!(queue.next(now + SECOND), Next::Expired('b'));
    }

    #[test]
    fn what_is_withdrawn_makes_room_and_is_not_run() {
        let (mut queue, now) = (Queue::new(2, 1), Instant::now());
        let first = queue.offer(now, now + SECOND, 'a').unwrap();
        queue.offer(now, now + SECOND, 'b').unwrap();
        assert_eq!(queue.withdraw(first), Some('a'));
        assert_eq!(queue.withdraw(first), None);
        queue.offer(now, now + SECOND, 'c').unwrap();
        assert!(matches!(queue.next(now), Next::Run { item: 'b', .. }));
    }

    #[test]
    fn closing_gives_back_what_waits() {
        let (mut queue, now) = (Queue::new(2, 1), Instant::now());
        queue.offer(now, now + SECOND, 'a').unwrap();
        assert_eq!(queue.close(), vec!['a']);
        assert_eq!(queue.next(now), Next::Closed);
        assert_eq!(queue.offer(now, now + SECOND, 'b'), Err(Refusal::Closed));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_doubled_or_kept_past_the_capacity(
            steps in prop::collection::vec((0u8..4, 0u64..50), 0..200),
            capacity in 0usize..8,
        ) {
            let (mut queue, start) = (Queue::new(capacity, 1), Instant::now());
            let (mut now, mut taken_in, mut gone, mut tickets) = (start, 0u32, 0u32, Vec::new());
            for (step, millis) in steps {
                now += Duration::from_millis(millis / 10);
                match step {
                    0 | 1 => if let Ok(ticket) = queue.offer(now, now + Duration::from_millis(millis), taken_in) {
                        taken_in += 1;
                        tickets.push(ticket);
                    },
                    2 => match queue.next(now) {
                        Next::Run { item, waited } => {
                            prop_assert!(waited <= Duration::from_millis(50));
                            prop_assert!(item < taken_in);
                            gone += 1;
                        }
                        Next::Expired(_) => gone += 1,
                        Next::Idle => prop_assert_eq!(queue.len(), 0),
                        Next::Closed => prop_assert!(false, "nobody closed it"),
                    },
                    _ => if let Some(ticket) = tickets.pop() && queue.withdraw(ticket).is_some() {
                        gone += 1;
                    },
                }
                prop_assert!(queue.len() <= capacity);
                prop_assert_eq!(taken_in - gone, u32::try_from(queue.len()).unwrap());
            }
        }
    }
}
