//! Telephone numbers: `+` and 8 to 15 digits (ITU-T E.164), or ten digits in the groups of North America.

use super::{before, byte};

/// The end of the number that begins here.
pub(super) fn at(text: &[u8], start: usize) -> Option<usize> {
    let previous = before(text, start);
    if previous.is_ascii_alphanumeric() || previous == b'+' {
        return None;
    }
    match byte(text, start) {
        b'+' => international(text, start),
        b'(' | b'2'..=b'9' => american(text, start),
        _ => None,
    }
}

fn international(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    let mut digits = 0;
    if !byte(text, at).is_ascii_digit() {
        return None;
    }
    let mut end = at;
    loop {
        match byte(text, at) {
            b'0'..=b'9' => {
                digits += 1;
                at += 1;
                end = at;
            }
            // One separator, or a pair such as `) `, between digits.
            b' ' | b'-' | b'.' | b'(' | b')' | b'/' if at < end + 2 => at += 1,
            _ => break,
        }
        if digits > 15 {
            return None;
        }
    }
    (digits >= 8).then_some(end)
}

/// `(212) 555-0123`, `212-555-0123`, `212.555.0123`, `212 555 0123`.
fn american(text: &[u8], start: usize) -> Option<usize> {
    let open = byte(text, start) == b'(';
    let area = start + usize::from(open);
    digits(text, area, 3)?;
    let mut at = area + 3;
    if open {
        if byte(text, at) != b')' {
            return None;
        }
        at += 1;
    }
    at = separator(text, at).or(open.then_some(at))?;
    digits(text, at, 3)?;
    at = separator(text, at + 3)?;
    digits(text, at, 4)?;
    let end = at + 4;
    (!byte(text, end).is_ascii_alphanumeric()).then_some(end)
}

fn digits(text: &[u8], at: usize, count: usize) -> Option<()> {
    let run = text.get(at..at + count)?;
    run.iter().all(u8::is_ascii_digit).then_some(())
}

fn separator(text: &[u8], at: usize) -> Option<usize> {
    matches!(byte(text, at), b' ' | b'-' | b'.').then_some(at + 1)
}
