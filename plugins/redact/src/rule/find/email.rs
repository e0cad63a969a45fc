//! Addresses of electronic mail, as people write them (RFC 5321, section 4.5.3.1: 64 and 255 bytes).

use super::byte;

const LOCAL: usize = 64;
const DOMAIN: usize = 255;

fn is_local(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&*+-/=?^_`{|}~.".contains(&b)
}

/// Tells every address: where it begins and where it ends. There is an `@` in each, and little else has one.
pub(super) fn every(text: &[u8], tell: &mut dyn FnMut(usize, usize)) {
    let (mut from, mut free) = (0, 0);
    while let Some(sign) = text.iter().skip(from).position(|b| *b == b'@').map(|at| at + from) {
        from = sign + 1;
        let before = text.get(free..sign).unwrap_or_default();
        let local = before.iter().rev().take(LOCAL).take_while(|b| is_local(**b)).count();
        if let (true, Some(end)) = (local > 0, end(text, sign + 1)) {
            tell(sign - local, end);
            (from, free) = (end, end);
        }
    }
}

/// The end of the domain that begins here: behind the last label that could be a top-level domain.
fn end(text: &[u8], domain: usize) -> Option<usize> {
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
