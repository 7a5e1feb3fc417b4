//! From a draft to the mailboxes that it is for: to all of them or to none.

use super::directory::Slot;
use super::draft::Draft;
use super::name::MailboxName;
use super::record::{
    Body, HEADER_BYTES, Header, RECORD_ARENAS_MAX, Strings, begin_envelope, body_arenas_for,
    push_forward_path,
};
use super::removal::Cause;
use super::{Client, MessageId, Refusal, Store, StorePool, slots, slots_mut};
use crate::clock::Now;
use crate::limits::BODY_INLINE_BYTES_MAX;

impl Store {
    /// Commits a draft to the mailbox of each of its recipients, with `rest` as the end of the
    /// message: a body that was never appended is copied just once, from the caller's pieces.
    /// Recipients that mean one mailbox share one copy there. The id is that of the first
    /// recipient's copy.
    ///
    /// # Errors
    /// [`Refusal::MessageTooLarge`], [`Refusal::NoRecipients`], and [`Refusal::DraftsFull`] if drafts
    /// hold so much that not all of its copies fit beside them. The draft is then gone, and no
    /// mailbox has it.
    pub fn commit(
        &mut self,
        mut draft: Draft,
        rest: &[&[u8]],
        client: &Client<'_>,
        now: Now,
    ) -> Result<MessageId, Refusal> {
        let rest_bytes: usize = rest.iter().map(|piece| piece.len()).sum();
        if let Err(refusal) = self.can_commit(&draft, rest_bytes) {
            self.abandon(draft);
            return Err(refusal);
        }
        self.figures.arenas_drafts -= draft.arenas();
        self.read_draft_envelope(&draft);
        let copies = self.resolve_targets(now);
        let bytes = draft.body_bytes + rest_bytes;
        // What each record has of the message itself.
        let mut inline = rest;
        if !draft.body.is_empty() || bytes > BODY_INLINE_BYTES_MAX {
            let wanted = body_arenas_for(&draft.body, rest_bytes);
            if let Err(refusal) =
                self.make_room(wanted, now).and_then(|()| self.append_body(&mut draft, rest))
            {
                self.pool.free(draft.envelope);
                self.pool.free(draft.body);
                return Err(refusal);
            }
            if copies > 1 {
                let references = u32::from(copies);
                self.pool.overwrite(draft.body.start(), bytemuck::bytes_of(&references));
            }
            inline = &[];
        }
        let body = Body { bytes: bytes as u32, chain: draft.body, copies };
        // Only now, so that records land in an arena that is still warm, and what is copied past the
        // caches does not: 0.1 us of the 24 that 10 KiB cost.
        self.pool.free(draft.envelope);
        let mut first = None;
        for at in 0..self.targets.len() {
            if !self.targets[..at].contains(&self.targets[at]) {
                let id = self.write_copy(at, body, inline, client, now)?;
                first.get_or_insert(id);
            }
        }
        first.ok_or(Refusal::NoRecipients)
    }

    /// Whether the message will fit into every mailbox that it is for. After this nothing can fail:
    /// what is not a draft's can be evicted, and `Capacity` has made sure that it suffices.
    fn can_commit(&self, draft: &Draft, rest_bytes: usize) -> Result<(), Refusal> {
        if draft.recipients() == 0 {
            return Err(Refusal::NoRecipients);
        }
        if rest_bytes > self.capacity.message_bytes_max.saturating_sub(draft.body_bytes) {
            return Err(Refusal::MessageTooLarge);
        }
        let records = draft.recipients() as u32 * RECORD_ARENAS_MAX as u32;
        let wanted = records + body_arenas_for(&draft.body, rest_bytes);
        if wanted > self.capacity.arenas - self.figures.arenas_drafts {
            return Err(Refusal::DraftsFull);
        }
        Ok(())
    }

    fn read_draft_envelope(&mut self, draft: &Draft) {
        self.draft_envelope.clear();
        for slice in self.pool.slices(draft.envelope.start(), StorePool::bytes(&draft.envelope)) {
            self.draft_envelope.extend_from_slice(slice);
        }
    }

    /// Finds or makes the mailbox of each recipient, and says how many different ones there are.
    fn resolve_targets(&mut self, now: Now) -> u16 {
        self.targets.clear();
        let mut copies = 0;
        // Behind the reverse-path: a forward-path, a name, a forward-path, a name ...
        let mut at = Strings(&self.draft_envelope).next().map_or(0, <[u8]>::len) + size_of::<u16>();
        loop {
            let mut strings = Strings(self.draft_envelope.get(at..).unwrap_or_default());
            let (Some(forward_path), Some(name)) = (strings.next(), strings.next()) else { break };
            at += forward_path.len() + name.len() + 2 * size_of::<u16>();
            let index = self.find_or_create(&MailboxName::from_stored(name), now);
            let slot = self.slot_mut(index);
            copies += u16::from(slot.pinned == 0);
            slot.pinned = 1;
            self.targets.push(index);
        }
        for at in 0..self.targets.len() {
            self.slot_mut(self.targets[at]).pinned = 0;
        }
        copies
    }

    fn find_or_create(&mut self, name: &MailboxName, now: Now) -> u32 {
        if let Some(index) = self.directory.find(slots(&self.pool), name) {
            return index;
        }
        loop {
            if let Some(index) = self.directory.create(slots_mut(&mut self.pool), name) {
                return index;
            }
            // There are at least as many slots as a message may have recipients, so one is not
            // pinned; and with no empty one to reuse, that one has mail.
            if let Some(oldest) = self.directory.oldest_stocked_unpinned(slots(&self.pool)) {
                self.remove_all(oldest, Cause::MemoryFull, now);
            }
        }
    }

    /// Writes the copy for the mailbox of recipient `at`, and of all later ones that mean the same.
    fn write_copy(
        &mut self,
        at: usize,
        body: Body,
        inline: &[&[u8]],
        client: &Client<'_>,
        now: Now,
    ) -> Result<MessageId, Refusal> {
        let index = self.targets[at];
        self.build_envelope(at, client);
        let Slot { generation, next_sequence: sequence, newest: before, .. } = *self.slot(index);
        let id = MessageId { slot: index, generation, sequence };
        let envelope_bytes = self.record_head.len() - HEADER_BYTES;
        let header = Header::new(sequence, before, now, client, envelope_bytes, body);
        header.seal(&mut self.record_head);
        self.make_room_in_mailbox(index, header.record_bytes as usize, body.chain.arenas(), now);
        self.make_room(RECORD_ARENAS_MAX as u32, now)?;

        // Only now: making room may have taken this mailbox's own oldest mail.
        let slot = *self.slot(index);
        let mut log = slot.log;
        let behind = log.end();
        for piece in [&self.record_head[..]].iter().chain(inline) {
            self.pool.append(&mut log, piece).map_err(|_| Refusal::DraftsFull)?;
        }
        let was_empty = slot.messages == 0;
        let newest = if was_empty { log.start() } else { self.pool.settled(behind) };
        let slot = self.slot_mut(index);
        slot.log = log;
        slot.newest = newest;
        slot.body_arenas += body.chain.arenas();
        slot.messages += 1;
        slot.next_sequence += 1;
        self.directory.stocked(slots_mut(&mut self.pool), index, was_empty);
        self.figures.mailboxes += u64::from(was_empty);
        self.figures.messages += 1;
        self.figures.committed += 1;
        self.recent.push(id);
        Ok(id)
    }

    fn build_envelope(&mut self, at: usize, client: &Client<'_>) {
        let mut strings = Strings(&self.draft_envelope);
        begin_envelope(&mut self.record_head, client.helo, strings.next().unwrap_or_default());
        for target in &self.targets {
            let (Some(forward_path), Some(_name)) = (strings.next(), strings.next()) else { break };
            if *target == self.targets[at] {
                push_forward_path(&mut self.record_head, forward_path);
            }
        }
    }
}
