//! The phases of a request that a plugin may hook into.

use std::fmt;

/// Whose body or trailers a hook is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// From the client.
    Request,
    /// To the client.
    Response,
}

/// A phase, named as its hook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The head of a request, after identity.
    Request,
    /// The whole body of a request.
    RequestBody,
    /// A part of the body of a request.
    RequestChunk,
    /// A message about to leave the PoP.
    Forward,
    /// Its answer as it came back.
    Return,
    /// The head of what goes to the client.
    Response,
    /// The whole body of a response.
    ResponseBody,
    /// A part of the body of a response.
    ResponseChunk,
    /// The trailers of either.
    Trailers,
}

impl Phase {
    /// Every phase, in the order in which a request meets them.
    pub const ALL: [Self; 9] = [
        Self::Request,
        Self::RequestBody,
        Self::RequestChunk,
        Self::Forward,
        Self::Return,
        Self::Response,
        Self::ResponseBody,
        Self::ResponseChunk,
        Self::Trailers,
    ];

    /// The name of the hook that a component exports for it.
    #[must_use]
    pub fn hook(self) -> &'static str {
        match self {
            Self::Request => "on-request",
            Self::RequestBody => "on-request-body",
            Self::RequestChunk => "on-request-chunk",
            Self::Forward => "on-forward",
            Self::Return => "on-return",
            Self::Response => "on-response",
            Self::ResponseBody => "on-response-body",
            Self::ResponseChunk => "on-response-chunk",
            Self::Trailers => "on-trailers",
        }
    }

    /// The phase in which a whole body of that side is shown.
    #[must_use]
    pub fn body(side: Side) -> Self {
        match side {
            Side::Request => Self::RequestBody,
            Side::Response => Self::ResponseBody,
        }
    }

    /// The phase in which the parts of a body of that side are shown.
    #[must_use]
    pub fn chunk(side: Side) -> Self {
        match side {
            Side::Request => Self::RequestChunk,
            Side::Response => Self::ResponseChunk,
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hook())
    }
}

/// The phases that a plugin has hooks for.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Phases(u16);

impl Phases {
    /// Whether `phase` is among them.
    #[must_use]
    pub fn has(self, phase: Phase) -> bool {
        self.0 & phase.bit() != 0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those among them, in the order in which a request meets them.
    pub fn iter(self) -> impl Iterator<Item = Phase> {
        Phase::ALL.into_iter().filter(move |phase| self.has(*phase))
    }
}

impl FromIterator<Phase> for Phases {
    fn from_iter<I: IntoIterator<Item = Phase>>(phases: I) -> Self {
        Self(phases.into_iter().fold(0, |bits, phase| bits | phase.bit()))
    }
}

impl fmt::Debug for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        for phase in Phase::ALL {
            let one: Phases = [phase].into_iter().collect();
            assert_eq!(one.iter().collect::<Vec<_>>(), [phase]);
        }
        assert!(Phases::default().is_empty());
    }
}
