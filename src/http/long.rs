//! An answer that may be long, made a part of it a turn: mail waits for no more than that. Not here:
//! what the parts are (`listing`, `source`), when a turn has time for one (the server).

use crate::clock::Now;

use super::answer::Failure;
use super::desk::Desk;
use super::listing::Listing;
use super::response::Response;
use super::source::Source;

/// An answer that is being made.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, in a box of its own")]
pub(super) enum Long {
    /// A list of messages.
    Listing(Listing),
    /// A message as it was sent.
    Source(Source),
}

impl Long {
    /// Makes a turn's share more, and says whether there may be more than that.
    ///
    /// # Errors
    /// The answer instead.
    pub(super) fn go_on(&mut self, desk: &mut Desk<'_>, now: Now) -> Result<bool, Failure> {
        match self {
            Self::Listing(listing) => Ok(listing.go_on(desk, now)?),
            Self::Source(source) => source.go_on(desk, now),
        }
    }

    /// The answer, with what has been made of it.
    ///
    /// # Errors
    /// The answer instead.
    pub(super) fn respond(self, desk: &Desk<'_>) -> Result<Response, Failure> {
        match self {
            Self::Listing(listing) => Ok(listing.respond(desk)?),
            Self::Source(source) => Ok(source.respond()),
        }
    }
}
