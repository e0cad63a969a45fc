//! What a run read from outside, in the order in which it read it.
//!
//! Wasm without effects is deterministic: given the same component, configuration and answers, a run asks the
//! same questions and ends alike. So the reads of a run, with what they found, are the whole reason for its
//! verdict. They are what the memo is made of and what a replay feeds. Reads of what the run itself wrote are
//! not among them, since they follow from the others.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::facts::{Read, Value};

/// How much of a run is traced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceLimits {
    /// The most different reads.
    pub(crate) reads: usize,
    /// The most bytes of the name and of the value of one read.
    pub(crate) read_bytes: usize,
    /// The most bytes of all of them.
    pub(crate) total_bytes: usize,
}

impl TraceLimits {
    /// Whether reads that were traced within other limits are within these.
    pub(crate) fn allow(self, reads: &Reads) -> bool {
        let bytes = || reads.iter().map(|(read, value)| read.name().len() + value.len());
        reads.len() <= self.reads
            && bytes().all(|bytes| bytes <= self.read_bytes)
            && bytes().sum::<usize>() <= self.total_bytes
    }
}

/// What a run read, and what it found.
pub(crate) type Reads = Vec<(Read<'static>, Value<'static>)>;

/// The trace of one run. Whoever wants it keeps a clone, since the state of a call that failed is gone with it.
#[derive(Clone, Debug)]
pub(crate) struct Tracer(Arc<Mutex<Trace>>);

/// A run that exceeds the limits has no trace, rather than a part of one.
#[derive(Debug)]
struct Trace {
    limits: TraceLimits,
    reads: Reads,
    bytes: usize,
    over: bool,
}

impl Tracer {
    /// The trace of a run that begins.
    pub(crate) fn new(limits: TraceLimits) -> Self {
        let reads = Vec::with_capacity(limits.reads.min(8));
        Self(Arc::new(Mutex::new(Trace { limits, reads, bytes: 0, over: false })))
    }

    /// Notes a read. One that was made before found the same and says nothing new.
    pub(crate) fn note(&self, read: &Read<'_>, value: &Value<'_>) {
        self.0.lock().note(read, value);
    }

    /// The reads so far, or none when there was too much to trace.
    pub(crate) fn finish(&self) -> Option<Reads> {
        let mut trace = self.0.lock();
        (!trace.over).then(|| std::mem::take(&mut trace.reads))
    }
}

impl Trace {
    fn note(&mut self, read: &Read<'_>, value: &Value<'_>) {
        if self.over || self.reads.iter().any(|(before, _)| before == read) {
            return;
        }
        let bytes = read.name().len() + value.len();
        self.bytes = self.bytes.saturating_add(bytes);
        let full = self.reads.len() >= self.limits.reads || self.bytes > self.limits.total_bytes;
        if full || bytes > self.limits.read_bytes {
            self.over = true;
            self.reads = Vec::new();
            return;
        }
        self.reads.push((read.to_owned(), value.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::borrow::Cow;

    use super::*;

    const LIMITS: TraceLimits = TraceLimits { reads: 2, read_bytes: 8, total_bytes: 12 };

    fn text(text: &str) -> Value<'_> {
        Value::Bytes(Cow::Borrowed(text.as_bytes()))
    }

    #[test]
    fn a_read_is_noted_once_and_in_order() {
        let trace = Tracer::new(LIMITS);
        trace.note(&Read::Path, &text("/a"));
        trace.note(&Read::Header("x".into()), &Value::Nothing);
        trace.note(&Read::Path, &text("/a"));
        let reads = trace.finish().unwrap();
        assert_eq!(reads, [(Read::Path, text("/a")), (Read::Header("x".into()), Value::Nothing)]);
    }

    #[test]
    fn too_many_or_too_long_reads_leave_no_trace() {
        let many = Tracer::new(LIMITS);
        for read in [Read::Path, Read::Host, Read::Method] {
            many.note(&read, &Value::Nothing);
        }
        assert!(many.finish().is_none());
        let long = Tracer::new(LIMITS);
        long.note(&Read::Header("x-12".into()), &text("12345"));
        long.note(&Read::Path, &Value::Nothing);
        assert!(long.finish().is_none());
        let much = Tracer::new(LIMITS);
        much.note(&Read::Path, &text("1234567"));
        much.note(&Read::Host, &text("123456"));
        assert!(much.finish().is_none());
    }
}
