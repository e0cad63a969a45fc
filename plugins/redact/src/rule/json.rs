//! JSON bodies: the strings are texts, and all else goes on byte for byte.
//!
//! A string is read with its escapes resolved, so that `\u0040` does not hide an `@`, and written again with the escapes
//! that it needs. What is not JSON goes through as it is; who reads it will say so.

use super::config::Config;
use super::flow::{Counts, Flow};

/// A JSON body on its way.
#[derive(Debug, Default)]
pub(super) struct Json {
    /// The string that is being read.
    string: Option<Flow>,
    /// The beginning of an escape or of a character that the network cut, or of the second half of a surrogate pair.
    cut: Vec<u8>,
}

/// What stands at a place inside a string.
enum Unit {
    /// So many bytes that mean this character.
    Char(usize, char),
    /// So many bytes that mean no character: half a surrogate pair, or a mistake.
    Odd(usize),
    /// The string ends.
    End,
    /// More must come to tell.
    Open,
}

impl Json {
    pub(super) fn push(&mut self, config: &Config, piece: &[u8], last: bool, counts: &mut Counts) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.cut);
        bytes.extend_from_slice(piece);
        let mut out = Vec::with_capacity(bytes.len());
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            rest = match self.string.is_some() {
                true => self.inside(config, rest, last, counts, &mut out),
                false => self.outside(rest, &mut out),
            };
        }
        if let (true, Some(flow)) = (last, &mut self.string) {
            escape(&flow.push(config, "", true, counts), &mut out);
        }
        out
    }

    /// Up to the next string.
    fn outside<'b>(&mut self, rest: &'b [u8], out: &mut Vec<u8>) -> &'b [u8] {
        let end = rest.iter().position(|b| *b == b'"').map_or(rest.len(), |at| at + 1);
        let (before, after) = rest.split_at(end);
        out.extend_from_slice(before);
        if before.ends_with(b"\"") {
            self.string = Some(Flow::default());
        }
        after
    }

    /// Up to the end of the string or of the piece.
    fn inside<'b>(
        &mut self,
        config: &Config,
        mut rest: &'b [u8],
        last: bool,
        counts: &mut Counts,
        out: &mut Vec<u8>,
    ) -> &'b [u8] {
        let Some(flow) = &mut self.string else { return rest };
        let mut text = String::new();
        loop {
            match unit(rest, last) {
                Unit::Char(length, c) => {
                    text.push(c);
                    rest = rest.get(length..).unwrap_or_default();
                }
                Unit::Odd(length) => {
                    escape(&flow.push(config, &text, true, counts), out);
                    text.clear();
                    let (odd, after) = rest.split_at(length.min(rest.len()));
                    out.extend_from_slice(odd);
                    rest = after;
                }
                Unit::End => {
                    escape(&flow.push(config, &text, true, counts), out);
                    out.push(b'"');
                    self.string = None;
                    return rest.get(1..).unwrap_or_default();
                }
                Unit::Open => {
                    escape(&flow.push(config, &text, false, counts), out);
                    self.cut = rest.to_vec();
                    return &[];
                }
            }
        }
    }
}

fn unit(rest: &[u8], last: bool) -> Unit {
    let open = |rest: &[u8]| if last && !rest.is_empty() { Unit::Odd(rest.len()) } else { Unit::Open };
    match rest {
        [] => Unit::Open,
        [b'"', ..] => Unit::End,
        [b'\\'] => open(rest),
        [b'\\', b'u', ..] => escaped(rest, last),
        [b'\\', symbol, ..] => match symbol {
            b'"' | b'\\' | b'/' => Unit::Char(2, char::from(*symbol)),
            b'b' => Unit::Char(2, '\u{8}'),
            b'f' => Unit::Char(2, '\u{c}'),
            b'n' => Unit::Char(2, '\n'),
            b'r' => Unit::Char(2, '\r'),
            b't' => Unit::Char(2, '\t'),
            _ => Unit::Odd(2),
        },
        [ascii, ..] if ascii.is_ascii() => Unit::Char(1, char::from(*ascii)),
        _ => encoded(rest, last),
    }
}

/// A character of several bytes.
fn encoded(rest: &[u8], last: bool) -> Unit {
    let head = rest.get(..rest.len().min(4)).unwrap_or_default();
    let (valid, error) = match std::str::from_utf8(head) {
        Ok(text) => (text, None),
        Err(error) => {
            let valid = head.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok());
            (valid.unwrap_or_default(), Some(error))
        }
    };
    match (valid.chars().next(), error.and_then(|error| error.error_len())) {
        (Some(c), _) => Unit::Char(c.len_utf8(), c),
        (None, Some(length)) => Unit::Odd(length),
        (None, None) if last => Unit::Odd(rest.len()),
        (None, None) => Unit::Open,
    }
}

/// `\u` and four digits, or two of them for a character beyond the first plane.
fn escaped(rest: &[u8], last: bool) -> Unit {
    let code = |at: usize| {
        let digits = rest.get(at..at + 4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    if rest.len() < 6 {
        return if last { Unit::Odd(rest.len()) } else { Unit::Open };
    }
    match code(2) {
        None => Unit::Odd(2),
        Some(high @ 0xd800..=0xdbff) => match (rest.get(6..8), code(8)) {
            (Some(b"\\u"), Some(low @ 0xdc00..=0xdfff)) => {
                let c = char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00));
                c.map_or(Unit::Odd(6), |c| Unit::Char(12, c))
            }
            // The other half may still come.
            _ if !last && rest.len() < 12 && b"\\u".starts_with(rest.get(6..8.min(rest.len())).unwrap_or_default()) => {
                Unit::Open
            }
            _ => Unit::Odd(6),
        },
        Some(code) => char::from_u32(code).map_or(Unit::Odd(6), |c| Unit::Char(6, c)),
    }
}

/// Writes a text as the inside of a string.
fn escape(text: &str, out: &mut Vec<u8>) {
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\0'..='\u{1f}' => out.extend(format!("\\u{:04x}", u32::from(c)).into_bytes()),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}
