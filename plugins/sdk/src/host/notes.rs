//! What a plugin leaves in one hook for its later hooks of the same request.

#[cfg(target_family = "wasm")]
pub use crate::bindings::host::forebay::policy::notes::{get, set};

/// The most notes of a plugin in a request.
#[cfg(not(target_family = "wasm"))]
const NOTES: usize = 16;
/// The most bytes of names and values in them.
#[cfg(not(target_family = "wasm"))]
const NOTE_BYTES: usize = 4 * 1024;

/// Leaves a note. False when there is no room.
#[cfg(not(target_family = "wasm"))]
#[must_use]
pub fn set(name: &str, value: &[u8]) -> bool {
    crate::testing::with(|host| {
        let others = host.notes.iter().filter(|(other, _)| *other != name);
        let (count, bytes) = others.fold((0, 0), |(n, bytes), (name, value)| (n + 1, bytes + name.len() + value.len()));
        let fits = count < NOTES && bytes + name.len() + value.len() <= NOTE_BYTES;
        if fits {
            host.notes.insert(name.to_owned(), value.to_vec());
        }
        fits
    })
}

/// The note of that name.
#[cfg(not(target_family = "wasm"))]
#[must_use]
pub fn get(name: &str) -> Option<Vec<u8>> {
    crate::testing::with(|host| host.notes.get(name).cloned())
}

/// The note of that name, as text.
#[must_use]
pub fn text(name: &str) -> Option<String> {
    String::from_utf8(get(name)?).ok()
}
