//! The store: mail in fixed memory. It takes drafts, commits them to mailboxes, shows what is
//! there, and makes room by documented rules, counting what it took. Not here: sockets, protocols,
//! or the clock; the time is an argument.
//!
//! ```text
//!  pool       arenas: one mapping, taken at start                      pool.rs
//!  record     a message in a mailbox's log, its envelope before it     record.rs
//!  directory  names → mailboxes, and the order in which they had mail  directory.rs
//!  draft      a message on its way in                                  draft.rs
//!  commit     from a draft to its mailboxes, to all or to none         commit.rs
//!  reading    what is there                                            reading.rs
//!  removal    evicted, expired, deleted, and counted                   removal.rs
//!  recent     the newest messages over all mailboxes                   recent.rs
//!  id         what names a message                                 id.rs
//!  name       which mailbox an address means                           name.rs
//!  capacity   from what is asked for to a number of arenas             capacity.rs
//!  figures    what it holds and has done, for metrics                  figures.rs
//!  invariants what is always so, for tests to ask                      invariants.rs law.rs
//! ```

use std::io;

use bytemuck::{Pod, Zeroable};

use crate::limits::{ARENA_BYTES, ENVELOPE_BYTES_MAX, RECENT_MESSAGES, RECIPIENTS_MAX};

mod capacity;
mod commit;
mod directory;
mod draft;
mod figures;
mod id;
mod invariants;
mod law;
mod name;
pub mod pool;
mod reading;
mod recent;
mod record;
mod removal;

#[cfg(test)]
mod model_test;

pub use capacity::{Capacity, Demand, Shortage};
#[doc(hidden)]
pub use directory::BareDirectory;
pub use directory::{Lost, SLOT_BYTES};
pub use draft::Draft;
pub use figures::Figures;
pub use id::{IdText, MessageId, NotAnId};
pub use name::{MailboxName, Naming};
pub use reading::{Cursor, Mailbox, Message, Missing, Reading};
pub use record::{Client, Envelope, Protocol};

use capacity::{DRAFT_ENVELOPE_BYTES_MAX, SUPERBLOCK_BYTES};
use directory::{Directory, Slot};
use recent::Recent;
use record::{HEADER_BYTES, summed_bytes};

type StorePool = pool::Pool<ARENA_BYTES>;

/// The most that stands in front of a message in its record, as long as it is when it is summed.
const RECORD_HEAD_BYTES_MAX: usize = summed_bytes(HEADER_BYTES + ENVELOPE_BYTES_MAX);

/// Memory for putting envelopes together.
const SCRATCH_BYTES: usize =
    DRAFT_ENVELOPE_BYTES_MAX + RECORD_HEAD_BYTES_MAX + RECIPIENTS_MAX * size_of::<u32>();

/// Why the store did not take something. It is as if it had never been offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The drafts hold all that they may: come again later.
    DraftsFull,
    /// The message has as many recipients as one may have.
    TooManyRecipients,
    /// The message is for nobody.
    NoRecipients,
    /// The message would be longer than the store takes.
    MessageTooLarge,
}

/// The head of the mapping, written at start: what a later run needs to read the rest.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Superblock {
    magic: [u8; 8],
    layout_version: u32,
    arena_bytes: u32,
    arenas: u32,
    mailboxes: u32,
}

const _: () = assert!(size_of::<Superblock>() <= SUPERBLOCK_BYTES);

/// Mail for anybody, in memory that was taken at start.
#[derive(Debug)]
pub struct Store {
    capacity: Capacity,
    pool: StorePool,
    directory: Directory,
    recent: Recent,
    figures: Figures,
    /// The slot that the next sweep looks at first.
    swept: u32,
    /// The envelope of the draft that is being committed.
    draft_envelope: Vec<u8>,
    /// Header and envelope of the copy that is being written.
    record_head: Vec<u8>,
    /// The mailbox of each recipient of the draft that is being committed.
    targets: Vec<u32>,
}

impl Store {
    /// Takes all the memory that the store will ever use. `seed` keys the directory's hash, so that
    /// nobody can choose names that collide, and starts the ids, so that those of an earlier run
    /// mean nothing; it must be random.
    ///
    /// # Errors
    /// What the kernel says if it has not that much memory.
    pub fn new(capacity: Capacity, seed: u128) -> io::Result<Self> {
        let mut pool = StorePool::new(capacity.front_bytes, capacity.arenas)?;
        let superblock = Superblock {
            magic: *b"mailfly\n",
            layout_version: 1,
            arena_bytes: ARENA_BYTES as u32,
            arenas: capacity.arenas,
            mailboxes: capacity.mailboxes_max,
        };
        let bytes = bytemuck::bytes_of(&superblock);
        pool.front_mut()[..bytes.len()].copy_from_slice(bytes);
        Ok(Self {
            pool,
            directory: Directory::new(capacity.mailboxes_max, seed),
            recent: Recent::new(RECENT_MESSAGES),
            figures: Figures { arenas: capacity.arenas, ..Figures::default() },
            swept: 0,
            draft_envelope: Vec::with_capacity(DRAFT_ENVELOPE_BYTES_MAX),
            record_head: Vec::with_capacity(RECORD_HEAD_BYTES_MAX),
            targets: Vec::with_capacity(RECIPIENTS_MAX),
            capacity,
        })
    }

    /// What the store holds and has done.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures { arenas_free: self.pool.free_arenas(), ..self.figures }
    }

    /// How many arenas drafts own, and how many they may.
    #[must_use]
    pub fn draft_arenas(&self) -> (u32, u32) {
        (self.figures.arenas_drafts, self.capacity.draft_arenas_max)
    }

    fn slot(&self, index: u32) -> &Slot {
        &slots(&self.pool)[index as usize]
    }

    fn slot_mut(&mut self, index: u32) -> &mut Slot {
        &mut slots_mut(&mut self.pool)[index as usize]
    }
}

/// The mailbox table, in the front of the mapping.
fn slots(pool: &StorePool) -> &[Slot] {
    bytemuck::cast_slice(&pool.front()[SUPERBLOCK_BYTES..])
}

fn slots_mut(pool: &mut StorePool) -> &mut [Slot] {
    bytemuck::cast_slice_mut(&mut pool.front_mut()[SUPERBLOCK_BYTES..])
}
