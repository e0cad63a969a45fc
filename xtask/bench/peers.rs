//! Setting up each gateway for a job, with the same certificate, two threads and no access log.

pub(crate) mod envoy;
pub(crate) mod forebay;
pub(crate) mod haproxy;
pub(crate) mod nginx;

/// Threads of every contender.
const THREADS: usize = 2;
