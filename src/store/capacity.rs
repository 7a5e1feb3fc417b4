//! How much a store can hold: from what the operator asks to a number of arenas, or to the reason
//! why that can't be had. Everything is settled here, so that later nothing can run short but what
//! was meant to.

use std::fmt;

use super::directory::{Directory, SLOT_BYTES};
use super::record::{BODY_FRONT_BYTES, RECORD_ARENAS_MAX};
use super::{MessageId, StorePool};
use crate::limits::{
    ARENA_BYTES, DRAFTS_SHARE, MESSAGE_BYTES_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX, RECENT_MESSAGES,
    RECIPIENTS_MAX,
};

/// The head of the mapping: what the pool is, for whoever reads it again.
pub(super) const SUPERBLOCK_BYTES: usize = 64;

/// The most that the envelope of a draft takes: the reverse-path, and a forward-path and a name for
/// each recipient, each behind its length.
pub(super) const DRAFT_ENVELOPE_BYTES_MAX: usize = (PATH_BYTES_MAX + size_of::<u16>())
    + RECIPIENTS_MAX * (PATH_BYTES_MAX + NAME_BYTES_MAX + 2 * size_of::<u16>());

/// What the operator asks of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The whole mapping, in bytes: mailbox table, links and arenas.
    pub memory_bytes: usize,
    /// How many mailboxes there can be at once.
    pub mailboxes_max: u32,
    /// What one mailbox may take of the pool, in bytes.
    pub mailbox_bytes_max: usize,
    /// How many messages one mailbox may hold.
    pub mailbox_messages_max: u32,
    /// The longest message, in bytes, as it is kept.
    pub message_bytes_max: usize,
    /// How long a message is kept at most, in milliseconds; `None`: until it has to give way.
    pub ttl_ms: Option<u64>,
}

/// Why a store can't be made as it was asked for. What the operator typed for that, and what to type
/// instead, is the configuration's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// A number that must be at least 1 is 0: the one of this key.
    Zero(&'static str),
    /// A mailbox has no room for the longest message: it would have to be this many bytes.
    Mailbox {
        /// The least that will do.
        needed_bytes: usize,
    },
    /// The pool has no room for what one message may take: it would have to be this many bytes.
    Memory {
        /// The least that will do.
        needed_bytes: usize,
    },
    /// Longer than [`MESSAGE_BYTES_MAX`].
    Message,
}

impl fmt::Display for Shortage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero(what) => write!(formatter, "{what} is 0"),
            Self::Mailbox { needed_bytes } => write!(
                formatter,
                "a mailbox needs {needed_bytes} bytes to have room for the longest message"
            ),
            Self::Memory { needed_bytes } => write!(
                formatter,
                "the pool needs {needed_bytes} bytes for its mailbox table, the longest message, \
                 and drafts beside it"
            ),
            Self::Message => {
                write!(formatter, "the longest message has more than {MESSAGE_BYTES_MAX} bytes")
            }
        }
    }
}

impl std::error::Error for Shortage {}

/// What a store of a certain shape consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    pub(super) mailboxes_max: u32,
    pub(super) mailbox_messages_max: u32,
    pub(super) message_bytes_max: usize,
    pub(super) ttl_ms: Option<u64>,
    pub(super) front_bytes: usize,
    pub(super) arenas: u32,
    /// What one mailbox may own or share, in arenas.
    pub(super) mailbox_arenas_max: u32,
    /// What all drafts together may own, in arenas.
    pub(super) draft_arenas_max: u32,
}

impl Capacity {
    /// The shape of the store that was asked for.
    ///
    /// # Errors
    /// What is missing for it, and how much.
    pub fn of(demand: &Demand) -> Result<Self, Shortage> {
        for (value, name) in [
            (demand.mailboxes_max as usize, "mailboxes"),
            (demand.mailbox_messages_max as usize, "messages-per-mailbox"),
            (demand.message_bytes_max, "message-size"),
        ] {
            if value == 0 {
                return Err(Shortage::Zero(name));
            }
        }
        if demand.message_bytes_max > MESSAGE_BYTES_MAX {
            return Err(Shortage::Message);
        }
        let body_arenas = (demand.message_bytes_max + BODY_FRONT_BYTES).div_ceil(ARENA_BYTES);
        let mailbox_arenas = demand.mailbox_bytes_max / ARENA_BYTES;
        if mailbox_arenas < body_arenas + RECORD_ARENAS_MAX {
            let needed_bytes = (body_arenas + RECORD_ARENAS_MAX) * ARENA_BYTES;
            return Err(Shortage::Mailbox { needed_bytes });
        }
        let front_bytes = SUPERBLOCK_BYTES + demand.mailboxes_max as usize * SLOT_BYTES;
        let arenas_needed = arenas_needed(body_arenas, demand.mailboxes_max);
        let arenas = StorePool::arenas_in(demand.memory_bytes, front_bytes);
        if arenas < arenas_needed {
            // Twice an arena more than exact, as `arenas_in` may leave that much unused.
            let needed_bytes =
                StorePool::mapping_bytes(front_bytes, arenas_needed) + 2 * ARENA_BYTES;
            return Err(Shortage::Memory { needed_bytes });
        }
        Ok(Self {
            mailboxes_max: demand.mailboxes_max,
            mailbox_messages_max: demand.mailbox_messages_max,
            message_bytes_max: demand.message_bytes_max,
            ttl_ms: demand.ttl_ms,
            front_bytes,
            arenas,
            mailbox_arenas_max: u32::try_from(mailbox_arenas).unwrap_or(u32::MAX),
            draft_arenas_max: arenas / DRAFTS_SHARE,
        })
    }

    /// How many recipients a message may have: each may mean a mailbox of its own.
    pub(super) fn recipients_max(&self) -> usize {
        RECIPIENTS_MAX.min(self.mailboxes_max as usize)
    }

    /// What the store takes, term by term, in bytes; the first three are one mapping.
    #[must_use]
    pub fn memory_terms(&self) -> [(&'static str, usize); 5] {
        let mapping = StorePool::mapping_bytes(self.front_bytes, self.arenas);
        let arenas = self.arenas as usize * ARENA_BYTES;
        [
            ("mailbox table", self.front_bytes),
            ("arena links", mapping - arenas - self.front_bytes),
            ("arenas", arenas),
            ("directory", Directory::buckets(self.mailboxes_max) * size_of::<u32>()),
            (
                "recent ring and scratch",
                RECENT_MESSAGES * size_of::<MessageId>() + super::SCRATCH_BYTES,
            ),
        ]
    }

    /// How many arenas there are.
    #[must_use]
    pub fn arenas(&self) -> u32 {
        self.arenas
    }
}

/// With so many arenas a draft can hold the longest message, and a message that is whole can always
/// be committed: the share that drafts may not take suffices for it and for all its recipients.
fn arenas_needed(body_arenas: usize, mailboxes: u32) -> u32 {
    let draft = body_arenas + DRAFT_ENVELOPE_BYTES_MAX.div_ceil(ARENA_BYTES);
    let records = RECIPIENTS_MAX.min(mailboxes as usize) * RECORD_ARENAS_MAX;
    let drafts_share = DRAFTS_SHARE as usize;
    let for_drafts = draft * drafts_share;
    let for_commits = ((body_arenas + records) * drafts_share).div_ceil(drafts_share - 1);
    // Rounding down the share of the drafts costs them up to one arena.
    u32::try_from(for_drafts.max(for_commits) + drafts_share).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{MailboxName, Naming, Refusal, Store};
    use super::*;
    use crate::clock::Now;
    use crate::limits::{KIB, MIB};

    fn demand() -> Demand {
        Demand {
            memory_bytes: 4 * MIB,
            mailboxes_max: 100,
            mailbox_bytes_max: 256 * KIB,
            mailbox_messages_max: 10,
            message_bytes_max: 64 * KIB,
            ttl_ms: None,
        }
    }

    #[test]
    fn what_a_shortage_asks_for_suffices_and_is_the_least_but_for_rounding() {
        let mut asked = Demand { memory_bytes: 0, mailbox_bytes_max: 0, ..demand() };
        let Err(Shortage::Mailbox { needed_bytes }) = Capacity::of(&asked) else { panic!() };
        asked.mailbox_bytes_max = needed_bytes - 1;
        assert_eq!(Capacity::of(&asked), Err(Shortage::Mailbox { needed_bytes }));
        asked.mailbox_bytes_max = needed_bytes;
        let Err(Shortage::Memory { needed_bytes }) = Capacity::of(&asked) else { panic!() };
        asked.memory_bytes = needed_bytes;
        assert!(Capacity::of(&asked).is_ok());
        asked.memory_bytes = needed_bytes - 3 * ARENA_BYTES;
        assert!(Capacity::of(&asked).is_err());
    }

    #[test]
    fn a_mailbox_has_room_for_the_longest_message_behind_its_header() {
        for (message_bytes_max, arenas) in [
            (10 * ARENA_BYTES - BODY_FRONT_BYTES, 10),
            (10 * ARENA_BYTES - BODY_FRONT_BYTES + 1, 11),
        ] {
            let asked = Demand { message_bytes_max, mailbox_bytes_max: 0, ..demand() };
            let needed_bytes = (arenas + RECORD_ARENAS_MAX) * ARENA_BYTES;
            assert_eq!(Capacity::of(&asked), Err(Shortage::Mailbox { needed_bytes }));
        }
    }

    #[test]
    fn a_shortage_says_what_is_missing_and_how_much() {
        for (shortage, said) in [
            (Shortage::Zero("mailboxes"), "mailboxes is 0"),
            (Shortage::Mailbox { needed_bytes: 7 }, "a mailbox needs 7 bytes"),
            (Shortage::Memory { needed_bytes: 7 }, "the pool needs 7 bytes"),
            (Shortage::Message, "the longest message has more than 1073741824 bytes"),
        ] {
            assert!(shortage.to_string().starts_with(said), "{shortage}");
        }
    }

    #[test]
    fn nothing_may_be_zero_and_no_message_longer_than_records_count() {
        for asked in [
            Demand { mailboxes_max: 0, ..demand() },
            Demand { mailbox_messages_max: 0, ..demand() },
            Demand { message_bytes_max: 0, ..demand() },
        ] {
            assert!(matches!(Capacity::of(&asked), Err(Shortage::Zero(_))));
        }
        let asked = Demand { message_bytes_max: MESSAGE_BYTES_MAX + 1, ..demand() };
        assert_eq!(Capacity::of(&asked), Err(Shortage::Message));
        let longest = Demand { message_bytes_max: MESSAGE_BYTES_MAX, ..demand() };
        assert!(
            matches!(Capacity::of(&longest), Err(Shortage::Mailbox { .. })),
            "it may be asked for"
        );
    }

    #[test]
    fn the_terms_of_one_mapping_stay_within_the_memory_asked_for() {
        let capacity = Capacity::of(&demand()).unwrap();
        let mapping: usize = capacity.memory_terms()[..3].iter().map(|term| term.1).sum();
        assert!(mapping <= demand().memory_bytes);
        assert!(mapping + 3 * ARENA_BYTES > demand().memory_bytes);
    }

    #[test]
    fn the_terms_are_what_a_store_takes() {
        let capacity = Capacity::of(&demand()).unwrap();
        let store = Store::new(capacity.clone(), 1).unwrap();
        let [table, links, arenas, directory, rest] = capacity.memory_terms().map(|term| term.1);
        assert_eq!(table, store.pool.front().len());
        assert_eq!(arenas, capacity.arenas() as usize * ARENA_BYTES);
        assert_eq!(capacity.arenas(), store.pool.arenas());
        let links_needed = capacity.arenas() as usize * size_of::<u32>();
        assert!((links_needed..links_needed + 2 * ARENA_BYTES).contains(&links));
        assert_eq!(directory, 256 * size_of::<u32>(), "two for each mailbox, and a power of two");
        let scratch = store.draft_envelope.capacity() + store.record_head.capacity();
        let targets = store.targets.capacity() * size_of::<u32>();
        assert_eq!(rest, RECENT_MESSAGES * size_of::<MessageId>() + scratch + targets);
    }

    #[test]
    fn the_longest_envelope_of_a_draft_takes_what_is_counted_for_it() {
        let asked = Demand { mailboxes_max: 2 * RECIPIENTS_MAX as u32, ..demand() };
        let mut store = Store::new(Capacity::of(&asked).unwrap(), 1).unwrap();
        let now = Now { monotonic_ms: 0, unix_ms: 0 };
        let path = [b'a'; PATH_BYTES_MAX + 1];
        let name = MailboxName::of(&"n".repeat(NAME_BYTES_MAX), Naming::Local).unwrap();
        let mut draft = store.open(&path, now).unwrap();
        for _ in 0..RECIPIENTS_MAX {
            assert_eq!(store.add_recipient(&mut draft, &path, &name, now), Ok(()));
        }
        let one_more = store.add_recipient(&mut draft, &path, &name, now);
        assert_eq!(one_more, Err(Refusal::TooManyRecipients));
        assert_eq!(StorePool::bytes(&draft.envelope), DRAFT_ENVELOPE_BYTES_MAX);
        store.abandon(draft);
    }

    /// Whether so many arenas hold the longest draft within the drafts' share, and the longest
    /// message with all its copies beside a share that is full.
    fn suffice(arenas: usize, body_arenas: usize, mailboxes: u32) -> bool {
        let drafts = arenas / DRAFTS_SHARE as usize;
        let draft = body_arenas + DRAFT_ENVELOPE_BYTES_MAX.div_ceil(ARENA_BYTES);
        let copies = RECIPIENTS_MAX.min(mailboxes as usize) * RECORD_ARENAS_MAX;
        drafts >= draft && arenas - drafts >= body_arenas + copies
    }

    #[test]
    fn law_the_arenas_needed_suffice_and_few_less_would_not() {
        for body_arenas in (1..1000).step_by(7) {
            for mailboxes in [1, 2, 50, 99, 100, 101, 65_536] {
                let needed = arenas_needed(body_arenas, mailboxes) as usize;
                let shape = (needed, body_arenas, mailboxes);
                assert!(suffice(needed, body_arenas, mailboxes), "{shape:?}");
                let fewer = needed - 2 * DRAFTS_SHARE as usize;
                assert!(!suffice(fewer, body_arenas, mailboxes), "{shape:?}");
            }
        }
    }
}
