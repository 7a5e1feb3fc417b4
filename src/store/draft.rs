//! A message on its way in. All drafts together may own a bounded share of the pool; a draft that
//! would go past it is refused, and no mail that was acknowledged gives way to more than that.

use super::name::MailboxName;
use super::pool::Chain;
use super::record::{BODY_FRONT_BYTES, body_arenas_for, push_string};
use super::{Refusal, Store, StorePool};
use crate::clock::Now;
use crate::limits::PATH_BYTES_MAX;

/// An open draft: its envelope and what has come of the message so far.
///
/// It has no destructor: whoever holds it must give it back, by [`Store::commit`] or
/// [`Store::abandon`].
#[derive(Debug)]
#[must_use = "a draft owns arenas until it is committed or abandoned"]
pub struct Draft {
    /// Strings behind their lengths: the reverse-path, then the forward-path and the name of the
    /// mailbox for each recipient.
    pub(super) envelope: Chain,
    /// Room in front, then the message; empty while no byte of it had to be kept.
    pub(super) body: Chain,
    pub(super) body_bytes: usize,
    recipients: usize,
}

impl Draft {
    /// How many recipients it has.
    #[must_use]
    pub fn recipients(&self) -> usize {
        self.recipients
    }

    /// How many bytes of the message it holds.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    pub(super) fn arenas(&self) -> u32 {
        self.envelope.arenas() + self.body.arenas()
    }
}

impl Store {
    /// Opens a draft; `reverse_path` is empty for the null reverse-path, and cut at
    /// [`PATH_BYTES_MAX`].
    ///
    /// # Errors
    /// [`Refusal::DraftsFull`].
    pub fn open(&mut self, reverse_path: &[u8], now: Now) -> Result<Draft, Refusal> {
        let mut draft =
            Draft { envelope: Chain::EMPTY, body: Chain::EMPTY, body_bytes: 0, recipients: 0 };
        self.draft_envelope.clear();
        push_string(&mut self.draft_envelope, cut(reverse_path));
        self.keep_envelope(&mut draft, now)?;
        Ok(draft)
    }

    /// Adds a recipient: the forward-path as it was given (cut at [`PATH_BYTES_MAX`]), and the
    /// mailbox that it means.
    ///
    /// # Errors
    /// [`Refusal::TooManyRecipients`] or [`Refusal::DraftsFull`]; the draft stays as it was.
    pub fn add_recipient(
        &mut self,
        draft: &mut Draft,
        forward_path: &[u8],
        mailbox: &MailboxName,
        now: Now,
    ) -> Result<(), Refusal> {
        if draft.recipients >= self.capacity.recipients_max() {
            return Err(Refusal::TooManyRecipients);
        }
        self.draft_envelope.clear();
        push_string(&mut self.draft_envelope, cut(forward_path));
        push_string(&mut self.draft_envelope, mailbox.as_bytes());
        self.keep_envelope(draft, now)?;
        draft.recipients += 1;
        Ok(())
    }

    /// Keeps more of the message.
    ///
    /// # Errors
    /// [`Refusal::MessageTooLarge`] or [`Refusal::DraftsFull`]; the draft stays as it was.
    pub fn append(&mut self, draft: &mut Draft, bytes: &[u8], now: Now) -> Result<(), Refusal> {
        if bytes.len() > self.capacity.message_bytes_max.saturating_sub(draft.body_bytes) {
            return Err(Refusal::MessageTooLarge);
        }
        let before = draft.body.arenas();
        self.reserve_draft(body_arenas_for(&draft.body, bytes.len()), now)?;
        self.append_body(draft, &[bytes])?;
        self.figures.arenas_drafts += draft.body.arenas() - before;
        Ok(())
    }

    /// Gives up a draft; nothing is left of it.
    pub fn abandon(&mut self, draft: Draft) {
        self.figures.arenas_drafts -= draft.arenas();
        self.pool.free(draft.envelope);
        self.pool.free(draft.body);
    }

    /// Puts pieces of the message behind those that the draft has. There must be room for them.
    pub(super) fn append_body(
        &mut self,
        draft: &mut Draft,
        pieces: &[&[u8]],
    ) -> Result<(), Refusal> {
        if draft.body.is_empty() {
            self.pool.leave(&mut draft.body, BODY_FRONT_BYTES).map_err(|_| Refusal::DraftsFull)?;
        }
        for piece in pieces {
            self.pool.append(&mut draft.body, piece).map_err(|_| Refusal::DraftsFull)?;
            draft.body_bytes += piece.len();
        }
        Ok(())
    }

    /// Puts what stands in `self.draft_envelope` behind the draft's envelope.
    fn keep_envelope(&mut self, draft: &mut Draft, now: Now) -> Result<(), Refusal> {
        let before = draft.envelope.arenas();
        self.reserve_draft(StorePool::arenas_for(&draft.envelope, self.draft_envelope.len()), now)?;
        self.pool
            .append(&mut draft.envelope, &self.draft_envelope)
            .map_err(|_| Refusal::DraftsFull)?;
        self.figures.arenas_drafts += draft.envelope.arenas() - before;
        Ok(())
    }

    /// Makes sure that a draft can have so many arenas more, within the drafts' share.
    fn reserve_draft(&mut self, wanted: u32, now: Now) -> Result<(), Refusal> {
        if wanted > self.capacity.draft_arenas_max - self.figures.arenas_drafts {
            return Err(Refusal::DraftsFull);
        }
        self.make_room(wanted, now)
    }
}

fn cut(path: &[u8]) -> &[u8] {
    &path[..path.len().min(PATH_BYTES_MAX)]
}
