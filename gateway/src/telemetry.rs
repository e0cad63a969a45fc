//! What an operator sees: metrics, the access log, `Server-Timing`, and the log's form.
//!
//! Nothing here may hold a token, a key, a body or a sealed field: the access log takes named facts, never a request.

pub mod access_log;
pub mod logs;
pub mod metrics;
pub mod timing;
pub mod trace;
