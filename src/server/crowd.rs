//! Whether there is next to no room for more who bring mail. Where there is none, everybody who comes is
//! work for nothing: whoever storms at a full server is let wait in the backlog instead, and only
//! some are accepted. But a server may be full of those who come, bring mail and go: then each that has
//! brought some makes room for another. Not here: how many are accepted (`net`).

use crate::clock::Now;
use crate::limits::CROWDED_MS;

/// How crowded it is where mail is brought.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// Until when it counts that the last place was taken, or that somebody had to make way. A place
    /// that is free for a moment is no room.
    until_ms: u64,
    /// For how many there is room all the same.
    places: u64,
}

impl Crowd {
    /// The last place was taken, or somebody had to make way.
    pub(super) fn grows(&mut self, now: Now) {
        self.until_ms = now.monotonic_ms + CROWDED_MS;
    }

    /// One who has brought mail has left a place, of so many.
    pub(super) fn made_room(&mut self, places_max: u64) {
        self.places = (self.places + 1).min(places_max);
    }

    /// Somebody came in.
    pub(super) fn let_in(&mut self) {
        self.places = self.places.saturating_sub(1);
    }

    /// Whether there is next to no room.
    pub(super) fn is_felt(&self, is_full: bool, now: Now) -> bool {
        (is_full || now.monotonic_ms < self.until_ms) && self.places == 0
    }
}
