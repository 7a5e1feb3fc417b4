//! The newest messages of a mailbox, for the API's list and the mailbox's page.

use crate::clock::Now;
use crate::limits::{HEADER_PREVIEW_BYTES, HTTP_LISTED_PER_TURN};
use crate::store::{Cursor, Lost, MailboxName, Message, Store};

use super::desk::Desk;
use super::held::Full;
use super::message::view::Summary;

/// The newest messages of a mailbox, as they were at one moment and as far as they are still there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Newest {
    /// The way through them, if the mailbox is known.
    cursor: Option<Cursor>,
    /// How many the mailbox had.
    pub(super) held: usize,
    /// How many it had lost, and why.
    pub(super) lost: Lost,
}

impl Newest {
    /// At most `most` of them.
    pub(super) fn of(name: &MailboxName, most: usize, store: &Store, now: Now) -> Self {
        let Some(mailbox) = store.find(name) else { return Self::default() };
        Self {
            cursor: Some(store.newest(mailbox, most, now)),
            held: store.held(mailbox, now),
            lost: store.lost(mailbox, now),
        }
    }

    /// Shows the next [`HTTP_LISTED_PER_TURN`], oldest first, and says whether there may be more.
    /// Reads their beginnings.
    pub(super) fn show(
        &mut self,
        desk: &mut Desk<'_>,
        now: Now,
        mut show: impl FnMut(Message, Summary) -> Result<(), Full>,
    ) -> Result<bool, Full> {
        let Some(cursor) = &mut self.cursor else { return Ok(false) };
        for _ in 0..HTTP_LISTED_PER_TURN {
            let Some(message) = desk.store.next(cursor, now) else { return Ok(false) };
            let beginning = desk.scratch.read(desk.store, &message, HEADER_PREVIEW_BYTES);
            let envelope = desk.store.read_envelope(&message);
            show(message, Summary::of_beginning(beginning, &envelope))?;
        }
        Ok(true)
    }
}
