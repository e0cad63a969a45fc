//! The HTTP edge that a gateway node and a regional node share.
//!
//! A node that faces the internet owes every peer the same things whatever it serves: a handshake that stalls nobody
//! else, headers and connections within limits, an end to idle and stalled peers, a drain that loses no request, and
//! refusals in one form. This crate does these once. It is also the only place that names hyper's server types:
//! handlers see [`http::Request`] and [`http::Response`] with a [`Body`].
//!
//! ```text
//! Listener::bind -> Listener::serve -> (connection: handshake, limits, watchdog) -> Handler::handle
//! ```
//!
//! It must not know routes, policies, models or configuration files.

pub mod body;
mod connection;
pub mod dev_ca;
mod error;
mod limits;
mod listener;
mod panics;
pub mod problem;
mod stats;
pub mod tls;

pub use body::{Body, BodyError, BodySender, Finish, collect_bounded};
pub use connection::authority::authority;
pub use connection::info::{ClientCertificate, ConnectionInfo, TlsInfo};
pub use connection::upgrade::{Upgrade, Upgraded};
pub use dev_ca::{DevCa, DevCaFiles};
pub use error::HttpError;
pub use limits::Limits;
pub use listener::{Drained, Handler, Listener};
pub use panics::log_panics_by_location;
pub use problem::{Problem, ProblemType};
pub use stats::{ListenerCounts, ListenerStats};
pub use tls::TlsHandle;

/// The body of a request as a handler receives it.
pub type RequestBody = Body;

/// The body of a response as a handler returns it.
pub type ResponseBody = Body;
