//! Internet addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{before, byte};

/// The longest text of an IPv6 address (RFC 4291, section 2.2, with an IPv4 address at its end).
const V6: usize = 45;

/// The end of the IPv4 address that begins here.
pub(super) fn v4(text: &[u8], start: usize) -> Option<usize> {
    let previous = before(text, start);
    if !byte(text, start).is_ascii_digit() || previous.is_ascii_alphanumeric() || matches!(previous, b'.' | b':') {
        return None;
    }
    let run = run(text, start, 15, |b| b.is_ascii_digit() || b == b'.');
    // A full stop behind the address is the sentence's.
    let end = start + run.len() - usize::from(run.ends_with(b"."));
    let more = byte(text, end);
    let longer = more.is_ascii_alphanumeric() || (more == b'.' && byte(text, end + 1).is_ascii_alphanumeric());
    (!longer && std::str::from_utf8(text.get(start..end)?).ok()?.parse::<Ipv4Addr>().is_ok()).then_some(end)
}

/// The end of the IPv6 address that begins here. Four digits at least: `a::b` is a path in some languages.
pub(super) fn v6(text: &[u8], start: usize) -> Option<usize> {
    let is_part = |b: u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
    let previous = before(text, start);
    if !(byte(text, start).is_ascii_hexdigit() || byte(text, start) == b':')
        || previous.is_ascii_alphanumeric()
        || previous == b':'
    {
        return None;
    }
    let mut run = run(text, start, V6, is_part);
    while let Some(shorter) =
        run.strip_suffix(b".").or_else(|| run.strip_suffix(b":").filter(|rest| !rest.ends_with(b":")))
    {
        run = shorter;
    }
    let end = start + run.len();
    let digits = run.iter().filter(|b| b.is_ascii_hexdigit()).count();
    let colons = run.iter().filter(|b| **b == b':').count();
    if digits < 4 || colons < 2 || byte(text, end).is_ascii_alphanumeric() {
        return None;
    }
    std::str::from_utf8(run).ok()?.parse::<Ipv6Addr>().ok().map(|_| end)
}

fn run(text: &[u8], start: usize, most: usize, is_part: impl Fn(u8) -> bool) -> &[u8] {
    let length = text.iter().skip(start).take(most).take_while(|b| is_part(**b)).count();
    text.get(start..start + length).unwrap_or_default()
}
