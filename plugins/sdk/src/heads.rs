//! Heads: requests, responses and trailers, read one attribute at a time.

#[cfg(target_family = "wasm")]
pub use crate::bindings::host::forebay::policy::http::{Request, Response, Trailers, current_request};
#[cfg(not(target_family = "wasm"))]
pub use crate::testing::heads::{Request, Response, Trailers, current_request};

impl Request {
    /// A field's value as text; none also when it is not UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        String::from_utf8(self.header(name)?).ok()
    }

    /// Sets a field to a text.
    pub fn set(&self, name: &str, value: &str) {
        self.set_header(name, value.as_bytes());
    }
}

impl Response {
    /// A field's value as text; none also when it is not UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        String::from_utf8(self.header(name)?).ok()
    }

    /// Sets a field to a text.
    pub fn set(&self, name: &str, value: &str) {
        self.set_header(name, value.as_bytes());
    }

    /// Adds a member to a field that is a list (RFC 9110, section 5.6.1), as `Vary` is, unless it is there already. Members are
    /// compared without case.
    pub fn add_member(&self, name: &str, member: &str) {
        let there = self.text(name).unwrap_or_default();
        if there.split(',').any(|one| one.trim().eq_ignore_ascii_case(member)) {
            return;
        }
        match there.trim() {
            "" => self.set(name, member),
            there => self.set(name, &format!("{there}, {member}")),
        }
    }
}
