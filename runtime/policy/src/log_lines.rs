//! The log lines of one plugin over all its calls: how many there may be, and what they may hold.
//!
//! A line is for an operator's eyes, and a log is copied to more places than anybody remembers. A plugin never sees a
//! token in `authorization`, but one may stand in another field, in a query or in a body; whatever looks like one is
//! taken out. That guards against carelessness: a plugin that means to can always write a secret in another form.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lines that a plugin may write in a second, over all its calls, and at once after a pause.
const LINES_PER_SECOND: u32 = 100;
/// How often the number of dropped lines is told.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// What stands in place of what looked like a token.
const REDACTED: &str = "[redacted]";
/// How a JSON object begins in base64url: so does the first part of every JWT and JWE.
const OBJECT: &str = "eyJ";
/// Fewer characters than this from there on are a word.
const TOKEN_CHARS: usize = 16;
/// Schemes whose credentials follow them (RFC 6750, RFC 9449).
const SCHEMES: [&str; 2] = ["bearer", "dpop"];
/// The fewest characters of credentials behind a scheme.
const CREDENTIAL_CHARS: usize = 8;

/// The lines of one plugin, over all its calls.
#[derive(Debug)]
pub struct LogLines(Mutex<State>);

#[derive(Debug)]
struct State {
    budget: Budget,
    dropped: u64,
    told: Option<Instant>,
}

impl Default for LogLines {
    fn default() -> Self {
        Self(Mutex::new(State { budget: Budget::new(), dropped: 0, told: None }))
    }
}

impl LogLines {
    /// Takes one line of the budget; false when it is used up.
    pub(crate) fn take(&self, now: Instant) -> bool {
        self.0.lock().budget.take(now)
    }

    /// Notes lines that were not written. How many it were since the last time, when it is time to say so.
    pub(crate) fn dropped(&self, lines: u32, now: Instant) -> Option<u64> {
        let mut state = self.0.lock();
        state.dropped = state.dropped.saturating_add(lines.into());
        if state.told.is_some_and(|told| now.saturating_duration_since(told) < TOLD_EVERY) {
            return None;
        }
        state.told = Some(now);
        Some(std::mem::take(&mut state.dropped))
    }
}

/// A token bucket, by the time at which it would be full.
#[derive(Debug)]
struct Budget {
    full: Option<Instant>,
}

impl Budget {
    fn new() -> Self {
        Self { full: None }
    }

    fn take(&mut self, now: Instant) -> bool {
        let one = Duration::from_secs(1) / LINES_PER_SECOND;
        let full = self.full.map_or(now, |full| full.max(now)) + one;
        let within = full.saturating_duration_since(now) <= one * LINES_PER_SECOND;
        if within {
            self.full = Some(full);
        }
        within
    }
}

/// A text without what looks like a token: a run of token characters that holds the beginning of a JWT or JWE, whole or
/// not, and what follows the word `Bearer` or `DPoP`.
pub(crate) fn redact(text: &str) -> Cow<'_, str> {
    let mut clean = String::new();
    let mut kept = 0;
    let mut at = 0;
    let mut expects_credentials = false;
    while let Some(run) = next_run(text, at) {
        let word = text.get(run.clone()).unwrap_or_default();
        at = run.end;
        let is_secret = holds_token(word) || (expects_credentials && word.len() >= CREDENTIAL_CHARS);
        expects_credentials = SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme));
        if is_secret {
            clean.push_str(text.get(kept..run.start).unwrap_or_default());
            clean.push_str(REDACTED);
            kept = run.end;
        }
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    clean.push_str(text.get(kept..).unwrap_or_default());
    Cow::Owned(clean)
}

/// A text of a guest for the eyes of an operator: without what looks like a token, of at most so many bytes, and with what
/// could forge another line escaped.
pub(crate) fn told(text: &str, bytes: usize) -> String {
    // Before the cut, so that no half of a token is left; what is far behind it is not looked at.
    let clean = redact(cut(text, bytes.saturating_mul(4)));
    let mut escaped = String::new();
    for c in cut(&clean, bytes).chars() {
        if c.is_control() { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    escaped.truncate(escaped.floor_char_boundary(bytes));
    escaped
}

fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

/// The next run of characters that credentials are made of (RFC 9110, section 11.2).
fn next_run(text: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
    let rest = text.get(from..)?;
    let start = rest.find(is_token)?;
    let run = rest.get(start..)?;
    let length = run.find(|c| !is_token(c)).unwrap_or(run.len());
    Some(from + start..from + start + length)
}

fn holds_token(word: &str) -> bool {
    word.find(OBJECT).is_some_and(|begin| word.len() - begin >= TOKEN_CHARS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_bounded_over_calls_and_come_back_with_time() {
        let (lines, start) = (LogLines::default(), Instant::now());
        let taken = |at: Duration| (0..1_000).filter(|_| lines.take(start + at)).count();
        assert_eq!(taken(Duration::ZERO), 100);
        assert_eq!(taken(Duration::from_millis(100)), 10);
        assert_eq!(taken(Duration::from_secs(60)), 100);
    }

    #[test]
    fn drops_are_told_now_and_then() {
        let (lines, start) = (LogLines::default(), Instant::now());
        assert_eq!(lines.dropped(3, start), Some(3));
        assert_eq!(lines.dropped(4, start + Duration::from_millis(500)), None);
        assert_eq!(lines.dropped(5, start + Duration::from_millis(1_000)), Some(9));
    }

    #[test]
    fn what_looks_like_a_token_is_taken_out() {
        let jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
        for (text, expected) in [
            (format!("token {jwt} refused"), "token [redacted] refused"),
            (format!("x-token={jwt}"), "x-token=[redacted]"),
            (format!("\"{jwt}\","), "\"[redacted]\","),
            ("cut short: eyJhbGciOiJFUzI1N".to_owned(), "cut short: [redacted]"),
            (format!("/callback/{jwt}"), "[redacted]"),
            ("Authorization: Bearer 0123456789abcdef==".to_owned(), "Authorization: Bearer [redacted]=="),
            ("BEARER\t0123456789".to_owned(), "BEARER\t[redacted]"),
            ("dpop: opaque-token_1".to_owned(), "dpop: [redacted]"),
        ] {
            assert_eq!(redact(&text), expected);
        }
        for text in ["eyJ is how it begins", "the bearer of news", "tenant acme: 3 of 10 left", ""] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn lines_are_cut_between_characters_and_escaped() {
        assert_eq!(told("a\nb\u{1b}[31m", 512), "a\\nb\\u{1b}[31m");
        let long = format!("{}é", "x".repeat(511));
        assert_eq!(told(&long, 512).len(), 511);
        let late = format!("{} eyJhbGciOiJFUzI1NiJ9.e30.c2ln", "x".repeat(512 - 15));
        assert!(!told(&late, 512).contains("eyJ"));
        assert!(told(&"\u{7}".repeat(512), 512).len() <= 512);
    }

    proptest! {
        #[test]
        fn a_token_in_any_text_is_gone_and_other_text_stays(
            before in "[ -~\u{e4}\u{4e2d}]{0,40}", token in "eyJ[A-Za-z0-9_-]{13,60}(\\.[A-Za-z0-9_-]{0,60}){0,4}", after in "[ ,;\"][ -~]{0,40}",
        ) {
            let text = format!("{before}{token}{after}");
            prop_assert!(!redact(&text).contains(&token));
            let plain = text.replace(['J', 'r', 'R', 'p', 'P'], "");
            prop_assert_eq!(redact(&plain), plain.as_str());
        }
    }
}
