//! The newest messages of a mailbox, for the API's list and the mailbox's page.

use crate::clock::Now;
use crate::limits::HEADER_PREVIEW_BYTES;
use crate::store::{Lost, MailboxName, Message};

use super::desk::Desk;
use super::message::view::Summary;

/// The newest messages of a mailbox.
#[derive(Debug, Default)]
pub(super) struct Newest {
    /// The ones asked for, oldest first.
    pub(super) listed: Vec<(Message, Summary)>,
    /// How many there are.
    pub(super) held: usize,
    /// How many the mailbox has lost, and why.
    pub(super) lost: Lost,
}

impl Newest {
    /// At most `limit` of them. Costs a look at each message that the mailbox holds, and a read of
    /// the beginnings of those listed.
    pub(super) fn of(name: &MailboxName, limit: usize, desk: &mut Desk<'_>, now: Now) -> Self {
        let Some(mailbox) = desk.store.find(name) else { return Self::default() };
        let held = desk.store.messages(mailbox, now).count();
        let listed = desk
            .store
            .messages(mailbox, now)
            .skip(held.saturating_sub(limit))
            .map(|message| {
                let beginning = &mut desk.scratch.message;
                desk.store.read_body_start(&message, HEADER_PREVIEW_BYTES, beginning);
                let envelope = desk.store.read_envelope(&message);
                (message, Summary::of_beginning(beginning, &envelope))
            })
            .collect();
        Self { listed, held, lost: desk.store.lost(mailbox, now) }
    }
}
