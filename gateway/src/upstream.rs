//! Stage `forward`: which region answers, and how a request gets there and back inside its deadline.
//!
//! Decisions (`balance`, `health`, `latency`, `budget`) are pure functions of state and `now`; `attempt` and `probe` are
//! the thin shell that does the network.

mod attempt;
pub(crate) mod balance;
pub(crate) mod budget;
pub(crate) mod client;
pub(crate) mod forward;
pub(crate) mod health;
pub(crate) mod latency;
pub(crate) mod probe;
pub(crate) mod proxy;
pub(crate) mod region;
pub(crate) mod regions;
pub(crate) mod trailers;
pub(crate) mod websocket;
