//! One flight per key: of all who ask the same at once, one asks the region and the others wait for its answer.
//!
//! The leader's success is everybody's. Its deadline and its departure are its own: a waiter then takes over, with its own
//! deadline. Where it failed, those who waited each try for themselves, at once: a failing key must not become a queue.
//! Nobody waits past their own deadline.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout_at;

use super::{AnswerCache, Key, Stored};

/// How a flight ended, once it has.
type Landing = Option<Outcome>;

#[derive(Clone)]
enum Outcome {
    Answer(Arc<Stored>),
    Failed,
}

/// The keys that somebody is getting now.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Key, watch::Receiver<Landing>>>);

/// What a lookup found.
pub(crate) enum Lookup {
    /// A stored answer.
    Hit(Arc<Stored>),
    /// The answer that another request just got.
    Joined(Arc<Stored>),
    /// Nothing: the caller is to get it, and to tell.
    Lead(Leader),
    /// Another request just failed to get it: the caller is to try, and need tell nobody.
    Alone,
}

/// The deadline passed while another request was still getting the answer.
#[derive(Debug)]
pub(crate) struct WaitedTooLong;

/// The duty to get an answer. Dropped without `finish` or `fail`, it passes to one who waits.
pub(crate) struct Leader {
    cache: Arc<AnswerCache>,
    key: Key,
    tell: watch::Sender<Landing>,
}

enum Place {
    Stored(Arc<Stored>),
    Lead(Leader),
    Wait(watch::Receiver<Landing>),
}

pub(super) async fn lookup(
    cache: &Arc<AnswerCache>,
    key: Key,
    max_age: Duration,
    deadline: Instant,
) -> Result<Lookup, WaitedTooLong> {
    if let Some(stored) = cache.fresh(&key, max_age) {
        return Ok(Lookup::Hit(stored));
    }
    loop {
        let mut flight = match place(cache, key, max_age) {
            Place::Stored(stored) => return Ok(Lookup::Hit(stored)),
            Place::Lead(leader) => return Ok(Lookup::Lead(leader)),
            Place::Wait(flight) => flight,
        };
        let landed = timeout_at(deadline.into(), flight.wait_for(Option::is_some)).await;
        match landed.map_err(|_| WaitedTooLong)?.map(|landing| landing.clone()) {
            Ok(Some(Outcome::Answer(stored))) => return Ok(Lookup::Joined(stored)),
            Ok(Some(Outcome::Failed)) => return Ok(Lookup::Alone),
            // The leader left without a word: look for a new place.
            Ok(None) | Err(_) => {}
        }
    }
}

/// Under one lock: join the flight, or lead it. A leader stores before it leaves the map, so whoever finds no flight
/// here must look once more.
fn place(cache: &Arc<AnswerCache>, key: Key, max_age: Duration) -> Place {
    let mut flights = cache.flights.0.lock();
    if let Some(flight) = flights.get(&key) {
        return Place::Wait(flight.clone());
    }
    if let Some(stored) = cache.fresh(&key, max_age) {
        return Place::Stored(stored);
    }
    let (tell, hear) = watch::channel(None);
    flights.insert(key, hear);
    Place::Lead(Leader { cache: Arc::clone(cache), key, tell })
}

impl Leader {
    /// Hands the answer to all who wait, and keeps it where `keep` says so.
    pub(crate) fn finish(self, stored: Arc<Stored>, keep: bool) {
        if keep {
            self.cache.answers.insert(self.key, Arc::clone(&stored));
        }
        self.tell.send_replace(Some(Outcome::Answer(stored)));
    }

    /// Tells all who wait that there is no answer.
    pub(crate) fn fail(self) {
        self.tell.send_replace(Some(Outcome::Failed));
    }
}

/// Leaves the map on every path out, cancellation included: a flight without a leader would hold its key for ever.
impl Drop for Leader {
    fn drop(&mut self) {
        self.cache.flights.0.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use forebay_oip::{InferRequest, InferResponse, Parameters};

    use super::*;
    use crate::cache::key::Scope;

    const MINUTE: Duration = Duration::from_secs(60);

    fn key() -> Key {
        let scope = Scope {
            tenant: None,
            model: "m",
            version: None,
            digest: "",
            jurisdictions: &[],
            regions: &[],
            policies: &[],
        };
        let (id, parameters) = (None, Parameters::new());
        Key::of(&scope, &InferRequest { id, parameters, inputs: Vec::new(), outputs: Vec::new() })
    }

    fn stored() -> Arc<Stored> {
        let answer = InferResponse {
            model_name: "m".into(),
            model_version: None,
            id: Some("the asker's own".into()),
            parameters: Parameters::new(),
            outputs: Vec::new(),
        };
        Arc::new(Stored::new(answer, Instant::now(), MINUTE))
    }

    fn soon() -> Instant {
        Instant::now() + MINUTE
    }

    async fn lead(cache: &Arc<AnswerCache>) -> Leader {
        match lookup(cache, key(), MINUTE, soon()).await.unwrap() {
            Lookup::Lead(leader) => leader,
            _ => panic!("somebody else leads"),
        }
    }

    #[tokio::test]
    async fn one_leads_and_the_others_get_its_answer() {
        let cache = Arc::new(AnswerCache::new(1 << 20));
        let leader = lead(&cache).await;
        let waiters: Vec<_> = (0..8)
            .map(|_| {
                let cache = Arc::clone(&cache);
                tokio::spawn(async move { lookup(&cache, key(), MINUTE, soon()).await.unwrap() })
            })
            .collect();
        tokio::task::yield_now().await;
        leader.finish(stored(), true);
        for waiter in waiters {
            match waiter.await.unwrap() {
                Lookup::Hit(stored) | Lookup::Joined(stored) => assert_eq!(stored.answer.id, None),
                Lookup::Lead(_) | Lookup::Alone => panic!("asked twice"),
            }
        }
        assert!(cache.flights.0.lock().is_empty());
    }

    #[tokio::test]
    async fn a_leader_that_leaves_is_replaced() {
        let cache = Arc::new(AnswerCache::new(1 << 20));
        let leader = lead(&cache).await;
        let waiter = tokio::spawn({
            let cache = Arc::clone(&cache);
            async move { lookup(&cache, key(), MINUTE, soon()).await.unwrap() }
        });
        tokio::task::yield_now().await;
        drop(leader);
        assert!(matches!(waiter.await.unwrap(), Lookup::Lead(_)));
        assert!(cache.flights.0.lock().is_empty());
    }

    #[tokio::test]
    async fn a_waiter_keeps_its_own_deadline() {
        let cache = Arc::new(AnswerCache::new(1 << 20));
        let _leader = lead(&cache).await;
        assert!(lookup(&cache, key(), MINUTE, Instant::now()).await.is_err());
    }

    #[tokio::test]
    async fn those_who_waited_for_a_failure_all_go_on_at_once() {
        let cache = Arc::new(AnswerCache::new(1 << 20));
        let leader = lead(&cache).await;
        let waiters: Vec<_> = (0..8)
            .map(|_| {
                let cache = Arc::clone(&cache);
                tokio::spawn(async move { lookup(&cache, key(), MINUTE, soon()).await.unwrap() })
            })
            .collect();
        tokio::task::yield_now().await;
        leader.fail();
        for waiter in waiters {
            assert!(matches!(waiter.await.unwrap(), Lookup::Alone));
        }
        assert!(cache.flights.0.lock().is_empty());
    }

    #[tokio::test]
    async fn an_answer_is_as_fresh_as_the_route_wants_it() {
        let cache = Arc::new(AnswerCache::new(1 << 20));
        lead(&cache).await.finish(stored(), true);
        assert!(matches!(lookup(&cache, key(), MINUTE, soon()).await.unwrap(), Lookup::Hit(_)));
        assert!(matches!(lookup(&cache, key(), Duration::ZERO, soon()).await.unwrap(), Lookup::Lead(_)));
    }

    #[tokio::test]
    async fn an_answer_that_is_not_kept_still_reaches_those_who_wait() {
        let cache = Arc::new(AnswerCache::new(1 << 20));
        lead(&cache).await.finish(stored(), false);
        assert!(matches!(lookup(&cache, key(), MINUTE, soon()).await.unwrap(), Lookup::Lead(_)));
    }
}
