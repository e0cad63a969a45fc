//! What the host does for plugins beyond answering questions about a request: time, randomness, stores, keys, metrics,
//! and calls to the world outside.
//!
//! The traits are the seam to the gateway, which makes one set of [`Services`] for each plugin: what a plugin may
//! reach (its keys, its origins, its quota) is decided there, and a plugin that was not granted a capability has
//! nothing behind it. Calls come from inside a running guest, so an implementation must not block; what takes time is
//! a future, and dropping it must be safe.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

pub use crate::log_lines::LogLines;
use crate::phase::Phase;

/// What a service that may wait returns.
pub type Wait<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The time.
pub trait Clock: Send + Sync {
    /// Wall-clock time.
    fn now(&self) -> SystemTime;
    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
}

/// Randomness fit for keys.
pub trait Random: Send + Sync {
    /// Fills `bytes`. False when the generator failed, which ends the call.
    fn fill(&self, bytes: &mut [u8]) -> bool;
}

/// Why a counter or bucket could not be used. Mirrors `counters.counter-error` in `wit/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterFailure {
    /// No room for another, or the key is too long.
    Full,
    /// The store cannot be reached.
    Unavailable,
}

/// What a token bucket said. Mirrors `counters.taken` in `wit/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether the tokens were taken.
    pub granted: bool,
    /// Whole tokens that are left.
    pub remaining: u64,
    /// Until as many tokens are there as were asked for.
    pub retry_after: Duration,
    /// Until the bucket is full.
    pub reset: Duration,
}

/// What is asked of a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Take {
    /// Tokens wanted.
    pub tokens: u64,
    /// Tokens that the bucket holds at most.
    pub capacity: u64,
    /// Tokens that it gains in a minute.
    pub per_minute: u64,
}

/// Counters and token buckets of one plugin. Each operation is atomic.
pub trait Counters: Send + Sync {
    /// Adds to a counter that lives for `window` from its first addition; gives its new value.
    fn add<'a>(&'a self, key: &'a str, by: u64, window: Duration) -> Wait<'a, Result<u64, CounterFailure>>;
    /// A counter's value.
    fn get<'a>(&'a self, key: &'a str) -> Wait<'a, Result<u64, CounterFailure>>;
    /// Takes tokens from a bucket.
    fn take<'a>(&'a self, bucket: &'a str, take: Take) -> Wait<'a, Result<Taken, CounterFailure>>;
}

/// Why a value could not be kept. Mirrors `key-value.store-error` in `wit/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFailure {
    /// The quota is used up.
    Full,
    /// The key or the value is too long.
    TooLarge,
    /// The store cannot be reached.
    Unavailable,
}

/// The values of one plugin. Each operation is atomic.
pub trait KeyValue: Send + Sync {
    /// A value that is kept.
    fn get<'a>(&'a self, key: &'a str) -> Wait<'a, Result<Option<Bytes>, StoreFailure>>;
    /// Keeps a value; with `if_absent`, unless there is one. True when it was kept.
    fn set<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        ttl: Duration,
        if_absent: bool,
    ) -> Wait<'a, Result<bool, StoreFailure>>;
    /// Drops a value.
    fn delete<'a>(&'a self, key: &'a str) -> Wait<'a, Result<(), StoreFailure>>;
}

/// Why a key could not be used. Mirrors `keys.key-error` in `wit/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFailure {
    /// No key of that name for this plugin.
    NoKey,
    /// What was to be opened does not verify.
    Rejected,
}

/// The keys of one plugin. Results are bound to the plugin and the purpose.
pub trait Keys: Send + Sync {
    /// HMAC-SHA-256, 32 bytes.
    ///
    /// # Errors
    /// `NoKey`.
    fn sign(&self, key: &str, purpose: &str, data: &[u8]) -> Result<Vec<u8>, KeyFailure>;
    /// Compares a signature in constant time.
    ///
    /// # Errors
    /// `NoKey`.
    fn verify(&self, key: &str, purpose: &str, data: &[u8], signature: &[u8]) -> Result<bool, KeyFailure>;
    /// Encrypts.
    ///
    /// # Errors
    /// `NoKey`.
    fn seal(&self, key: &str, purpose: &str, text: &str) -> Result<String, KeyFailure>;
    /// Decrypts.
    ///
    /// # Errors
    /// Both.
    fn open(&self, key: &str, purpose: &str, sealed: &str) -> Result<String, KeyFailure>;
}

/// Where a plugin's own numbers go.
pub trait Numbers: Send + Sync {
    /// Adds to a count.
    fn count(&self, name: &str, by: u64);
    /// Notes one value.
    fn observe(&self, name: &str, value: f64);
}

/// A request to the world outside.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The method.
    pub method: String,
    /// An absolute URL.
    pub url: String,
    /// Header fields.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// How long the exchange may take, as the plugin wishes.
    pub timeout: Duration,
}

/// Its answer.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The status code.
    pub status: u16,
    /// Header fields whose values are text.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer. Mirrors `outbound.outbound-error` in `wit/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum OutboundFailure {
    NotAllowed,
    BadRequest,
    Unreachable,
    Timeout,
    TooLarge,
    Busy,
}

/// HTTP to the origins that a plugin may reach.
pub trait Outbound: Send + Sync {
    /// Sends a request and waits for its answer, at most until `deadline`.
    fn send(&self, request: Outgoing, deadline: Instant) -> Wait<'_, Result<Incoming, OutboundFailure>>;
}

/// A tensor of the Open Inference Protocol, as plugins pass them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainTensor {
    /// Name.
    pub name: String,
    /// Datatype: `FP32`, `BYTES` and so on.
    pub datatype: String,
    /// Shape.
    pub shape: Vec<u64>,
    /// Raw contents, little-endian, row-major.
    pub data: Bytes,
}

/// Why a model did not answer. Mirrors `inference.inference-error` in `wit/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum InferenceFailure {
    NotAllowed,
    BadInput,
    Unavailable,
    Timeout,
    TooLarge,
}

/// The models that a plugin may ask.
pub trait Inference: Send + Sync {
    /// Asks a model, in the regions that the route of the request allows, at most until `deadline`. With `within`, only
    /// in these legal areas among them: policy restricted the request to them.
    fn infer<'a>(
        &'a self,
        route: &'a str,
        within: Option<Vec<String>>,
        model: &'a str,
        inputs: Vec<PlainTensor>,
        deadline: Instant,
    ) -> Wait<'a, Result<Vec<PlainTensor>, InferenceFailure>>;
}

/// Why a record was not taken. Mirrors `journal.journal-error` in `wit/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalFailure {
    /// As many records wait to be written as may wait.
    Full,
    /// They cannot be written now.
    Unavailable,
}

/// The records of one plugin.
pub trait Journal: Send + Sync {
    /// Takes a record, which is one line, to write it in turn. Never waits for the file.
    ///
    /// # Errors
    /// It was not taken.
    fn append(&self, record: &str) -> Result<(), JournalFailure>;
}

/// What a call cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Time for which the call held a thread, in the guest and in host functions; waiting is not in it.
    pub busy: Duration,
    /// The most linear memory that its instance had, in bytes.
    pub memory_bytes: usize,
}

/// Who keeps account of what calls cost.
pub trait Meter: Send + Sync {
    /// A call has ended, well or not.
    fn called(&self, phase: Phase, tenant: Option<&str>, cost: Cost);

    /// For so long a thread was held to make instances ahead of calls and to drop those of calls that ended: work for the
    /// plugin that is on no call's bill.
    fn prepared(&self, busy: Duration) {
        let _ = busy;
    }
}

/// All that is behind one plugin's capabilities. What is `None` is not offered: a component that imports it does not
/// load.
#[derive(Clone)]
pub struct Services {
    /// Behind `clock`.
    pub clock: Arc<dyn Clock>,
    /// Behind `random`.
    pub random: Arc<dyn Random>,
    /// Behind `counters`.
    pub counters: Option<Arc<dyn Counters>>,
    /// Behind `key-value`.
    pub key_value: Option<Arc<dyn KeyValue>>,
    /// Behind `keys`.
    pub keys: Option<Arc<dyn Keys>>,
    /// Behind `metrics`.
    pub numbers: Option<Arc<dyn Numbers>>,
    /// Behind `outbound`.
    pub outbound: Option<Arc<dyn Outbound>>,
    /// Behind `inference`.
    pub inference: Option<Arc<dyn Inference>>,
    /// Behind `journal`.
    pub journal: Option<Arc<dyn Journal>>,
    /// Who is told what each call cost.
    pub meter: Option<Arc<dyn Meter>>,
    /// Behind `log`: how many lines there may be.
    pub lines: Arc<LogLines>,
}

impl Default for Services {
    /// The machine's clock and randomness, and nothing else.
    fn default() -> Self {
        Self {
            clock: Arc::new(Machine::default()),
            random: Arc::new(Machine::default()),
            counters: None,
            key_value: None,
            keys: None,
            numbers: None,
            outbound: None,
            inference: None,
            journal: None,
            meter: None,
            lines: Arc::default(),
        }
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

/// The clock and the generator of this machine.
struct Machine {
    started: Instant,
}

impl Default for Machine {
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for Machine {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Random for Machine {
    fn fill(&self, bytes: &mut [u8]) -> bool {
        use rand::TryRngCore;
        rand::rngs::OsRng.try_fill_bytes(bytes).is_ok()
    }
}
