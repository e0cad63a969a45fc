//! One flight per key: of all who ask the same at once, one asks the region and the others wait for its answer.
//!
//! The leader's success is everybody's. Its failure, its deadline and its departure are its own: a waiter then takes
//! over with its own deadline. A waiter never waits past that.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout_at;

use super::{AnswerCache, Key, Stored};

/// The keys that somebody is getting now.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Key, watch::Receiver<Option<Arc<Stored>>>>>);

/// What a lookup found.
pub(crate) enum Lookup {
    /// A stored answer.
    Hit(Arc<Stored>),
    /// The answer that another request just got.
    Joined(Arc<Stored>),
    /// Nothing: the caller is to get it, and to tell.
    Lead(Leader),
}

/// The deadline passed while another request was still getting the answer.
#[derive(Debug)]
pub(crate) struct WaitedTooLong;

/// The duty to get an answer. Dropped without `finish`, it passes to one who waits.
pub(crate) struct Leader {
    cache: Arc<AnswerCache>,
    key: Key,
    tell: watch::Sender<Option<Arc<Stored>>>,
}

enum Place {
    Stored(Arc<Stored>),
    Lead(Leader),
    Wait(watch::Receiver<Option<Arc<Stored>>>),
}

pub(super) async fn lookup(cache: &Arc<AnswerCache>, key: Key, deadline: Instant) -> Result<Lookup, WaitedTooLong> {
    if let Some(stored) = cache.answers.get(&key) {
        return Ok(Lookup::Hit(stored));
    }
    loop {
        match place(cache, key) {
            Place::Stored(stored) => return Ok(Lookup::Hit(stored)),
            Place::Lead(leader) => return Ok(Lookup::Lead(leader)),
            Place::Wait(mut flight) => {
                let landed = timeout_at(deadline.into(), flight.wait_for(Option::is_some)).await;
                match landed.map_err(|_| WaitedTooLong)? {
                    Ok(answer) => {
                        if let Some(stored) = answer.as_ref() {
                            return Ok(Lookup::Joined(Arc::clone(stored)));
                        }
                    }
                    // The leader left without an answer: look for a new place.
                    Err(_left) => {}
                }
            }
        }
    }
}

/// Under one lock: join the flight, or lead it. A leader stores before it leaves the map, so whoever finds no flight
/// here must look once more.
fn place(cache: &Arc<AnswerCache>, key: Key) -> Place {
    let mut flights = cache.flights.0.lock();
    if let Some(flight) = flights.get(&key) {
        return Place::Wait(flight.clone());
    }
    if let Some(stored) = cache.answers.get(&key) {
        return Place::Stored(stored);
    }
    let (tell, hear) = watch::channel(None);
    flights.insert(key, hear);
    Place::Lead(Leader { cache: Arc::clone(cache), key, tell })
}

impl Leader {
    /// Stores the answer and hands it to all who wait.
    pub(crate) fn finish(self, stored: Arc<Stored>) {
        self.cache.answers.insert(self.key, Arc::clone(&stored));
        self.tell.send_replace(Some(stored));
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
    use std::time::Duration;

    use forebay_oip::{InferRequest, InferResponse, Parameters};

    use super::*;
    use crate::cache::key::Scope;

    fn key() -> Key {
        let scope = Scope { tenant: None, model: "m", version: None, digest: "", jurisdictions: &[], policies: &[] };
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
        Arc::new(Stored::new(answer, Instant::now(), Duration::from_secs(60)))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    async fn lead(cache: &Arc<AnswerCache>) -> Leader {
        match lookup(cache, key(), soon()).await.unwrap() {
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
                tokio::spawn(async move { lookup(&cache, key(), soon()).await.unwrap() })
            })
            .collect();
        tokio::task::yield_now().await;
        leader.finish(stored());
        for waiter in waiters {
            match waiter.await.unwrap() {
                Lookup::Hit(stored) | Lookup::Joined(stored) => assert_eq!(stored.answer.id, None),
                Lookup::Lead(_) => panic!("asked twice"),
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
            async move { lookup(&cache, key(), soon()).await.unwrap() }
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
        assert!(lookup(&cache, key(), Instant::now()).await.is_err());
    }
}
