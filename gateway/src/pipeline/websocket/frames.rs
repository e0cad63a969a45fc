//! Where in the frames of a WebSocket a stream of bytes stands (RFC 6455, section 5.2). Nothing is kept but a header.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, OpCode};

/// A place in a stream of frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The header that is not whole yet.
    header: Vec<u8>,
    /// Of the present frame.
    payload_left: u64,
    /// There was a close frame.
    closed: bool,
    /// These are no frames.
    lost: bool,
}

impl Frames {
    /// These bytes follow.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !self.lost {
            let in_payload = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
            self.payload_left -= in_payload as u64;
            let Some((next, rest)) = bytes.get(in_payload..).and_then(<[u8]>::split_first) else {
                return;
            };
            bytes = rest;
            self.header.push(*next);
            match FrameHeader::parse(&mut Cursor::new(&self.header)) {
                Ok(Some((header, payload))) => {
                    self.closed |= header.opcode == OpCode::Control(Control::Close);
                    self.payload_left = payload;
                    self.header.clear();
                }
                Ok(None) => {}
                Err(_) => self.lost = true,
            }
        }
    }

    /// Whether a close frame was among them.
    pub(super) fn has_closed(&self) -> bool {
        self.closed
    }

    /// Whether the bytes so far are whole frames.
    pub(super) fn is_between(&self) -> bool {
        !self.lost && self.header.is_empty() && self.payload_left == 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    use super::*;

    fn frame(length: usize, mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut frame = Frame::message(vec![7; length], OpCode::Data(Data::Binary), true);
        frame.header_mut().mask = mask;
        let mut bytes = Vec::new();
        frame.format(&mut bytes).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn frames_end_where_they_end(
            lengths in prop::collection::vec(prop_oneof![0_usize..200, Just(126), Just(65_535), Just(65_536)], 1..4),
            mask in any::<Option<[u8; 4]>>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut ends = vec![0];
            let mut bytes = Vec::new();
            for length in lengths {
                bytes.extend(frame(length, mask));
                ends.push(bytes.len());
            }
            let cut = cut.index(bytes.len() + 1);
            let mut frames = Frames::default();
            frames.pass(bytes.get(..cut).unwrap());
            prop_assert_eq!(frames.is_between(), ends.contains(&cut));
            frames.pass(bytes.get(cut..).unwrap());
            prop_assert!(frames.is_between() && !frames.has_closed());
            frames.pass(&[0x88, 0]);
            prop_assert!(frames.is_between() && frames.has_closed());
        }

        #[test]
        fn anything_may_come(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..16)) {
            let mut frames = Frames::default();
            for part in parts {
                frames.pass(&part);
            }
        }
    }
}
