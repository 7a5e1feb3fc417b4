//! What is so of every store between any two calls: a walk over all that is linked, for tests to ask
//! after each step. Not here: what may be in it, which only whoever filled it knows.
//!
//! ```text
//! every arena  =  in one mailbox's log  |  in one long message's chain  |  free  |  of a draft
//! ```
//!
//! Drafts are in the hands of sessions, so theirs are counted and not walked.

use super::directory::Slot;
use super::law::holds;
use super::pool::{Chain, Position};
use super::record::{BODY_HEADER_BYTES, BodyHeader, DELETED, HEADER_BYTES, Header};
use super::{Store, StorePool, slots};

/// What the walk has found so far.
struct Walk {
    owned: Vec<bool>,
    owned_arenas: u32,
    /// For each arena, how many records refer to the long message that begins in it.
    references: Vec<u32>,
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
            references: vec![0; arenas],
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
        let (mut messages, mut body_arenas, mut sequence) = (0, 0, None);
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
            holds(
                sequence.is_none_or(|before| before < header.sequence)
                    && header.sequence < slot.next_sequence,
                "records are in the order of their numbers",
            )?;
            let is_first = sequence.replace(header.sequence).is_none();
            holds(!(is_first && header.is(DELETED)), "the oldest record is of mail that is there")?;
            if !header.is(DELETED) {
                messages += 1;
                if header.body_head != Header::INLINE {
                    body_arenas += walk.refer(&self.pool, header)?;
                }
            }
            left -= record_bytes;
            at = self.pool.skip(at, record_bytes);
        }
        walk.messages += u64::from(messages);
        holds(slot.messages == messages, "a mailbox counts its messages")?;
        holds(slot.body_arenas == body_arenas, "a mailbox counts what its long messages take")
    }

    fn check_long_messages(&self, walk: &mut Walk) -> Result<(), &'static str> {
        for head in 0..self.capacity.arenas {
            let references = walk.references[head as usize];
            if references > 0 {
                let body: BodyHeader = self.pool.read_value(Position::start_of(head)).0;
                holds(body.references == references, "a long message counts who refers to it")?;
                walk.own_chain(&self.pool, &body.chain)?;
            }
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

    /// Notes that a record refers to a long message, and says how many arenas that has.
    fn refer(&mut self, pool: &StorePool, header: Header) -> Result<u32, &'static str> {
        let head = header.body_head as usize;
        let references = self.references.get_mut(head).ok_or("a record's body is in an arena")?;
        *references += 1;
        let body: BodyHeader = pool.read_value(Position::start_of(header.body_head)).0;
        holds(
            StorePool::bytes(&body.chain) == BODY_HEADER_BYTES + header.body_bytes as usize,
            "a long message is as long as its record says",
        )?;
        Ok(body.chain.arenas())
    }
}
