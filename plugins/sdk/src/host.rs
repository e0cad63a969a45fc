//! The host, one module for each interface of the contract. Natively each asks the double in `testing`.

pub mod body;
pub mod clock;
pub mod counters;
pub mod identity;
pub mod inference;
pub mod journal;
pub mod key_value;
pub mod keys;
pub mod log;
pub mod metrics;
pub mod notes;
pub mod outbound;
pub mod random;
pub mod sealing;
