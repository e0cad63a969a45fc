//! Text bodies, in UTF-8 as far as they are.

use super::config::Config;
use super::flow::{Counts, Flow};

/// A text body on its way.
#[derive(Debug, Default)]
pub(super) struct Text {
    flow: Flow,
    /// The beginning of a character that the network cut.
    cut: Vec<u8>,
}

impl Text {
    pub(super) fn push(&mut self, config: &Config, piece: &[u8], last: bool, counts: &mut Counts) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.cut);
        bytes.extend_from_slice(piece);
        let mut out = Vec::with_capacity(bytes.len());
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    out.extend(self.flow.push(config, text, false, counts).into_bytes());
                    rest = &[];
                }
                Err(error) => {
                    let (text, odd) = rest.split_at(error.valid_up_to());
                    let text = std::str::from_utf8(text).unwrap_or_default();
                    let Some(length) = error.error_len().or(last.then_some(odd.len())) else {
                        out.extend(self.flow.push(config, text, false, counts).into_bytes());
                        self.cut = odd.to_vec();
                        break;
                    };
                    // What is no text goes on as it is, and no match reaches over it.
                    out.extend(self.flow.push(config, text, true, counts).into_bytes());
                    let (odd, after) = odd.split_at(length.min(odd.len()));
                    out.extend_from_slice(odd);
                    rest = after;
                }
            }
        }
        if last {
            out.extend(self.flow.push(config, "", true, counts).into_bytes());
        }
        out
    }
}
