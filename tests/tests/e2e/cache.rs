//! The answer cache as a caller sees it.
