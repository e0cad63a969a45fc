//! The phases of a request that a plugin may hook into.

use std::fmt;

/// A phase, named as its hook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The head of a request, after identity.
    Request,
    /// A message about to leave the PoP.
    Forward,
    /// Its answer as it came back.
    Return,
    /// What goes to the client.
    Response,
}

impl Phase {
    /// Every phase, in the order in which a request meets them.
    pub const ALL: [Self; 4] = [Self::Request, Self::Forward, Self::Return, Self::Response];

    /// The name of the hook that a component exports for it.
    #[must_use]
    pub fn hook(self) -> &'static str {
        match self {
            Self::Request => "on-request",
            Self::Forward => "on-forward",
            Self::Return => "on-return",
            Self::Response => "on-response",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hook())
    }
}

/// The phases that a plugin has hooks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// It exports `on-request`.
    pub request: bool,
    /// It exports `on-forward`.
    pub forward: bool,
    /// It exports `on-return`.
    pub r#return: bool,
    /// It exports `on-response`.
    pub response: bool,
}

impl Phases {
    /// Whether `phase` is among them.
    #[must_use]
    pub fn has(self, phase: Phase) -> bool {
        match phase {
            Phase::Request => self.request,
            Phase::Forward => self.forward,
            Phase::Return => self.r#return,
            Phase::Response => self.response,
        }
    }
}
