//! Base64 for URLs without padding (RFC 4648, section 5): what fits into a log line.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The text of some bytes.
pub(super) fn url(bytes: &[u8]) -> String {
    let digit = |bits: u32| DIGITS.get((bits & 63) as usize).map_or('A', |digit| char::from(*digit));
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or_default());
        let bits = (at(0) << 16) | (at(1) << 8) | at(2);
        text.extend([18, 12, 6, 0].into_iter().take(chunk.len() + 1).map(|shift| digit(bits >> shift)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg")] {
            assert_eq!(url(bytes.as_bytes()), text);
        }
        assert_eq!(url(&[0xfb, 0xff]), "-_8");
    }
}
