//! Equal arenas cut from one mapping, taken and touched when the pool is made: the only place
//! where mail is kept. Not here: what the bytes mean (`record`, `draft`), or who has to give arenas
//! back when none is free (`Store`).
//!
//! ```text
//! mapping   [ front: the owner's own table | links: u32 an arena | arenas ... ]
//! chain     head ─link→ arena ─link→ tail        a run of bytes, in arenas that it alone owns
//!           [  ^head_offset  ] [            ] [     ^tail_offset  ]
//! free      free_head ─link→ ...                 a stack: what was freed last is still warm
//! ```
//!
//! The layout holds indices, never pointers, so that the same bytes can be read again after a
//! restart; arenas that no chain reaches are the free ones.

use std::io;
use std::mem::size_of;
use std::ops::Range;

use bytemuck::{Pod, Zeroable};
use memmap2::{MmapMut, MmapOptions};

use crate::limits::PAST_CACHES_BYTES_MIN;
use crate::sys::stream::past_caches;

const LINK_BYTES: usize = size_of::<u32>();

/// The end of every chain.
const NONE: u32 = u32::MAX;

/// A run of bytes over arenas that it alone owns: bytes go in behind and leave in front.
///
/// A chain is a handle without a destructor: whoever holds it must give its arenas back with
/// [`Pool::free`] or [`Pool::drop_front`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Chain {
    head: u32,
    tail: u32,
    head_offset: u32,
    tail_offset: u32,
    arenas: u32,
}

impl Chain {
    /// The chain without bytes or arenas.
    pub const EMPTY: Self =
        Self { head: NONE, tail: NONE, head_offset: 0, tail_offset: 0, arenas: 0 };

    /// How many arenas it owns.
    #[must_use]
    pub fn arenas(&self) -> u32 {
        self.arenas
    }

    /// Whether it owns no arena, and so holds no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.arenas == 0
    }

    /// The arena that its last byte is in.
    pub(super) fn tail(&self) -> u32 {
        self.tail
    }

    /// The arena that its first byte is in: a name for the whole chain while it lives.
    pub(super) fn head(&self) -> u32 {
        self.head
    }

    /// Where its first byte is.
    #[must_use]
    pub fn start(&self) -> Position {
        Position { arena: self.head, offset: self.head_offset }
    }

    /// Where the next byte goes: a position from which what is appended later can be read.
    #[must_use]
    pub fn end(&self) -> Position {
        Position { arena: self.tail, offset: self.tail_offset }
    }
}

/// A place in a chain, from which it can be read on. It means nothing once its arena was freed.
///
/// One place has two spellings where one arena ends and the next begins; see [`Pool::settled`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Position {
    arena: u32,
    offset: u32,
}

/// No arena is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

/// A fixed number of arenas of `ARENA_BYTES` each.
#[derive(Debug)]
pub struct Pool<const ARENA_BYTES: usize> {
    map: MmapMut,
    front_bytes: usize,
    arenas_start: usize,
    arenas: u32,
    free_head: u32,
    free: u32,
}

impl<const ARENA_BYTES: usize> Pool<ARENA_BYTES> {
    /// How long the mapping of a pool is, in bytes.
    #[must_use]
    pub fn mapping_bytes(front_bytes: usize, arenas: u32) -> usize {
        arenas_start::<ARENA_BYTES>(front_bytes, arenas) + arenas as usize * ARENA_BYTES
    }

    /// How many arenas fit in a mapping of `mapping_bytes` behind a front of `front_bytes`.
    #[must_use]
    pub fn arenas_in(mapping_bytes: usize, front_bytes: usize) -> u32 {
        // The front and the links are rounded up to whole arenas: two arenas of slack at most.
        let room = mapping_bytes.saturating_sub(front_bytes + 2 * ARENA_BYTES);
        u32::try_from(room / (ARENA_BYTES + LINK_BYTES)).unwrap_or(NONE - 1)
    }

    /// Takes the mapping and touches all of it, so that its memory is the process's own from now
    /// on. The front is zeros, and its owner's to use.
    ///
    /// # Errors
    /// What the kernel says if it has no such mapping to give.
    pub fn new(front_bytes: usize, arenas: u32) -> io::Result<Self> {
        assert!(ARENA_BYTES.is_power_of_two() && arenas < NONE, "a pool's shape");
        let map = MmapOptions::new()
            .len(Self::mapping_bytes(front_bytes, arenas).max(1))
            .populate()
            .map_anon()?;
        let arenas_start = arenas_start::<ARENA_BYTES>(front_bytes, arenas);
        let mut pool = Self { map, front_bytes, arenas_start, arenas, free_head: NONE, free: 0 };
        for arena in (0..arenas).rev() {
            pool.set_link(arena, pool.free_head);
            pool.free_head = arena;
        }
        pool.free = arenas;
        Ok(pool)
    }

    /// The front of the mapping, for its owner's own tables.
    #[must_use]
    pub fn front(&self) -> &[u8] {
        &self.map[..self.front_bytes]
    }

    /// The front of the mapping, to write.
    pub fn front_mut(&mut self) -> &mut [u8] {
        &mut self.map[..self.front_bytes]
    }

    /// How many arenas there are in all.
    #[must_use]
    pub fn arenas(&self) -> u32 {
        self.arenas
    }

    /// How many arenas no chain owns.
    #[must_use]
    pub fn free_arenas(&self) -> u32 {
        self.free
    }

    /// How many arenas a chain still has to take before `bytes` more fit.
    #[must_use]
    pub fn arenas_for(chain: &Chain, bytes: usize) -> u32 {
        let room = if chain.is_empty() { 0 } else { ARENA_BYTES - chain.tail_offset as usize };
        let wanted = bytes.saturating_sub(room).div_ceil(ARENA_BYTES);
        u32::try_from(wanted).unwrap_or(NONE)
    }

    /// How many bytes a chain holds.
    #[must_use]
    pub fn bytes(chain: &Chain) -> usize {
        (chain.arenas as usize * ARENA_BYTES + chain.tail_offset as usize)
            .saturating_sub(chain.head_offset as usize)
            .saturating_sub(if chain.is_empty() { 0 } else { ARENA_BYTES })
    }

    /// Puts bytes at the end of a chain: all of them or, when too few arenas are free, none.
    ///
    /// # Errors
    /// [`Exhausted`] if the arenas that it takes are not free.
    pub fn append(&mut self, chain: &mut Chain, bytes: &[u8]) -> Result<(), Exhausted> {
        if Self::arenas_for(chain, bytes.len()) > self.free {
            return Err(Exhausted);
        }
        if bytes.len() >= PAST_CACHES_BYTES_MIN {
            past_caches(|past| self.append_with(chain, bytes, |into, from| past.copy(into, from)));
        } else {
            self.append_with(chain, bytes, <[u8]>::copy_from_slice);
        }
        Ok(())
    }

    /// Appends, and copies as `copy` does. The caller has seen that there are the arenas for it.
    fn append_with(
        &mut self,
        chain: &mut Chain,
        mut bytes: &[u8],
        copy: impl Fn(&mut [u8], &[u8]),
    ) {
        while !bytes.is_empty() {
            let range = self.extend(chain, bytes.len());
            let (now, later) = bytes.split_at(range.len());
            copy(&mut self.map[range], now);
            bytes = later;
        }
    }

    /// Puts so many bytes at the end of a chain as they are, whatever they were before: all of them
    /// or, when too few arenas are free, none. To be written later, or never.
    ///
    /// # Errors
    /// [`Exhausted`] if the arenas that it takes are not free.
    pub fn leave(&mut self, chain: &mut Chain, bytes: usize) -> Result<(), Exhausted> {
        if Self::arenas_for(chain, bytes) > self.free {
            return Err(Exhausted);
        }
        let mut left = bytes;
        while left > 0 {
            left -= self.extend(chain, left).len();
        }
        Ok(())
    }

    /// Takes `bytes` off the front of a chain; arenas that are left behind become free.
    pub fn drop_front(&mut self, chain: &mut Chain, bytes: usize) {
        debug_assert!(bytes <= Self::bytes(chain), "no more than the chain holds");
        let mut left = bytes;
        while !chain.is_empty() {
            let is_tail = chain.head == chain.tail;
            let end = if is_tail { chain.tail_offset as usize } else { ARENA_BYTES };
            let here = end - chain.head_offset as usize;
            if left < here {
                chain.head_offset += left as u32;
                return;
            }
            left -= here;
            let next = self.link(chain.head);
            self.push_free(chain.head, chain.head, 1);
            chain.arenas -= 1;
            chain.head = next;
            chain.head_offset = 0;
            if is_tail {
                *chain = Chain::EMPTY;
            }
        }
    }

    /// Gives all arenas of a chain back at once, however long it is.
    pub fn free(&mut self, chain: Chain) {
        if !chain.is_empty() {
            self.push_free(chain.head, chain.tail, chain.arenas);
        }
    }

    /// The bytes from a position on, arena by arena, `bytes` in all.
    pub fn slices(&self, from: Position, bytes: usize) -> impl Iterator<Item = &[u8]> {
        let mut at = from;
        let mut left = bytes;
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let range = self.step(&mut at, left)?;
            left -= range.len();
            Some(&self.map[range])
        })
    }

    /// Fills `into` from a position on, and says where the bytes behind it start.
    pub fn read(&self, from: Position, into: &mut [u8]) -> Position {
        let mut at = from;
        let mut filled = 0;
        while filled < into.len() {
            let Some(range) = self.step(&mut at, into.len() - filled) else { break };
            into[filled..filled + range.len()].copy_from_slice(&self.map[range.clone()]);
            filled += range.len();
        }
        at
    }

    /// Reads a plain struct that was appended as its bytes.
    pub fn read_value<T: Pod>(&self, from: Position) -> (T, Position) {
        let mut value = T::zeroed();
        let behind = self.read(from, bytemuck::bytes_of_mut(&mut value));
        (value, behind)
    }

    /// Writes over bytes that a chain already holds.
    pub fn overwrite(&mut self, from: Position, mut bytes: &[u8]) {
        let mut at = from;
        while !bytes.is_empty() {
            let Some(range) = self.step(&mut at, bytes.len()) else { break };
            let (now, later) = bytes.split_at(range.len());
            self.map[range].copy_from_slice(now);
            bytes = later;
        }
    }

    /// The same place as the start of what comes next is spelled, which is never the end of an arena:
    /// two such are equal if the places are. There has to be something behind it.
    #[must_use]
    pub fn settled(&self, position: Position) -> Position {
        if position.offset as usize == ARENA_BYTES {
            return Position { arena: self.link(position.arena), offset: 0 };
        }
        position
    }

    /// The position `bytes` further on.
    #[must_use]
    pub fn skip(&self, from: Position, bytes: usize) -> Position {
        let mut at = from;
        let mut left = bytes;
        while left > 0 {
            let Some(range) = self.step(&mut at, left) else { break };
            left -= range.len();
        }
        at
    }

    /// The arenas of a chain from its first on, as many as it says it owns: for tests, since nothing
    /// on the mail path walks a chain to count it.
    pub(super) fn arenas_of(&self, chain: &Chain) -> impl Iterator<Item = u32> {
        self.linked(chain.head, chain.arenas)
    }

    /// The free arenas, as many as are counted: for tests.
    pub(super) fn free_list(&self) -> impl Iterator<Item = u32> {
        self.linked(self.free_head, self.free)
    }

    fn linked(&self, head: u32, arenas: u32) -> impl Iterator<Item = u32> {
        let following = |&arena: &u32| (arena < self.arenas).then(|| self.link(arena));
        std::iter::successors(Some(head), following).take(arenas as usize)
    }

    /// Where in the mapping the next bytes of a run lie, at most `most` of them and all in one
    /// arena; moves `at` behind them. `None` past the last arena.
    fn step(&self, at: &mut Position, most: usize) -> Option<Range<usize>> {
        *at = self.settled(*at);
        if at.arena >= self.arenas {
            return None;
        }
        let bytes = most.min(ARENA_BYTES - at.offset as usize);
        let start = self.arena_start(at.arena) + at.offset as usize;
        at.offset += bytes as u32;
        Some(start..start + bytes)
    }

    /// Makes a chain longer by at most `most` bytes, all in one arena, and says where in the mapping
    /// they lie. The caller has seen that there are the arenas for it.
    fn extend(&mut self, chain: &mut Chain, most: usize) -> Range<usize> {
        if chain.is_empty() || chain.tail_offset as usize == ARENA_BYTES {
            self.lengthen(chain);
        }
        let bytes = most.min(ARENA_BYTES - chain.tail_offset as usize);
        let start = self.arena_start(chain.tail) + chain.tail_offset as usize;
        chain.tail_offset += bytes as u32;
        start..start + bytes
    }

    /// Moves one free arena to the end of a chain. The caller has seen that there is one.
    fn lengthen(&mut self, chain: &mut Chain) {
        let arena = self.free_head;
        self.free_head = self.link(arena);
        self.free -= 1;
        self.set_link(arena, NONE);
        if chain.is_empty() {
            *chain = Chain { head: arena, ..Chain::EMPTY };
        } else {
            self.set_link(chain.tail, arena);
        }
        chain.tail = arena;
        chain.tail_offset = 0;
        chain.arenas += 1;
    }

    fn push_free(&mut self, head: u32, tail: u32, arenas: u32) {
        self.set_link(tail, self.free_head);
        self.free_head = head;
        self.free += arenas;
    }

    fn arena_start(&self, arena: u32) -> usize {
        self.arenas_start + arena as usize * ARENA_BYTES
    }

    fn link(&self, arena: u32) -> u32 {
        let at = self.link_start(arena);
        bytemuck::pod_read_unaligned(&self.map[at..at + LINK_BYTES])
    }

    fn set_link(&mut self, arena: u32, next: u32) {
        let at = self.link_start(arena);
        self.map[at..at + LINK_BYTES].copy_from_slice(bytemuck::bytes_of(&next));
    }

    fn link_start(&self, arena: u32) -> usize {
        self.front_bytes.next_multiple_of(LINK_BYTES) + arena as usize * LINK_BYTES
    }
}

fn arenas_start<const ARENA_BYTES: usize>(front_bytes: usize, arenas: u32) -> usize {
    let links_start = front_bytes.next_multiple_of(LINK_BYTES);
    (links_start + arenas as usize * LINK_BYTES).next_multiple_of(ARENA_BYTES)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const TEST_ARENA_BYTES: usize = 16;
    type TestPool = Pool<TEST_ARENA_BYTES>;

    fn everything(pool: &TestPool, chain: &Chain) -> Vec<u8> {
        pool.slices(chain.start(), TestPool::bytes(chain)).flatten().copied().collect()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Append(usize, Vec<u8>),
        Leave(usize, Vec<u8>),
        DropFront(usize, usize),
        Free(usize),
        Overwrite(usize, usize, Vec<u8>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..70);
        prop_oneof![
            4 => (0..3usize, bytes()).prop_map(|(chain, bytes)| Step::Append(chain, bytes)),
            1 => (0..3usize, bytes()).prop_map(|(chain, bytes)| Step::Leave(chain, bytes)),
            3 => (0..3usize, 0..90usize).prop_map(|(chain, n)| Step::DropFront(chain, n)),
            1 => (0..3usize).prop_map(Step::Free),
            1 => (0..3usize, 0..60usize, bytes()).prop_map(|(c, at, b)| Step::Overwrite(c, at, b)),
        ]
    }

    proptest! {
        #[test]
        fn chains_hold_what_a_queue_of_bytes_holds(
            steps in proptest::collection::vec(step(), 1..80),
        ) {
            let mut pool = TestPool::new(5, 20).unwrap();
            let mut chains = [Chain::EMPTY; 3];
            let mut models = [const { VecDeque::<u8>::new() }; 3];
            for step in steps {
                match step {
                    Step::Append(at, bytes) => {
                        let fits = TestPool::arenas_for(&chains[at], bytes.len())
                            <= pool.free_arenas();
                        let before = chains[at];
                        let done = pool.append(&mut chains[at], &bytes);
                        prop_assert_eq!(done.is_ok(), fits);
                        if fits {
                            models[at].extend(&bytes);
                        } else {
                            prop_assert_eq!(chains[at], before);
                        }
                    }
                    Step::Leave(at, bytes) => {
                        let fits = TestPool::arenas_for(&chains[at], bytes.len())
                            <= pool.free_arenas();
                        let before = chains[at];
                        let done = pool.leave(&mut chains[at], bytes.len());
                        prop_assert_eq!(done.is_ok(), fits);
                        if fits {
                            let left = match before.is_empty() {
                                true => chains[at].start(),
                                false => before.end(),
                            };
                            pool.overwrite(left, &bytes);
                            models[at].extend(&bytes);
                        } else {
                            prop_assert_eq!(chains[at], before);
                        }
                    }
                    Step::DropFront(at, bytes) => {
                        let bytes = bytes.min(models[at].len());
                        pool.drop_front(&mut chains[at], bytes);
                        models[at].drain(..bytes);
                    }
                    Step::Free(at) => {
                        pool.free(std::mem::replace(&mut chains[at], Chain::EMPTY));
                        models[at].clear();
                    }
                    Step::Overwrite(at, offset, bytes) => {
                        if offset + bytes.len() <= models[at].len() {
                            let position = pool.skip(chains[at].start(), offset);
                            pool.overwrite(position, &bytes);
                            for (index, byte) in bytes.into_iter().enumerate() {
                                models[at][offset + index] = byte;
                            }
                        }
                    }
                }
                let owned: u32 = chains.iter().map(Chain::arenas).sum();
                prop_assert_eq!(owned + pool.free_arenas(), pool.arenas());
                for (chain, model) in chains.iter().zip(&models) {
                    prop_assert_eq!(TestPool::bytes(chain), model.len());
                    prop_assert_eq!(&everything(&pool, chain), &Vec::from(model.clone()));
                }
            }
        }
    }

    #[test]
    fn the_mapping_has_room_for_what_arenas_in_promises() {
        assert!(TestPool::arenas_in(usize::MAX, 0) < NONE, "however much there is");
        for mapping in [0, 16, 100, 1000, 4096, 99_999] {
            for front in [0, 1, 17, 300] {
                let arenas = TestPool::arenas_in(mapping, front);
                assert!(arenas == 0 || TestPool::mapping_bytes(front, arenas) <= mapping);
                // And no more is left over than the slack.
                assert!(TestPool::mapping_bytes(front, arenas + 3) > mapping);
            }
        }
    }

    #[test]
    fn the_end_of_a_full_arena_is_where_later_bytes_are_read() {
        let mut pool = TestPool::new(0, 4).unwrap();
        let mut chain = Chain::EMPTY;
        pool.append(&mut chain, &[1; TEST_ARENA_BYTES]).unwrap();
        let end = chain.end();
        pool.append(&mut chain, &[2, 3]).unwrap();
        let mut later = [0; 2];
        pool.read(end, &mut later);
        assert_eq!(later, [2, 3]);
    }

    #[test]
    fn what_is_no_arena_leads_nowhere() {
        let pool = TestPool::new(5, 20).unwrap();
        for head in [20, 21, NONE] {
            assert_eq!(pool.linked(head, 20).collect::<Vec<_>>(), [head]);
        }
        assert_eq!(pool.linked(19, 20).collect::<Vec<_>>(), [19, NONE]);
    }

    /// The law above is about pieces that are copied plainly; so many bytes are not.
    #[test]
    fn long_pieces_are_held_too_wherever_they_begin() {
        let mut pool = Pool::<1024>::new(3, 32).unwrap();
        for start in [0, 1, 63, 64, 1000, 1024] {
            let mut chain = Chain::EMPTY;
            let mut model = vec![0xaa; start];
            pool.append(&mut chain, &model).unwrap();
            for length in [PAST_CACHES_BYTES_MIN, 2 * PAST_CACHES_BYTES_MIN + 17] {
                let piece: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
                pool.append(&mut chain, &piece).unwrap();
                model.extend(&piece);
            }
            let held: Vec<u8> =
                pool.slices(chain.start(), model.len()).flatten().copied().collect();
            assert_eq!(held, model);
            pool.free(chain);
        }
    }
}
