//! Who has a share of a turn: mail always, and readers as far as mail has time for them. One answer
//! may be more work than a hundred messages, so a turn gives one, or a part of a long one, and none
//! when mail has piled up. Not here: the turn (`net`), whose turn it is among readers (the same).

use std::mem;

use crate::limits::{HTTP_ANSWERS_PER_TURN, HTTP_CALM_MAIL_VISITS, HTTP_TURNS_LEFT_OUT_MAX};

/// What is left of a turn for readers.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// How many readers may still be answered in this turn.
    answers_left: u32,
    /// How many turns in a row readers were left out of.
    turns_left_out: u32,
    /// How often clients who bring mail were heard in this turn.
    mail_visits: u32,
    /// An answer was begun that takes several turns. No other is begun before it is made: the memory
    /// that all of them together would hold half made has an end.
    is_making: bool,
}

impl Share {
    /// A turn begins: how much mail the last one brought says whether this one has time for readers,
    /// who are left out of [`HTTP_TURNS_LEFT_OUT_MAX`] in a row at most.
    pub(super) fn turn_begins(&mut self) {
        let is_calm = mem::take(&mut self.mail_visits) <= HTTP_CALM_MAIL_VISITS;
        if is_calm || self.turns_left_out == HTTP_TURNS_LEFT_OUT_MAX {
            (self.answers_left, self.turns_left_out) = (HTTP_ANSWERS_PER_TURN, 0);
        } else {
            self.answers_left = 0;
            self.turns_left_out += 1;
        }
    }

    /// A client who brings mail was heard.
    pub(super) fn mail_visited(&mut self) {
        self.mail_visits += 1;
    }

    /// Whether a reader may be answered, whose answer is being made or is not.
    pub(super) fn has_answer(&self, is_being_made: bool) -> bool {
        self.answers_left > 0 && self.is_making == is_being_made
    }

    /// A reader was answered, or a part of its answer was made and the rest is not.
    pub(super) fn answered(&mut self, is_being_made: bool) {
        self.answers_left = self.answers_left.saturating_sub(1);
        self.is_making = is_being_made;
    }

    /// A reader whose answer was being made has left.
    pub(super) fn left(&mut self) {
        self.is_making = false;
    }
}
