//! Text of callers and of ONNX Runtime on its way into our messages: shortened, and without control characters.

/// Longest name that is repeated, in characters.
const NAME_CHARS: usize = 80;

/// A caller's name for something, fit to stand in a sentence.
pub(crate) fn quote(name: &str) -> String {
    clip(name, NAME_CHARS)
}

/// The text, cut after `max_chars` characters.
pub(crate) fn clip(text: &str, max_chars: usize) -> String {
    let tame = |letter: char| if letter.is_control() { ' ' } else { letter };
    let mut letters = text.chars().map(tame);
    let mut clipped: String = letters.by_ref().take(max_chars).collect();
    if letters.next().is_some() {
        clipped.push_str("...");
    }
    clipped
}

#[cfg(test)]
mod tests {
    use super::clip;

    #[test]
    fn only_what_is_too_long_is_cut() {
        for (text, expected) in [("", ""), ("äbc", "äbc"), ("äbcd", "äbc..."), ("a\n\0", "a  ")] {
            assert_eq!(clip(text, 3), expected);
        }
    }
}
