//! Which mailboxes there are: from a name to a slot of the mailbox table, and the order in which
//! mailboxes have last had mail. Not here: what lies in a mailbox (`Store`).
//!
//! ```text
//! buckets   [ u32 | u32 | ... ]      by keyed hash: peers choose the names
//!              └→ slot ─hash_next→ slot ─→ ...
//! stocked   newest ⇄ slot ⇄ ... ⇄ oldest     have mail: the oldest gives way when memory is full
//! empty     newest ⇄ slot ⇄ ... ⇄ oldest     remember only what they lost: reused first
//! ```
//!
//! The table lies in the front of the pool's mapping; the buckets and both orders can be made
//! again from it.

use std::hash::Hasher;

use bytemuck::{Pod, Zeroable};
use siphasher::sip::SipHasher13;

use super::MessageId;
use super::law::holds;
use super::name::MailboxName;
use super::pool::{Chain, Position};
use crate::limits::NAME_BYTES_MAX;

const NONE: u32 = u32::MAX;

/// How many messages a mailbox has lost, by the rule that took them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Lost {
    /// Evicted because the mailbox was full of newer mail.
    pub mailbox_full: u64,
    /// Evicted because the pool or the table was full, and this mailbox had gone longest without
    /// mail.
    pub memory_full: u64,
    /// Older than the time-to-live.
    pub expired: u64,
    /// Deleted because somebody asked for it.
    pub deleted: u64,
}

impl Lost {
    /// Over all rules.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.mailbox_full + self.memory_full + self.expired + self.deleted
    }
}

/// One mailbox, as it lies in the table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct Slot {
    name: [u8; NAME_BYTES_MAX],
    pub(super) lost: Lost,
    pub(super) next_sequence: u64,
    /// The records, oldest first; the first of them is of a message that is still there.
    pub(super) log: Chain,
    /// Where the newest of them is, if there is one.
    pub(super) newest: Position,
    /// Arenas of long messages that records of this log refer to, shared ones included.
    pub(super) body_arenas: u32,
    /// Messages that are there: records without those that wait to be dropped.
    pub(super) messages: u32,
    pub(super) generation: u32,
    name_bytes: u32,
    hash: u32,
    hash_next: u32,
    newer: u32,
    older: u32,
    /// 1 while a message is being committed to it: its slot is not to be reused.
    pub(super) pinned: u32,
}

/// What a mailbox takes of the table, in bytes.
pub const SLOT_BYTES: usize = size_of::<Slot>();
const _: () = assert!(SLOT_BYTES == 360, "no hidden padding: the table is read as plain bytes");

impl Slot {
    pub(super) fn name(&self) -> &[u8] {
        &self.name[..self.name_bytes as usize]
    }

    /// Arenas that count against the mailbox's cap.
    pub(super) fn arenas(&self) -> u32 {
        self.log.arenas() + self.body_arenas
    }
}

/// One of the two orders.
#[derive(Clone, Copy, Debug)]
struct Order {
    newest: u32,
    oldest: u32,
}

impl Order {
    const EMPTY: Self = Self { newest: NONE, oldest: NONE };

    fn push_newest(&mut self, slots: &mut [Slot], index: u32) {
        slots[index as usize].newer = NONE;
        slots[index as usize].older = self.newest;
        match self.newest {
            NONE => self.oldest = index,
            newest => slots[newest as usize].newer = index,
        }
        self.newest = index;
    }

    /// At most as many steps as a message has recipients, since only theirs are pinned.
    fn oldest_unpinned(&self, slots: &[Slot]) -> Option<u32> {
        let mut index = self.oldest;
        while index != NONE && slots[index as usize].pinned != 0 {
            index = slots[index as usize].newer;
        }
        (index != NONE).then_some(index)
    }

    fn remove(&mut self, slots: &mut [Slot], index: u32) {
        let Slot { newer, older, .. } = slots[index as usize];
        match newer {
            NONE => self.newest = older,
            newer => slots[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => slots[older as usize].newer = newer,
        }
    }
}

/// The index over the mailbox table.
#[derive(Debug)]
pub(super) struct Directory {
    buckets: Vec<u32>,
    key: (u64, u64),
    stocked: Order,
    empty: Order,
    /// Slots below this one have held a mailbox.
    used: u32,
    first_generation: u32,
}

impl Directory {
    /// How many buckets there are for so many mailboxes: on average at most one name in two.
    pub(super) fn buckets(mailboxes: u32) -> usize {
        (mailboxes as usize * 2).next_power_of_two()
    }

    pub(super) fn new(mailboxes: u32, seed: u128) -> Self {
        Self {
            buckets: vec![NONE; Self::buckets(mailboxes)],
            key: (seed as u64, (seed >> 64) as u64),
            stocked: Order::EMPTY,
            empty: Order::EMPTY,
            used: 0,
            // Ids of an earlier run must not name mail of this one.
            first_generation: (seed >> 32) as u32,
        }
    }

    /// How many slots have held a mailbox; all others are behind them.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// The mailbox that has mail, and has gone longest without more.
    pub(super) fn oldest_stocked(&self) -> Option<u32> {
        (self.stocked.oldest != NONE).then_some(self.stocked.oldest)
    }

    /// The same among those that no message is being committed to.
    pub(super) fn oldest_stocked_unpinned(&self, slots: &[Slot]) -> Option<u32> {
        self.stocked.oldest_unpinned(slots)
    }

    pub(super) fn find(&self, slots: &[Slot], name: &MailboxName) -> Option<u32> {
        let hash = self.hash(name);
        let mut index = self.buckets[self.bucket(hash)];
        while index != NONE {
            let slot = &slots[index as usize];
            if slot.hash == hash && slot.name() == name.as_bytes() {
                return Some(index);
            }
            index = slot.hash_next;
        }
        None
    }

    /// How many mailboxes the slot of an id has held since the one that the id is of, or `None` if
    /// there was never such a mailbox.
    pub(super) fn mailboxes_since(&self, slots: &[Slot], id: MessageId) -> Option<u32> {
        let slot = slots[..self.used as usize].get(id.slot as usize)?;
        let since = slot.generation.wrapping_sub(id.generation);
        (since <= slot.generation.wrapping_sub(self.first_generation)).then_some(since)
    }

    /// A slot for a mailbox that is about to have mail, or `None` if every slot is taken by one that
    /// has mail: then [`Directory::oldest_stocked_unpinned`] must be emptied first.
    pub(super) fn create(&mut self, slots: &mut [Slot], name: &MailboxName) -> Option<u32> {
        let (index, generation) = if (self.used as usize) < slots.len() {
            self.used += 1;
            (self.used - 1, self.first_generation)
        } else {
            let index = self.empty.oldest_unpinned(slots)?;
            self.empty.remove(slots, index);
            self.unhash(slots, index);
            (index, slots[index as usize].generation.wrapping_add(1))
        };
        let hash = self.hash(name);
        let bucket = self.bucket(hash);
        let slot = &mut slots[index as usize];
        *slot = Slot {
            generation,
            hash,
            hash_next: self.buckets[bucket],
            log: Chain::EMPTY,
            name_bytes: name.as_bytes().len() as u32,
            ..Slot::zeroed()
        };
        slot.name[..name.as_bytes().len()].copy_from_slice(name.as_bytes());
        self.buckets[bucket] = index;
        self.empty.push_newest(slots, index);
        Some(index)
    }

    /// The mailbox has just been given mail. `was_empty`: it had none before.
    pub(super) fn stocked(&mut self, slots: &mut [Slot], index: u32, was_empty: bool) {
        if !was_empty && self.stocked.newest == index {
            return;
        }
        let order = if was_empty { &mut self.empty } else { &mut self.stocked };
        order.remove(slots, index);
        self.stocked.push_newest(slots, index);
    }

    /// The mailbox has just lost its last message.
    pub(super) fn emptied(&mut self, slots: &mut [Slot], index: u32) {
        self.stocked.remove(slots, index);
        self.empty.push_newest(slots, index);
    }

    fn hash(&self, name: &MailboxName) -> u32 {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write(name.as_bytes());
        hasher.finish() as u32
    }

    fn bucket(&self, hash: u32) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    fn unhash(&mut self, slots: &mut [Slot], index: u32) {
        let Slot { hash, hash_next, .. } = slots[index as usize];
        let bucket = self.bucket(hash);
        if self.buckets[bucket] == index {
            self.buckets[bucket] = hash_next;
            return;
        }
        let mut before = self.buckets[bucket];
        while before != NONE {
            let next = slots[before as usize].hash_next;
            if next == index {
                slots[before as usize].hash_next = hash_next;
                return;
            }
            before = next;
        }
    }

    /// Walks everything that is linked, and says what is wrong with it: for tests.
    pub(super) fn check_invariants(&self, slots: &[Slot]) -> Result<(), &'static str> {
        let mut hashed = 0;
        for &head in &self.buckets {
            let mut index = head;
            while index != NONE {
                hashed += 1;
                holds(index < self.used && hashed <= self.used, "a bucket's chain is sound")?;
                index = slots[index as usize].hash_next;
            }
        }
        holds(hashed == self.used, "every used slot is found by its name")?;
        let mut ordered = 0;
        for (order, has_mail) in [(&self.stocked, true), (&self.empty, false)] {
            let mut index = order.newest;
            let mut newer = NONE;
            while index != NONE {
                ordered += 1;
                let slot = &slots[index as usize];
                // Which a loop is not where it closes.
                holds(slot.newer == newer, "an order is the same both ways")?;
                holds((slot.messages > 0) == has_mail, "stocked mailboxes have mail")?;
                holds(slot.log.is_empty() != has_mail, "empty mailboxes own no arena")?;
                newer = index;
                index = slot.older;
            }
            holds(order.oldest == newer, "an order ends at its oldest")?;
        }
        holds(ordered == self.used, "every used slot is in one order")
    }

    /// The mailboxes that have mail, from the one that has gone longest without more to the newest.
    pub(super) fn stocked_oldest_first(&self, slots: &[Slot]) -> impl Iterator<Item = u32> {
        let following = |&index: &u32| slots.get(index as usize).map(|slot| slot.newer);
        std::iter::successors(Some(self.stocked.oldest), following)
            .take_while(|index| *index != NONE)
    }
}

/// A directory over a table of its own, without mail: for benches, which could otherwise reach it
/// only through the store, with the price of a message on top.
#[doc(hidden)]
#[derive(Debug)]
pub struct BareDirectory {
    slots: Vec<Slot>,
    directory: Directory,
}

impl BareDirectory {
    /// Room for so many names.
    #[must_use]
    pub fn new(mailboxes: u32, seed: u128) -> Self {
        let slots = vec![Slot::zeroed(); mailboxes as usize];
        Self { slots, directory: Directory::new(mailboxes, seed) }
    }

    /// Whether there is a mailbox of this name.
    #[must_use]
    pub fn contains(&self, name: &MailboxName) -> bool {
        self.directory.find(&self.slots, name).is_some()
    }

    /// Makes a mailbox for a name that has none, if need be in place of the oldest.
    pub fn insert(&mut self, name: &MailboxName) {
        // No slot is ever pinned or stocked here, so there is always one to be had.
        let _ = self.directory.create(&mut self.slots, name);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Naming;
    use super::*;

    fn name(number: usize) -> MailboxName {
        MailboxName::of(&number.to_string(), Naming::Local).unwrap()
    }

    #[test]
    fn names_are_spread_over_the_buckets_and_otherwise_for_every_seed() {
        let buckets = |seed| {
            let directory = Directory::new(1024, seed);
            let bucket = |number| directory.bucket(directory.hash(&name(number)));
            (0..1024).map(bucket).collect::<Vec<_>>()
        };
        let used: BTreeSet<usize> = buckets(1).into_iter().collect();
        // Thrown at random, 1,024 names lie in some 806 of 2,048 buckets.
        assert!((750..850).contains(&used.len()), "{}", used.len());
        for other in [0, 3, 1 << 64 | 1] {
            assert_ne!(buckets(1), buckets(other));
        }
    }

    #[test]
    fn ids_of_another_seed_mean_nothing() {
        let table = |seed| {
            let mut bare = BareDirectory::new(1, seed);
            bare.insert(&name(1));
            bare
        };
        let id = |generation| MessageId { slot: 0, generation, sequence: 0 };
        let (one, other) = (table(5 << 32), table(6 << 32));
        let since = |bare: &BareDirectory, id| bare.directory.mailboxes_since(&bare.slots, id);
        assert_eq!(since(&one, id(one.slots[0].generation)), Some(0));
        assert_eq!(since(&one, id(other.slots[0].generation)), None);
        assert_eq!(since(&other, id(one.slots[0].generation)), None);
    }

    #[test]
    fn the_newest_names_are_found_and_the_oldest_have_made_room() {
        let mut bare = BareDirectory::new(8, 3);
        for number in 0..100 {
            bare.insert(&name(number));
            for other in 0..101 {
                let is_there = (number.saturating_sub(7)..=number).contains(&other);
                assert_eq!(bare.contains(&name(other)), is_there, "{other} after {number}");
            }
            assert_eq!(bare.directory.check_invariants(&bare.slots), Ok(()));
            let slot = bare.directory.find(&bare.slots, &name(number)).unwrap();
            assert_eq!(bare.slots[slot as usize].log, Chain::EMPTY, "a new mailbox owns nothing");
        }
    }

    /// Three mailboxes with mail in the slots 0 to 2, the last of them the newest, and one without.
    fn stocked() -> BareDirectory {
        let mut bare = BareDirectory::new(4, 3);
        for index in 0..4 {
            bare.insert(&name(index as usize));
            if index < 3 {
                let mut pool = super::super::StorePool::new(0, 1).unwrap();
                pool.append(&mut bare.slots[index as usize].log, b"mail").unwrap();
                bare.slots[index as usize].messages = 1;
                bare.directory.stocked(&mut bare.slots, index, true);
            }
        }
        bare
    }

    #[test]
    fn who_makes_room_is_the_oldest_with_mail_that_no_message_is_being_committed_to() {
        let mut bare = stocked();
        for expected in [Some(0), Some(1), Some(2), None] {
            let oldest = bare.directory.oldest_stocked_unpinned(&bare.slots);
            assert_eq!(oldest, expected);
            if let Some(index) = oldest {
                bare.slots[index as usize].pinned = 1;
            }
        }
    }

    #[test]
    fn names_of_the_same_hash_are_told_apart() {
        let mut bare = BareDirectory::new(1, 3);
        bare.insert(&name(0));
        bare.slots[0].hash = bare.directory.hash(&name(1));
        let bucket = bare.directory.bucket(bare.slots[0].hash);
        bare.directory.buckets[bucket] = 0;
        assert!(!bare.contains(&name(1)));
    }

    type Break = fn(&mut BareDirectory);

    #[test]
    fn every_law_is_seen_to_be_broken() {
        let breaks: &[(&str, Break)] = &[
            ("a bucket's chain is sound", |bare| bare.slots[1].hash_next = 1),
            // One of them is looked at last, when so many were seen that another law is broken too.
            ("a bucket's chain is sound", |bare| bare.slots[0].hash_next = 4),
            ("a bucket's chain is sound", |bare| bare.slots[1].hash_next = 4),
            ("every used slot is found by its name", |bare| {
                let mut slots = bare.slots.clone();
                bare.directory.unhash(&mut slots, 2);
                bare.slots = slots;
            }),
            ("an order is the same both ways", |bare| bare.slots[0].older = 2),
            ("an order is the same both ways", |bare| bare.slots[1].newer = NONE),
            ("an order ends at its oldest", |bare| bare.slots[1].older = NONE),
            ("stocked mailboxes have mail", |bare| bare.slots[1].messages = 0),
            ("stocked mailboxes have mail", |bare| bare.slots[3].messages = 1),
            ("empty mailboxes own no arena", |bare| bare.slots[3].log = bare.slots[0].log),
            ("empty mailboxes own no arena", |bare| bare.slots[0].log = Chain::EMPTY),
            ("an order ends at its oldest", |bare| bare.directory.stocked.oldest = 1),
            ("every used slot is in one order", |bare| bare.directory.empty = Order::EMPTY),
        ];
        let sound = stocked();
        assert_eq!(sound.directory.check_invariants(&sound.slots), Ok(()));
        let oldest_first: Vec<u32> = sound.directory.stocked_oldest_first(&sound.slots).collect();
        assert_eq!(oldest_first, [0, 1, 2]);
        for (law, break_it) in breaks {
            let mut bare = stocked();
            break_it(&mut bare);
            assert_eq!(bare.directory.check_invariants(&bare.slots), Err(*law));
        }
    }
}
