//! How mail leaves: evicted for room, expired for age, deleted because somebody asked. Each
//! mailbox counts what it lost and why. Not here: when to sweep, which the server's timer says.

use super::pool::Position;
use super::reading::{Mailbox, Missing};
use super::record::{DELETED, Header, SEEN};
use super::{MessageId, Refusal, Store, StorePool, slots_mut};
use crate::clock::Now;

/// The rule that takes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    MailboxFull,
    MemoryFull,
    Expired,
    Deleted,
}

impl Store {
    /// Deletes a message. Its bytes are free once no older message of the mailbox is left, those of
    /// a long one at once.
    ///
    /// # Errors
    /// [`Missing`] if it is not there.
    pub fn delete(&mut self, mailbox: Mailbox, id: MessageId, now: Now) -> Result<(), Missing> {
        let message = self.message(mailbox, id, now)?;
        let header: Header = self.pool.read_value(message.record).0;
        if message.record == self.slot(id.slot).log.start() {
            self.remove_oldest(id.slot, Cause::Deleted, now);
            return Ok(());
        }
        self.release_body(id.slot, &header);
        self.set_flags(message.record, header.flags | DELETED);
        self.slot_mut(id.slot).messages -= 1;
        self.count_lost(id.slot, Cause::Deleted);
        Ok(())
    }

    /// Deletes all messages of a mailbox.
    pub fn purge(&mut self, mailbox: Mailbox, now: Now) {
        if self.mailbox_slot(mailbox).is_some() {
            self.remove_all(mailbox.slot, Cause::Deleted, now);
        }
    }

    /// Says whether somebody has opened a message.
    ///
    /// # Errors
    /// [`Missing`] if it is not there.
    pub fn mark_seen(
        &mut self,
        mailbox: Mailbox,
        id: MessageId,
        seen: bool,
        now: Now,
    ) -> Result<(), Missing> {
        let message = self.message(mailbox, id, now)?;
        let flags = self.pool.read_value::<Header>(message.record).0.flags;
        self.set_flags(message.record, if seen { flags | SEEN } else { flags & !SEEN });
        Ok(())
    }

    /// Removes what has expired from the next `slots_max` mailboxes, round and round.
    pub fn sweep(&mut self, now: Now, slots_max: u32) {
        let used = self.directory.used();
        for _ in 0..slots_max.min(used) {
            self.swept = if self.swept + 1 < used { self.swept + 1 } else { 0 };
            while self.slot(self.swept).messages > 0
                && self.has_expired(&self.oldest(self.swept), now)
            {
                self.remove_oldest(self.swept, Cause::Expired, now);
            }
        }
    }

    /// Whether a message is past its time-to-live.
    pub(super) fn has_expired(&self, header: &Header, now: Now) -> bool {
        let age_ms = now.monotonic_ms.saturating_sub(header.received_monotonic_ms);
        self.capacity.ttl_ms.is_some_and(|ttl_ms| age_ms >= ttl_ms)
    }

    /// Evicts until so many arenas are free: from the mailbox that has gone longest without mail,
    /// its oldest message first.
    pub(super) fn make_room(&mut self, arenas: u32, now: Now) -> Result<(), Refusal> {
        while self.pool.free_arenas() < arenas {
            let oldest = self.directory.oldest_stocked().ok_or(Refusal::DraftsFull)?;
            self.remove_oldest(oldest, Cause::MemoryFull, now);
        }
        Ok(())
    }

    /// Evicts a mailbox's own oldest messages until one more fits under its caps.
    pub(super) fn make_room_in_mailbox(
        &mut self,
        index: u32,
        record_bytes: usize,
        body_arenas: u32,
        now: Now,
    ) {
        loop {
            let slot = self.slot(index);
            let arenas =
                slot.arenas() + StorePool::arenas_for(&slot.log, record_bytes) + body_arenas;
            let fits = slot.messages < self.capacity.mailbox_messages_max
                && arenas <= self.capacity.mailbox_arenas_max;
            if fits || slot.messages == 0 {
                return;
            }
            self.remove_oldest(index, Cause::MailboxFull, now);
        }
    }

    pub(super) fn remove_all(&mut self, index: u32, cause: Cause, now: Now) {
        while self.slot(index).messages > 0 {
            self.remove_oldest(index, cause, now);
        }
    }

    /// Removes the oldest message of a mailbox that has mail, and the records behind it that only
    /// waited for it to go. Whatever it had to go for, one that had expired before is counted so.
    fn remove_oldest(&mut self, index: u32, cause: Cause, now: Now) {
        let header = self.oldest(index);
        let cause = if self.has_expired(&header, now) { Cause::Expired } else { cause };

        self.release_body(index, &header);
        self.slot_mut(index).messages -= 1;
        self.count_lost(index, cause);
        let mut log = self.slot(index).log;
        self.pool.drop_front(&mut log, header.record_bytes as usize);
        while !log.is_empty() {
            let header: Header = self.pool.read_value(log.start()).0;
            if !header.is(DELETED) {
                break;
            }
            self.pool.drop_front(&mut log, header.record_bytes as usize);
        }
        let slot = self.slot_mut(index);
        slot.log = log;
        if slot.messages == 0 {
            self.directory.emptied(slots_mut(&mut self.pool), index);
            self.figures.mailboxes -= 1;
        }
    }

    fn oldest(&self, index: u32) -> Header {
        self.pool.read_value(self.slot(index).log.start()).0
    }

    /// Lets go of a long message's own chain, which is free once no record refers to it.
    fn release_body(&mut self, index: u32, header: &Header) {
        self.slot_mut(index).body_arenas -= header.body.arenas();
        if header.copies > 1 && !header.body.is_empty() {
            let references = self.pool.read_value::<u32>(header.body.start()).0 - 1;
            self.pool.overwrite(header.body.start(), bytemuck::bytes_of(&references));
            if references > 0 {
                return;
            }
        }
        self.pool.free(header.body);
    }

    fn set_flags(&mut self, record: Position, flags: u32) {
        let at = self.pool.skip(record, Header::FLAGS_OFFSET);
        self.pool.overwrite(at, &flags.to_ne_bytes());
    }

    fn count_lost(&mut self, index: u32, cause: Cause) {
        let of_all = &mut self.figures.lost;
        self.figures.messages -= 1;
        let of_one = &mut slots_mut(&mut self.pool)[index as usize].lost;
        for lost in [of_all, of_one] {
            *match cause {
                Cause::MailboxFull => &mut lost.mailbox_full,
                Cause::MemoryFull => &mut lost.memory_full,
                Cause::Expired => &mut lost.expired,
                Cause::Deleted => &mut lost.deleted,
            } += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::super::{Capacity, Client, Demand, MailboxName, Naming, Protocol};
    use super::*;
    use crate::limits::MIB;

    const TTL_MS: u64 = 1000;

    fn at(monotonic_ms: u64) -> Now {
        Now { monotonic_ms, unix_ms: 0 }
    }

    /// Room for eight mailboxes, of which five have had mail at each of these times.
    fn store(times: &[u64]) -> Store {
        let demand = Demand {
            memory_bytes: 4 * MIB,
            mailboxes_max: 8,
            mailbox_bytes_max: MIB / 4,
            mailbox_messages_max: 8,
            message_bytes_max: 1000,
            ttl_ms: Some(TTL_MS),
        };
        let mut store = Store::new(Capacity::of(&demand).unwrap(), 7).unwrap();
        let source = IpAddr::from([192, 0, 2, 1]);
        let client = Client { helo: b"", source, protocol: Protocol::default() };
        for &time in times {
            for name in ["a", "b", "c", "d", "e"] {
                let name = MailboxName::of(name, Naming::Local).unwrap();
                let mut draft = store.open(b"", at(time)).unwrap();
                store.add_recipient(&mut draft, b"to@x", &name, at(time)).unwrap();
                store.commit(draft, &[b"hi"], &client, at(time)).unwrap();
            }
        }
        store
    }

    #[test]
    fn nothing_gives_way_where_there_is_room() {
        let mut store = store(&[0]);
        let free = store.pool.free_arenas();
        store.make_room(free, at(0)).unwrap();
        assert_eq!(store.figures().lost.memory_full, 0);
        store.make_room(free + 1, at(0)).unwrap();
        assert_eq!(store.figures().lost.memory_full, 1);
    }

    #[test]
    fn law_a_round_of_sweeps_takes_all_that_has_expired_and_nothing_else_however_it_is_cut() {
        for slots in [1, 2, 3, 5, 8, 100] {
            let mut store = store(&[0, 10, 20]);
            // One mailbox is empty, and is passed over.
            let emptied = store.find(&MailboxName::of("c", Naming::Local).unwrap()).unwrap();
            store.purge(emptied, at(20));
            for (now_ms, left) in [(TTL_MS - 1, 3), (TTL_MS, 2), (TTL_MS + 19, 1), (TTL_MS + 20, 0)]
            {
                for _ in 0..5_u32.div_ceil(slots) {
                    store.sweep(at(now_ms), slots);
                }
                let figures = store.figures();
                assert_eq!(figures.messages, 4 * left, "at {now_ms}, by {slots}");
                assert_eq!(figures.lost.expired, 12 - 4 * left);
                assert_eq!(store.check_invariants(), Ok(()));
            }
            let figures = store.figures();
            assert_eq!((figures.mailboxes, figures.arenas_free), (0, figures.arenas));
        }
    }
}
