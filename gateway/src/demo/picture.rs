//! The picture that the tour shows to the text recogniser.

/// One line of black text on white, PNG.
pub(super) const LINE_PNG: &[u8] = include_bytes!("line.png");

/// What stands on it.
pub(super) const LINE_TEXT: &str = "Forebay serves 2026";
