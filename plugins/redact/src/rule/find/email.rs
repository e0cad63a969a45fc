//! Addresses of electronic mail, as people write them (RFC 5321, section 4.5.3.1: 64 and 255 bytes).

use super::{before, byte};

const LOCAL: usize = 64;
const DOMAIN: usize = 255;

fn is_local(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&*+-/=?^_`{|}~.".contains(&b)
}

/// The end of the address that begins here. It begins where its local part does.
pub(super) fn at(text: &[u8], start: usize) -> Option<usize> {
    if !is_local(byte(text, start)) || (is_local(before(text, start)) && !text.is_empty()) {
        return long_tail(text, start);
    }
    end(text, start)
}

/// A run of more characters than a local part may have: its last 64 are one all the same.
fn long_tail(text: &[u8], start: usize) -> Option<usize> {
    let run = local_run(text, start);
    (run == LOCAL && byte(text, start + run) == b'@').then(|| end(text, start)).flatten()
}

fn local_run(text: &[u8], start: usize) -> usize {
    text.iter().skip(start).take(LOCAL + 1).take_while(|b| is_local(**b)).count()
}

fn end(text: &[u8], start: usize) -> Option<usize> {
    let run = local_run(text, start);
    if run == 0 || run > LOCAL || byte(text, start + run) != b'@' {
        return None;
    }
    let domain = start + run + 1;
    // The end is behind the last label that could be a top-level domain.
    let mut last = None;
    let mut label = 0;
    for at in domain..=domain + DOMAIN {
        let b = byte(text, at);
        if b.is_ascii_alphanumeric() || (b == b'-' && label > 0) {
            label += 1;
            continue;
        }
        let first = at - label;
        let name = text.get(first..at).unwrap_or_default();
        if first > domain && label >= 2 && name.iter().any(u8::is_ascii_alphabetic) {
            last = Some(at);
        }
        if b != b'.' || label == 0 {
            break;
        }
        label = 0;
    }
    last
}
