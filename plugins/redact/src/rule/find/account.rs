//! Numbers with check digits: payment cards (ISO/IEC 7812, Luhn) and bank accounts (ISO 13616, modulo 97).

use super::{before, byte};

const CARD: std::ops::RangeInclusive<usize> = 13..=19;
const IBAN: std::ops::RangeInclusive<usize> = 15..=34;

/// The end of the card number that begins here: its digits may stand in groups, with one space or hyphen between.
pub(super) fn card(text: &[u8], start: usize) -> Option<usize> {
    let previous = before(text, start);
    if previous.is_ascii_alphanumeric() || !matches!(byte(text, start), b'2'..=b'6') {
        return None;
    }
    let mut digits = Vec::with_capacity(*CARD.end());
    let mut end = None;
    let mut at = start;
    while digits.len() < *CARD.end() {
        match byte(text, at) {
            b @ b'0'..=b'9' => {
                digits.push(b - b'0');
                if CARD.contains(&digits.len()) && !byte(text, at + 1).is_ascii_alphanumeric() && is_luhn(&digits) {
                    end = Some(at + 1);
                }
            }
            b' ' | b'-' if byte(text, at + 1).is_ascii_digit() => {}
            _ => break,
        }
        at += 1;
    }
    end
}

fn is_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .zip([false, true].into_iter().cycle())
        .map(|(digit, twice)| match u32::from(*digit) * (1 + u32::from(twice)) {
            large @ 10.. => large - 9,
            small => small,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The end of the account number that begins here: in one piece, or in groups with one space between.
pub(super) fn iban(text: &[u8], start: usize) -> Option<usize> {
    let letter = |at| byte(text, at).is_ascii_alphabetic();
    let digit = |at| byte(text, at).is_ascii_digit();
    let begins = letter(start) && letter(start + 1) && digit(start + 2) && digit(start + 3);
    if !begins || before(text, start).is_ascii_alphanumeric() {
        return None;
    }
    let mut symbols = Vec::with_capacity(*IBAN.end());
    let mut end = None;
    let mut at = start;
    while symbols.len() < *IBAN.end() {
        match byte(text, at) {
            b if b.is_ascii_alphanumeric() => {
                symbols.push(b.to_ascii_uppercase());
                if IBAN.contains(&symbols.len()) && !byte(text, at + 1).is_ascii_alphanumeric() && is_mod_97(&symbols) {
                    end = Some(at + 1);
                }
            }
            b' ' if byte(text, at + 1).is_ascii_alphanumeric() => {}
            _ => break,
        }
        at += 1;
    }
    end
}

/// The first four symbols go to the end, letters count from 10, and the remainder is 1.
fn is_mod_97(symbols: &[u8]) -> bool {
    let turned = symbols.iter().skip(4).chain(symbols.iter().take(4));
    let remainder = turned.fold(0_u32, |rest, symbol| match symbol {
        b'0'..=b'9' => (rest * 10 + u32::from(symbol - b'0')) % 97,
        _ => (rest * 100 + u32::from(symbol - b'A') + 10) % 97,
    });
    remainder == 1
}
