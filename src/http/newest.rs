//! The newest messages of a mailbox, for the API's list and the mailbox's page.

use crate::clock::Now;
use crate::limits::HEADER_PREVIEW_BYTES;
use crate::store::{Lost, MailboxName, Message};

use super::desk::Desk;
use super::held::Full;
use super::message::view::Summary;

/// The newest messages of a mailbox.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Newest {
    /// How many there are.
    pub(super) held: usize,
    /// How many the mailbox has lost, and why.
    pub(super) lost: Lost,
}

impl Newest {
    /// Shows at most `limit` of them, oldest first, one at a time: all of them together may be
    /// long. Costs two looks at each of them, and a read of their beginnings.
    pub(super) fn visit(
        name: &MailboxName,
        limit: usize,
        desk: &mut Desk<'_>,
        now: Now,
        mut show: impl FnMut(Message, Summary) -> Result<(), Full>,
    ) -> Result<Self, Full> {
        let Some(mailbox) = desk.store.find(name) else { return Ok(Self::default()) };
        let held = desk.store.held(mailbox, now);
        let mut cursor = desk.store.newest(mailbox, limit, now);
        while let Some(message) = desk.store.next(&mut cursor, now) {
            let beginning = desk.scratch.read(desk.store, &message, HEADER_PREVIEW_BYTES);
            let envelope = desk.store.read_envelope(&message);
            show(message, Summary::of_beginning(beginning, &envelope))?;
        }
        Ok(Self { held, lost: desk.store.lost(mailbox, now) })
    }
}
