//! Cuts a stream of events (`text/event-stream`) between its events, so that a plugin sees each one whole.
//!
//! Only the ends are found: a line end after a line end (HTML Living Standard, section 9.2.6). What an event says is the
//! plugin's to read, and what comes out is byte for byte what went in.

use bytes::{Bytes, BytesMut};

/// The most bytes of one event.
pub(super) const EVENT_BYTES: usize = 1024 * 1024;

/// An event is longer than [`EVENT_BYTES`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// What came and makes no whole event yet.
#[derive(Debug, Default)]
pub(super) struct Events {
    held: BytesMut,
    /// How far `held` was looked through.
    seen: usize,
    /// Where the line in work begins; an empty line ends an event.
    line: usize,
}

impl Events {
    /// Takes bytes and gives the events that they complete.
    ///
    /// # Errors
    /// [`TooLong`]; nothing can be made of this stream any more.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Bytes>, TooLong> {
        self.held.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.end_of_line() {
            let empty = self.is_empty_line(end);
            self.seen = end;
            self.line = end;
            // Empty lines before an event belong to it: nobody needs to be asked about them alone.
            if empty && self.says_something(end) {
                events.push(self.held.split_to(end).freeze());
                self.seen = 0;
                self.line = 0;
            }
        }
        if self.held.len() > EVENT_BYTES || events.iter().any(|event| event.len() > EVENT_BYTES) {
            return Err(TooLong);
        }
        Ok(events)
    }

    /// What is left at the end of the stream.
    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.held).freeze()
    }

    /// The place behind the next line end. A carriage return at the very end may be half of one.
    fn end_of_line(&mut self) -> Option<usize> {
        let rest = self.held.get(self.seen..)?;
        let Some(place) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
            self.seen = self.held.len();
            return None;
        };
        let at = self.seen + place;
        match (self.held.get(at), self.held.get(at + 1)) {
            (Some(b'\r'), Some(b'\n')) => Some(at + 2),
            (Some(b'\r'), None) => {
                self.seen = at;
                None
            }
            _ => Some(at + 1),
        }
    }

    fn says_something(&self, end: usize) -> bool {
        self.held.get(..end).unwrap_or_default().iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    fn is_empty_line(&self, end: usize) -> bool {
        let line = self.held.get(self.line..end).unwrap_or_default();
        line.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::{prop_assert_eq, proptest};

    fn all(stream: &[u8], cuts: &[usize]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let (mut events, mut out, mut from) = (Events::default(), Vec::new(), 0);
        for cut in cuts.iter().copied().chain([stream.len()]) {
            out.extend(events.push(stream.get(from..cut).unwrap()).unwrap());
            from = cut;
        }
        (out.iter().map(|event| event.to_vec()).collect(), events.rest().to_vec())
    }

    #[test]
    fn an_empty_line_ends_an_event_whatever_its_line_ends_are() {
        for stream in ["data: a\n\ndata: b\n\nrest", "data: a\r\n\r\ndata: b\r\n\r\nrest", "data: a\r\rdata: b\r\rrest"]
        {
            let (events, rest) = all(stream.as_bytes(), &[]);
            assert_eq!((events.len(), rest.as_slice()), (2, &b"rest"[..]), "{stream:?}");
        }
    }

    #[test]
    fn an_event_is_bounded() {
        assert_eq!(Events::default().push(&vec![b'x'; EVENT_BYTES + 1]), Err(TooLong));
    }

    proptest! {
        #[test]
        fn where_the_network_cuts_makes_no_difference(
            stream in proptest::collection::vec(proptest::sample::select(b"ab:\r\n".as_slice()), 0..60),
            mut cuts in proptest::collection::vec(0_usize..60, 0..6),
        ) {
            cuts.retain(|cut| *cut <= stream.len());
            cuts.sort_unstable();
            let (whole, rest) = all(&stream, &[]);
            let (cut, cut_rest) = all(&stream, &cuts);
            // A carriage return at a cut waits for what follows it, so only the joined bytes are the same in that case.
            let joined = |events: &[Vec<u8>], rest: &[u8]| [events.concat(), rest.to_vec()].concat();
            prop_assert_eq!(joined(&whole, &rest), stream.clone());
            prop_assert_eq!(joined(&cut, &cut_rest), stream);
            prop_assert_eq!(whole, cut);
        }
    }
}
