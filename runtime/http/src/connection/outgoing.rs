//! A response's body on its way out: it keeps its connection busy, and over HTTP/2 it tells the watchdog when it waits
//! for the peer.
//!
//! Three things may wait: the body, from when hyper has it until hyper asks it for more; and each piece of data, until
//! the socket has taken its last byte. While the body's source has nothing, and all pieces are gone, nobody waits for
//! the peer. Over HTTP/1 whatever waits blocks the socket, which is watched there.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::activity::{Claim, InFlight, Tracked};
use crate::body::{Body, BodyError};

/// What hyper gets as the body of a response.
#[derive(Debug)]
pub(super) struct Outgoing {
    body: Body,
    /// The body's own claim.
    claim: Option<Claim>,
    /// None over HTTP/1.
    tracked: Option<Tracked>,
    /// Nothing of the body may be sent, and hyper would: it knows HEAD, 204 and 304 in HTTP/1 only.
    withheld: bool,
    #[expect(dead_code, reason = "held for its drop")]
    in_flight: InFlight,
}

/// Data that hyper holds until the peer takes it.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Bytes,
    claim: Option<Claim>,
}

impl Outgoing {
    /// `bodyless`: the response has no content whatever its body holds (RFC 9110 section 6.4.1).
    pub(super) fn new(body: Body, in_flight: InFlight, http2: bool, bodyless: bool) -> Self {
        let body = if bodyless { body.unsent() } else { body };
        let withheld = http2 && bodyless;
        let tracked = (http2 && !withheld && !body.is_end_stream()).then(|| in_flight.track());
        let claim = tracked.as_ref().map(Tracked::claim);
        Self { body, claim, tracked, withheld, in_flight }
    }
}

impl HttpBody for Outgoing {
    type Data = Piece;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, BodyError>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        let Poll::Ready(Some(Ok(frame))) = frame else {
            this.claim = None;
            return frame.map(|end| end.map(|result| result.map(|frame| frame.map_data(Piece::untracked))));
        };
        let Some(tracked) = &this.tracked else {
            return Poll::Ready(Some(Ok(frame.map_data(Piece::untracked))));
        };
        this.claim.get_or_insert_with(|| tracked.claim());
        Poll::Ready(Some(Ok(frame.map_data(|bytes| Piece { bytes, claim: Some(tracked.claim()) }))))
    }

    fn is_end_stream(&self) -> bool {
        self.withheld || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Piece {
    fn untracked(bytes: Bytes) -> Self {
        Self { bytes, claim: None }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.bytes.chunks_vectored(slices)
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(claim) = &self.claim {
            claim.progress();
        }
    }
}
