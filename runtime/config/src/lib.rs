//! Strict loading of TOML configuration files.
//!
//! An operator who starts a node at three in the morning wants every mistake of a file in one reading, each with its
//! line and key path, not the first of nine. A file is therefore read in two steps. [`parse`] turns text into a type
//! and reports every syntax error, wrong type, missing key and unknown key; a [`Check`] then collects what only the
//! program can know (a region that does not exist, two routes that overlap) in the same form.
//!
//! Two rules for the types that are loaded here:
//! * Unknown keys are mistakes. They are refused even where `#[serde(deny_unknown_fields)]` was forgotten, except in
//!   structs with `#[serde(flatten)]`; write the attribute anyway, since it brings the "did you mean" hint.
//! * Prefer externally tagged enums. Serde buffers the others, and the place of a mistake inside them is then only
//!   known as far as the enclosing table.
//!
//! Values never appear in messages, since a value may be a secret. A type that parses itself from a string must keep
//! to this in its own error text.
//!
//! This crate knows no key of any Forebay file.

mod check;
mod collect;
mod deserializer;
mod error;
mod key_path;
mod load;
mod mistake;
mod source;
mod tree;

pub use check::{Check, did_you_mean};
pub use key_path::{index, join};
pub use load::{Loaded, MAX_FILE_BYTES, load, parse};
pub use mistake::{MAX_MISTAKES, Mistake, Mistakes};
pub use source::{Position, Source};
