//! What is there. Reading makes nothing, moves nothing, and never shows what has expired.

use std::net::IpAddr;

use super::directory::Slot;
use super::pool::{Chain, Position};
use super::record::{BODY_FRONT_BYTES, DELETED, Envelope, HEADER_BYTES, Header, Protocol, SEEN};
use super::{Lost, MailboxName, MessageId, Store, slots};
use crate::clock::Now;

/// A mailbox that was found: good until its slot is given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mailbox {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// A way through messages of a mailbox, oldest first, that can be gone a few at a time: it stays good
/// whatever is committed, evicted or deleted meanwhile. What was committed after it was made is not on
/// it.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    mailbox: Mailbox,
    /// Where the record of this number is, if it is still there.
    record: Position,
    sequence: u64,
    end_sequence: u64,
}

/// A way through the bytes of a message, which can be gone a piece at a time: it stays good whatever
/// happens meanwhile, and ends if the message goes.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    id: MessageId,
    record: Position,
    at: Position,
    left_bytes: usize,
}

impl Reading {
    /// From the message's first byte on.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        let &Message { id, record, body, body_bytes, .. } = message;
        Self { id, record, at: body, left_bytes: body_bytes }
    }

    /// Whether all of it has been read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.left_bytes == 0
    }
}

/// Why a message is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It was, and has been removed.
    Gone,
    /// There was never a message of this id in this mailbox.
    Unknown,
}

/// A message that was found: good until the store is next changed.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// When it was committed, by the wall clock, in milliseconds since 1970.
    pub received_unix_ms: u64,
    /// Its length, as it was sent.
    pub body_bytes: usize,
    /// Whether somebody has opened it.
    pub seen: bool,
    /// Where its client connected from.
    pub source: IpAddr,
    /// How its client spoke.
    pub protocol: Protocol,
    pub(super) record: Position,
    envelope_bytes: u32,
    body: Position,
}

impl Store {
    /// The mailbox of a name, if it has had mail. Never makes one.
    #[must_use]
    pub fn find(&self, name: &MailboxName) -> Option<Mailbox> {
        let slot = self.directory.find(slots(&self.pool), name)?;
        Some(Mailbox { slot, generation: self.slot(slot).generation })
    }

    /// The messages of a mailbox, oldest first.
    pub fn messages(&self, mailbox: Mailbox, now: Now) -> impl Iterator<Item = Message> {
        self.headers(mailbox)
            .filter(move |(_, header)| self.is_there(header, now))
            .map(move |(record, header)| self.found(mailbox, record, &header))
    }

    /// How many messages a mailbox has.
    #[must_use]
    pub fn held(&self, mailbox: Mailbox, now: Now) -> usize {
        let counted = self.mailbox_slot(mailbox).map_or(0, |slot| slot.messages as usize);
        counted - self.unswept(mailbox, now)
    }

    /// The way through the newest messages of a mailbox, at most `most`. Costs a look at each of them,
    /// unless they are all that there are.
    #[must_use]
    pub fn newest(&self, mailbox: Mailbox, most: usize, now: Now) -> Cursor {
        let all = self.all(mailbox);
        if most >= self.held(mailbox, now) {
            return all;
        }
        self.headers_newest_first(mailbox)
            .filter(|(_, header)| self.is_there(header, now))
            .take(most)
            .last()
            .map_or(Cursor { end_sequence: 0, ..all }, |(record, header)| Cursor {
                record,
                sequence: header.sequence,
                ..all
            })
    }

    /// The next message on its way, which goes on behind it.
    pub fn next(&self, cursor: &mut Cursor, now: Now) -> Option<Message> {
        let all = self.all(cursor.mailbox);
        // What it stands at may have gone with all that is older, and so may the arena in which that ended.
        if cursor.sequence <= all.sequence {
            *cursor = Cursor { end_sequence: cursor.end_sequence, ..all };
        }
        let mailbox = cursor.mailbox;
        while cursor.sequence < cursor.end_sequence.min(all.end_sequence) {
            let (record, header) = self.step(cursor);
            if self.is_there(&header, now) {
                return Some(self.found(mailbox, record, &header));
            }
        }
        None
    }

    /// One message of a mailbox.
    ///
    /// # Errors
    /// Whether it is [`Missing`] now or ever was.
    pub fn message(&self, mailbox: Mailbox, id: MessageId, now: Now) -> Result<Message, Missing> {
        self.record(mailbox, id)
            .filter(|(_, header)| self.is_there(header, now))
            .map(|(record, header)| self.found(mailbox, record, &header))
            .ok_or_else(|| self.why_missing(Some(mailbox), id))
    }

    /// Whether a message that is not in a mailbox, or whose mailbox is not there, ever was.
    #[must_use]
    pub fn why_missing(&self, mailbox: Option<Mailbox>, id: MessageId) -> Missing {
        let issued = match self.directory.mailboxes_since(slots(&self.pool), id) {
            // Of a mailbox whose slot has been reused: its name is forgotten.
            Some(1..) => true,
            Some(0) => {
                mailbox.is_some_and(|mailbox| mailbox.slot == id.slot)
                    && id.sequence < self.slot(id.slot).next_sequence
            }
            None => false,
        };
        if issued { Missing::Gone } else { Missing::Unknown }
    }

    /// The newest message of a mailbox.
    #[must_use]
    pub fn latest(&self, mailbox: Mailbox, now: Now) -> Option<Message> {
        self.headers_newest_first(mailbox)
            .find(|(_, header)| !header.is(DELETED))
            .filter(|(_, header)| !self.has_expired(header, now))
            .map(|(record, header)| self.found(mailbox, record, &header))
    }

    /// The message exactly as it was sent, dots unstuffed, or its first `most` bytes if it is longer;
    /// put into `into` in place of what is there.
    pub fn read_body(&self, message: &Message, most: usize, into: &mut Vec<u8>) {
        let bytes = message.body_bytes.min(most);
        into.clear();
        // At once, or it would be grown by doubling, to up to twice as much.
        into.reserve_exact(bytes);
        for slice in self.pool.slices(message.body, bytes) {
            into.extend_from_slice(slice);
        }
    }

    /// The next piece of a message on its way, at most `most` bytes, exactly as they were sent; the way
    /// goes on behind it.
    ///
    /// # Errors
    /// [`Missing::Gone`] if the message has gone since the way began.
    pub fn read_on(
        &self,
        reading: &mut Reading,
        most: usize,
        now: Now,
    ) -> Result<impl Iterator<Item = &[u8]>, Missing> {
        let Reading { id, record, at, left_bytes } = *reading;
        if !self.is_at(record, id, now) {
            return Err(Missing::Gone);
        }
        let bytes = left_bytes.min(most);
        (reading.at, reading.left_bytes) = (self.pool.skip(at, bytes), left_bytes - bytes);
        Ok(self.pool.slices(at, bytes))
    }

    /// Who a message is from and for.
    #[must_use]
    pub fn read_envelope(&self, message: &Message) -> Envelope {
        let mut envelope = vec![0; message.envelope_bytes as usize];
        self.pool.read(self.pool.skip(message.record, HEADER_BYTES), &mut envelope);
        Envelope::decode(&envelope)
    }

    /// What a mailbox has lost, with what has expired and is only still to be swept.
    #[must_use]
    pub fn lost(&self, mailbox: Mailbox, now: Now) -> Lost {
        let mut lost = self.mailbox_slot(mailbox).map(|slot| slot.lost).unwrap_or_default();
        lost.expired += self.unswept(mailbox, now) as u64;
        lost
    }

    /// The newest messages over all mailboxes from the `from`th since start on, as far as they are
    /// remembered: each with its number, oldest first, whether or not it is still there.
    pub fn recent(&self, from: u64) -> impl Iterator<Item = (u64, MessageId)> {
        self.recent.since(from)
    }

    /// The number that the next message over all mailboxes will have.
    #[must_use]
    pub fn recent_end(&self) -> u64 {
        self.recent.pushed()
    }

    /// The slot of a mailbox, unless it now holds another.
    pub(super) fn mailbox_slot(&self, mailbox: Mailbox) -> Option<&Slot> {
        Some(self.slot(mailbox.slot)).filter(|slot| slot.generation == mailbox.generation)
    }

    /// The records of a mailbox's log, oldest first, those that wait to be dropped included.
    pub(super) fn headers(&self, mailbox: Mailbox) -> impl Iterator<Item = (Position, Header)> {
        let mut cursor = self.all(mailbox);
        (cursor.sequence..cursor.end_sequence).map(move |_| self.step(&mut cursor))
    }

    /// The same, newest first.
    fn headers_newest_first(&self, mailbox: Mailbox) -> impl Iterator<Item = (Position, Header)> {
        let all = self.all(mailbox);
        let mut record = self.slot(mailbox.slot).newest;
        (all.sequence..all.end_sequence).map(move |_| {
            let header: Header = self.pool.read_value(record).0;
            (std::mem::replace(&mut record, header.before), header)
        })
    }

    /// The record of this number, come to from the nearer end: numbers in a log have no gaps.
    fn record(&self, mailbox: Mailbox, id: MessageId) -> Option<(Position, Header)> {
        let all = self.all(mailbox);
        let is_its = mailbox.slot == id.slot && mailbox.generation == id.generation;
        if !is_its || !(all.sequence..all.end_sequence).contains(&id.sequence) {
            return None;
        }
        let (older, newer) = (id.sequence - all.sequence, all.end_sequence - 1 - id.sequence);
        match older < newer {
            true => self.headers(mailbox).nth(older as usize),
            false => self.headers_newest_first(mailbox).nth(newer as usize),
        }
    }

    /// The way through all records of a mailbox's log, if it is still this mailbox's.
    fn all(&self, mailbox: Mailbox) -> Cursor {
        let slot = self.mailbox_slot(mailbox).filter(|slot| !slot.log.is_empty());
        let record = slot.map_or(Chain::EMPTY, |slot| slot.log).start();
        let end_sequence = slot.map_or(0, |slot| slot.next_sequence);
        let sequence = slot.map_or(0, |_| self.pool.read_value::<Header>(record).0.sequence);
        Cursor { mailbox, record, sequence, end_sequence }
    }

    /// The record that a cursor stands at, which goes on behind it.
    fn step(&self, cursor: &mut Cursor) -> (Position, Header) {
        let record = self.pool.settled(cursor.record);
        let header: Header = self.pool.read_value(record).0;
        cursor.record = self.pool.skip(record, header.record_bytes as usize);
        cursor.sequence += 1;
        (record, header)
    }

    /// Whether the record that was found at this place is still there, and its message for who reads.
    fn is_at(&self, record: Position, id: MessageId, now: Now) -> bool {
        let all = self.all(Mailbox { slot: id.slot, generation: id.generation });
        (all.sequence..all.end_sequence).contains(&id.sequence)
            && self.is_there(&self.pool.read_value(record).0, now)
    }

    /// Whether a record's message is there for who reads.
    fn is_there(&self, header: &Header, now: Now) -> bool {
        !header.is(DELETED) && !self.has_expired(header, now)
    }

    /// How many messages of a mailbox have expired and are still to be swept.
    fn unswept(&self, mailbox: Mailbox, now: Now) -> usize {
        self.headers(mailbox)
            .take_while(|(_, header)| self.has_expired(header, now))
            .filter(|(_, header)| !header.is(DELETED))
            .count()
    }

    fn found(&self, mailbox: Mailbox, record: Position, header: &Header) -> Message {
        let Mailbox { slot, generation } = mailbox;
        let envelope = self.pool.skip(record, HEADER_BYTES);
        let body = match header.body.is_empty() {
            true => self.pool.skip(envelope, header.envelope_bytes as usize),
            false => self.pool.skip(header.body.start(), BODY_FRONT_BYTES),
        };
        Message {
            id: MessageId { slot, generation, sequence: header.sequence },
            received_unix_ms: header.received_unix_ms,
            body_bytes: header.body_bytes as usize,
            seen: header.is(SEEN),
            source: header.source(),
            protocol: header.protocol(),
            record,
            envelope_bytes: header.envelope_bytes,
            body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Capacity, Client, Demand, Naming, StorePool};
    use super::*;
    use crate::limits::{ARENA_BYTES, MIB};

    const NOW: Now = Now { monotonic_ms: 1, unix_ms: 1 };

    fn store() -> Store {
        store_of(None)
    }

    fn store_of(ttl_ms: Option<u64>) -> Store {
        let demand = Demand {
            memory_bytes: 4 * MIB,
            mailboxes_max: 8,
            mailbox_bytes_max: MIB / 4,
            mailbox_messages_max: 8,
            message_bytes_max: 10_000,
            ttl_ms,
        };
        Store::new(Capacity::of(&demand).unwrap(), 7).unwrap()
    }

    fn deliver(store: &mut Store, bytes: usize) -> MessageId {
        deliver_at(store, bytes, NOW)
    }

    fn deliver_at(store: &mut Store, bytes: usize, now: Now) -> MessageId {
        let name = MailboxName::of("a", Naming::Local).unwrap();
        let source = IpAddr::from([192, 0, 2, 1]);
        let client = Client { helo: b"", source, protocol: Protocol::default() };
        let mut draft = store.open(b"", now).unwrap();
        store.add_recipient(&mut draft, b"to@x", &name, now).unwrap();
        store.commit(draft, &[&vec![b'x'; bytes]], &client, now).unwrap()
    }

    #[test]
    fn records_that_end_where_an_arena_does_are_found_from_either_end() {
        let mut store = store();
        let empty = deliver(&mut store, 0);
        let mailbox = Mailbox { slot: empty.slot, generation: empty.generation };
        let head_bytes = StorePool::bytes(&store.slot(0).log);
        store.purge(mailbox, NOW);
        let body_bytes = ARENA_BYTES - head_bytes;
        // The first ones give way to the later ones.
        let ids: Vec<_> = (0..12).map(|_| deliver(&mut store, body_bytes)).collect();
        for (at, id) in ids.iter().enumerate().skip(4) {
            assert_eq!(store.message(mailbox, *id, NOW).map(|found| found.id), Ok(*id), "{at}");
        }
        assert_eq!(store.latest(mailbox, NOW).map(|found| found.id), ids.last().copied());
        let mut cursor = store.newest(mailbox, 3, NOW);
        for id in &ids[9..] {
            assert_eq!(store.next(&mut cursor, NOW).map(|found| found.id), Some(*id));
        }
        // What a cursor has just passed gives way, with the arena whose link leads on.
        let mut cursor = store.newest(mailbox, 8, NOW);
        assert_eq!(store.next(&mut cursor, NOW).map(|found| found.id), Some(ids[4]));
        deliver(&mut store, body_bytes);
        assert_eq!(store.next(&mut cursor, NOW).map(|found| found.id), Some(ids[5]));
        assert_eq!(store.check_invariants(), Ok(()));
    }

    #[test]
    fn a_cursor_shows_nothing_that_came_after_it_was_made() {
        let mut store = store();
        let first = deliver(&mut store, 10);
        let mailbox = Mailbox { slot: first.slot, generation: first.generation };
        let mut cursor = store.newest(mailbox, 9, NOW);
        assert_eq!(store.next(&mut cursor, NOW).map(|found| found.id), Some(first));
        deliver(&mut store, 10);
        assert!(store.next(&mut cursor, NOW).is_none());
        let mut cursor = store.newest(mailbox, 9, NOW);
        store.purge(mailbox, NOW);
        deliver(&mut store, 10);
        assert!(store.next(&mut cursor, NOW).is_none(), "in the place of what was purged");
    }

    #[test]
    fn what_has_expired_is_not_there_before_it_is_swept() {
        let mut store = store_of(Some(10));
        let at = |monotonic_ms| Now { monotonic_ms, unix_ms: 1 };
        let ids = [1, 2, 3, 9].map(|ms| deliver_at(&mut store, 10, at(ms)));
        let mailbox = Mailbox { slot: ids[0].slot, generation: ids[0].generation };
        assert!(store.delete(mailbox, ids[1], at(9)).is_ok());
        let undeleted = [ids[0], ids[2], ids[3]];
        for (now, there) in [(10, &undeleted[..]), (12, &ids[2..]), (13, &ids[3..])] {
            assert_eq!(store.held(mailbox, at(now)), there.len(), "at {now}");
            let mut cursor = store.newest(mailbox, there.len(), at(now));
            let newest = std::iter::from_fn(|| store.next(&mut cursor, at(now)));
            assert!(newest.map(|found| found.id).eq(there.iter().copied()), "at {now}");
        }
        assert_eq!(store.held(mailbox, at(19)), 0);
        assert_eq!(store.latest(mailbox, at(19)).map(|found| found.id), None);
    }
}
