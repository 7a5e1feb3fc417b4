//! What is so of every store between any two calls: a walk over all that is linked, for tests to ask
//! after each step. Not here: what may be in it, which only whoever filled it knows.
//!
//! ```text
//! every arena  =  in one mailbox's log  |  in one long message's chain  |  free  |  of a draft
//! ```
//!
//! Drafts are in the hands of sessions, so theirs are counted and not walked.

use std::collections::BTreeMap;

use super::directory::Slot;
use super::law::holds;
use super::pool::{Chain, Position};
use super::record::{BODY_FRONT_BYTES, DELETED, HEADER_BYTES, Header};
use super::{Store, StorePool, slots};

/// What the walk has found so far.
struct Walk {
    owned: Vec<bool>,
    owned_arenas: u32,
    /// By the arena that it begins in, a long message as its records have it, and how many they are.
    long: BTreeMap<u32, (Chain, u16, u32)>,
    messages: u64,
    envelope: Vec<u8>,
}

impl Store {
    /// Walks everything there is, and says which law does not hold, if one does not. For tests; it
    /// takes as long as the store is large.
    ///
    /// # Errors
    /// The law.
    #[doc(hidden)]
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        let arenas = self.capacity.arenas as usize;
        let mut walk = Walk {
            owned: vec![false; arenas],
            owned_arenas: 0,
            long: BTreeMap::new(),
            messages: 0,
            envelope: Vec::new(),
        };
        self.directory.check_invariants(slots(&self.pool))?;
        for slot in &slots(&self.pool)[..self.directory.used() as usize] {
            self.check_mailbox(slot, &mut walk)?;
        }
        self.check_long_messages(&mut walk)?;
        self.check_order()?;
        for arena in self.pool.free_list() {
            walk.own(arena)?;
        }
        let figures = self.figures();
        holds(
            walk.owned_arenas + figures.arenas_drafts == figures.arenas,
            "every arena is a mailbox's, a draft's or free",
        )?;
        holds(
            figures.arenas_drafts <= self.capacity.draft_arenas_max,
            "drafts keep to their share",
        )?;
        holds(figures.messages == walk.messages, "messages are counted")?;
        let stocked = self.directory.stocked_oldest_first(slots(&self.pool)).count() as u64;
        holds(figures.mailboxes == stocked, "mailboxes with mail are counted")?;
        holds(figures.committed == walk.messages + figures.lost.total(), "no removal is silent")
    }

    fn check_mailbox(&self, slot: &Slot, walk: &mut Walk) -> Result<(), &'static str> {
        walk.own_chain(&self.pool, &slot.log)?;
        holds(slot.arenas() <= self.capacity.mailbox_arenas_max, "a mailbox keeps to its size")?;
        holds(slot.messages <= self.capacity.mailbox_messages_max, "and to its messages")?;
        holds(slot.pinned == 0, "no slot stays pinned")?;
        let (mut messages, mut body_arenas) = (0, 0);
        let mut before: Option<(Position, u64)> = None;
        let mut left = StorePool::bytes(&slot.log);
        let mut at = slot.log.start();
        while left > 0 {
            holds(left >= HEADER_BYTES, "a log ends where a record does")?;
            let header: Header = self.pool.read_value(at).0;
            let record_bytes = header.record_bytes as usize;
            holds((HEADER_BYTES..=left).contains(&record_bytes), "a record lies within its log")?;
            holds(header.envelope_bytes <= header.record_bytes, "and its envelope within it")?;
            walk.envelope.resize(header.envelope_bytes as usize, 0);
            self.pool.read(self.pool.skip(at, HEADER_BYTES), &mut walk.envelope);
            holds(header.is_whole(&walk.envelope), "a record's checksum is right")?;
            let (record, sequence) = (self.pool.settled(at), header.sequence);
            holds(
                before.is_none_or(|(_, before)| before + 1 == sequence),
                "a record's number is the next one",
            )?;
            holds(
                before.is_none_or(|(before, _)| before == header.before),
                "a record knows the one before it",
            )?;
            let is_first = before.replace((record, sequence)).is_none();
            holds(!(is_first && header.is(DELETED)), "the oldest record is of mail that is there")?;
            if !header.is(DELETED) {
                messages += 1;
                body_arenas += header.body.arenas();
                walk.refer(&header)?;
            }
            left -= record_bytes;
            at = self.pool.skip(at, record_bytes);
        }
        holds(
            before.is_none_or(|(newest, _)| newest == slot.newest),
            "a mailbox knows its newest record",
        )?;
        holds(
            before.is_none_or(|(_, sequence)| sequence + 1 == slot.next_sequence),
            "a mailbox knows the number of its next record",
        )?;
        walk.messages += u64::from(messages);
        holds(slot.messages == messages, "a mailbox counts its messages")?;
        holds(slot.body_arenas == body_arenas, "a mailbox counts what its long messages take")
    }

    fn check_long_messages(&self, walk: &mut Walk) -> Result<(), &'static str> {
        for (chain, copies, references) in std::mem::take(&mut walk.long).into_values() {
            walk.own_chain(&self.pool, &chain)?;
            let counted = if copies > 1 { self.pool.read_value(chain.start()).0 } else { 1 };
            holds(references == counted, "a long message counts who refers to it")?;
        }
        Ok(())
    }

    /// The newest record of a log is there as long as the mailbox has mail, deleted or not.
    fn check_order(&self) -> Result<(), &'static str> {
        let mut before_ms = 0;
        for index in self.directory.stocked_oldest_first(slots(&self.pool)) {
            let mailbox = super::Mailbox { slot: index, generation: self.slot(index).generation };
            let newest_ms =
                self.headers(mailbox).last().map_or(0, |(_, header)| header.received_monotonic_ms);
            holds(before_ms <= newest_ms, "mailboxes are in the order in which they had mail")?;
            before_ms = newest_ms;
        }
        Ok(())
    }
}

impl Walk {
    fn own(&mut self, arena: u32) -> Result<(), &'static str> {
        let owned = self.owned.get_mut(arena as usize).ok_or("a link leads to an arena")?;
        holds(!std::mem::replace(owned, true), "no arena is owned twice")?;
        self.owned_arenas += 1;
        Ok(())
    }

    fn own_chain(&mut self, pool: &StorePool, chain: &Chain) -> Result<(), &'static str> {
        let mut last = None;
        for arena in pool.arenas_of(chain) {
            self.own(arena)?;
            last = Some(arena);
        }
        holds(last.is_none_or(|last| last == chain.tail()), "a chain ends at its tail")
    }

    /// Notes that a record refers to a long message, if it does.
    fn refer(&mut self, header: &Header) -> Result<(), &'static str> {
        let Header { body, copies, .. } = *header;
        if body.is_empty() {
            return Ok(());
        }
        holds((body.head() as usize) < self.owned.len(), "a record's body is in an arena")?;
        holds(
            StorePool::bytes(&body) == BODY_FRONT_BYTES + header.body_bytes as usize,
            "a long message is as long as its record says",
        )?;
        let (chain, of, references) = self.long.entry(body.head()).or_insert((body, copies, 0));
        *references += 1;
        holds((*chain, *of) == (body, copies), "the records of a long message agree on it")
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::super::record::{Body, begin_envelope};
    use super::super::{
        Capacity, Client, Demand, Mailbox, MailboxName, Naming, Protocol, slots_mut,
    };
    use super::*;
    use crate::clock::Now;
    use crate::limits::MIB;

    const LONG_BYTES: usize = 10_000;

    fn client() -> Client<'static> {
        let source = IpAddr::from([192, 0, 2, 1]);
        Client { helo: b"client.example", source, protocol: Protocol::default() }
    }

    fn deliver(store: &mut Store, names: &[&str], bytes: usize, now: Now) {
        let mut draft = store.open(b"from@example.com", now).unwrap();
        for name in names {
            let name = MailboxName::of(name, Naming::Local).unwrap();
            store.add_recipient(&mut draft, b"to@example.com", &name, now).unwrap();
        }
        store.commit(draft, &[&vec![b'x'; bytes]], &client(), now).unwrap();
    }

    /// Slot 0: a short message, a deleted one and a long one; slot 1: the same long one and a later
    /// short one; slot 2: nothing any more. And a draft.
    fn store() -> Store {
        let demand = Demand {
            memory_bytes: 4 * MIB,
            mailboxes_max: 8,
            mailbox_bytes_max: MIB / 4,
            mailbox_messages_max: 8,
            message_bytes_max: LONG_BYTES,
            ttl_ms: None,
        };
        let mut store = Store::new(Capacity::of(&demand).unwrap(), 7).unwrap();
        let now = Now { monotonic_ms: 1, unix_ms: 1 };
        deliver(&mut store, &["a"], 10, now);
        deliver(&mut store, &["a"], 20, now);
        deliver(&mut store, &["a", "b"], LONG_BYTES, now);
        deliver(&mut store, &["c"], 30, now);
        deliver(&mut store, &["b"], 40, Now { monotonic_ms: 2, ..now });
        let second = store.messages(mailbox(&store, 0), now).nth(1).unwrap();
        store.delete(mailbox(&store, 0), second.id, now).unwrap();
        store.purge(mailbox(&store, 2), now);
        let _ = store.open(b"from@example.com", now).unwrap();
        store
    }

    fn mailbox(store: &Store, slot: u32) -> Mailbox {
        Mailbox { slot, generation: store.slot(slot).generation }
    }

    fn record(store: &Store, slot: u32, number: usize) -> (Position, Header) {
        store.headers(mailbox(store, slot)).nth(number).unwrap()
    }

    /// Changes a record's header, and leaves its checksum as it was.
    fn damage(store: &mut Store, slot: u32, number: usize, change: impl Fn(&mut Header)) {
        let (at, mut header) = record(store, slot, number);
        change(&mut header);
        store.pool.overwrite(at, bytemuck::bytes_of(&header));
    }

    /// Puts a sound header, of other values, in place of a record's.
    fn forge(store: &mut Store, slot: u32, number: usize, change: impl Fn(&mut Header)) {
        let (at, mut header) = record(store, slot, number);
        change(&mut header);
        let mut head = Vec::new();
        begin_envelope(&mut head, b"", b"");
        let envelope_bytes = header.envelope_bytes as usize;
        head.resize(HEADER_BYTES + envelope_bytes, 0);
        let now = Now { monotonic_ms: header.received_monotonic_ms, unix_ms: 0 };
        let Header { sequence, before, body_bytes, body, copies, .. } = header;
        let body = Body { bytes: body_bytes, chain: body, copies };
        Header::new(sequence, before, now, &client(), envelope_bytes, body).seal(&mut head);
        store.pool.overwrite(at, &head);
    }

    fn slot(store: &mut Store, index: usize) -> &mut Slot {
        &mut slots_mut(&mut store.pool)[index]
    }

    /// The arenas that a chain says are its first and its last.
    fn ends(chain: &mut Chain) -> &mut [u32; 2] {
        bytemuck::cast_mut::<Chain, [u32; 5]>(chain).first_chunk_mut().unwrap()
    }

    /// Both records of the long message.
    fn forge_long(store: &mut Store, change: impl Fn(&mut Header)) {
        forge(store, 0, 2, &change);
        forge(store, 1, 0, &change);
    }

    type Break = fn(&mut Store);

    #[test]
    fn every_law_is_seen_to_be_broken() {
        let breaks: &[(&str, Break)] = &[
            ("a mailbox keeps to its size", |store| {
                store.capacity.mailbox_arenas_max = store.slot(0).arenas() - 1;
            }),
            ("and to its messages", |store| store.capacity.mailbox_messages_max = 1),
            ("no slot stays pinned", |store| slot(store, 1).pinned = 1),
            ("a log ends where a record does", |store| {
                let mut log = store.slot(1).log;
                store.pool.append(&mut log, b"x").unwrap();
                slot(store, 1).log = log;
            }),
            ("a record lies within its log", |store| {
                damage(store, 0, 0, |header| header.record_bytes = HEADER_BYTES as u32 - 1);
            }),
            ("a record lies within its log", |store| {
                damage(store, 1, 1, |header| header.record_bytes += 1);
            }),
            ("and its envelope within it", |store| {
                damage(store, 0, 0, |header| header.envelope_bytes = header.record_bytes + 1);
            }),
            ("a record's checksum is right", |store| {
                damage(store, 0, 2, |header| header.received_unix_ms += 1);
            }),
            ("a record's number is the next one", |store| {
                forge(store, 0, 2, |header| header.sequence = 1);
            }),
            ("a record's number is the next one", |store| {
                forge(store, 0, 2, |header| header.sequence = 3);
            }),
            ("a record knows the one before it", |store| {
                let first = record(store, 0, 0).0;
                forge(store, 0, 2, |header| header.before = first);
            }),
            ("a mailbox knows its newest record", |store| {
                slot(store, 0).newest = record(store, 0, 1).0;
            }),
            ("a mailbox knows the number of its next record", |store| {
                slot(store, 0).next_sequence += 1;
            }),
            ("the oldest record is of mail that is there", |store| {
                damage(store, 0, 0, |header| header.flags |= DELETED);
            }),
            ("a mailbox counts its messages", |store| slot(store, 0).messages += 1),
            ("a mailbox counts what its long messages take", |store| {
                slot(store, 1).body_arenas += 1;
            }),
            ("a record's body is in an arena", |store| {
                forge(store, 0, 2, |header| ends(&mut header.body)[0] = u32::MAX - 1);
            }),
            ("a long message is as long as its record says", |store| {
                forge(store, 0, 2, |header| header.body_bytes += 1);
            }),
            ("the records of a long message agree on it", |store| {
                forge(store, 1, 0, |header| ends(&mut header.body)[1] -= 1);
            }),
            ("the records of a long message agree on it", |store| {
                forge(store, 1, 0, |header| header.copies += 1);
            }),
            ("a long message counts who refers to it", |store| {
                let front = record(store, 0, 2).1.body.start();
                store.pool.overwrite(front, &3_u32.to_ne_bytes());
            }),
            ("a long message counts who refers to it", |store| {
                forge_long(store, |header| header.copies = 1);
            }),
            ("a chain ends at its tail", |store| {
                forge_long(store, |header| ends(&mut header.body)[1] -= 1);
            }),
            ("a chain ends at its tail", |store| ends(&mut slot(store, 0).log)[1] += 1),
            ("no arena is owned twice", |store| slot(store, 1).log = store.slot(0).log),
            ("mailboxes are in the order in which they had mail", |store| {
                forge(store, 0, 2, |header| header.received_monotonic_ms = 3);
            }),
            ("every arena is a mailbox's, a draft's or free", |store| {
                store.figures.arenas_drafts += 1;
            }),
            ("drafts keep to their share", |store| store.capacity.draft_arenas_max = 0),
            ("messages are counted", |store| store.figures.messages += 1),
            ("mailboxes with mail are counted", |store| store.figures.mailboxes += 1),
            ("no removal is silent", |store| store.figures.lost.deleted -= 1),
            // What the directory's own walk says is said here too.
            ("stocked mailboxes have mail", |store| slot(store, 0).messages = 0),
        ];
        assert_eq!(store().check_invariants(), Ok(()));
        for (law, break_it) in breaks {
            let mut store = store();
            break_it(&mut store);
            assert_eq!(store.check_invariants(), Err(*law));
        }
    }
}
