//! A timer wheel: one deadline for each connection slot, armed and cancelled in constant time,
//! whatever their number. It knows no clock (the time is an argument) and not what a deadline is
//! for; whoever is told that one has passed decides.
//!
//! ```text
//! level 0   64 slots of    1 tick    ─┐ a deadline sits on the level of the highest digit (of
//! level 1   64 slots of   64 ticks    │ base 64) in which its tick differs from the current one,
//! level 2   64 slots of 4096 ticks    │ in the slot of that digit, and moves down a level or
//!   ...                               │ more when the current tick gets to that slot
//! level 9   enough for every u64     ─┘
//!
//! slot      head ──> entry <──> entry      links are indices into one array, made at start
//! ```
//!
//! Ten levels cover every number of milliseconds that a `u64` can hold, so that no deadline is too
//! far away and no jump of the clock too long: the same few lines serve all of them.

use crate::limits::TIMER_TICK_MS;

/// The deadline of a timer that is not armed.
pub const NEVER: u64 = u64::MAX;

const LEVELS: usize = 10;
const SLOTS: usize = 64;
/// How many bits of a tick choose the slot of a level.
const SLOT_BITS: usize = 6;
const NONE: u32 = u32::MAX;

const _: () = assert!(1 << SLOT_BITS == SLOTS);
// The latest tick has to be a number of LEVELS digits.
const _: () = assert!((u64::MAX / TIMER_TICK_MS) >> (LEVELS * SLOT_BITS - 1) <= 1);

/// The deadlines of a fixed number of keys, `0..keys`.
#[derive(Debug)]
pub struct Timers {
    entries: Box<[Entry]>,
    heads: [[u32; SLOTS]; LEVELS],
    /// A bit for each slot that is not empty.
    occupied: [u64; LEVELS],
    /// The tick that has been reached: nothing later has fired.
    current: u64,
}

/// One key's deadline, and its neighbours in the slot's list.
#[derive(Clone, Copy, Debug)]
struct Entry {
    deadline_ms: u64,
    next: u32,
    /// `NONE` for the first of its slot.
    previous: u32,
    level: u8,
    slot: u8,
}

impl Timers {
    /// How much memory the timers of `keys` keys take, in bytes.
    #[must_use]
    pub const fn memory_bytes(keys: usize) -> usize {
        size_of::<Self>() + keys * size_of::<Entry>()
    }

    /// Timers for the keys `0..keys`, none of them armed. The only allocation they ever make.
    #[must_use]
    pub fn new(keys: usize) -> Self {
        let idle = Entry { deadline_ms: NEVER, next: NONE, previous: NONE, level: 0, slot: 0 };
        Self {
            entries: vec![idle; keys].into_boxed_slice(),
            heads: [[NONE; SLOTS]; LEVELS],
            occupied: [0; LEVELS],
            current: 0,
        }
    }

    /// When a key fires, or [`NEVER`].
    #[must_use]
    pub fn deadline_ms(&self, key: u32) -> u64 {
        self.entry(key).deadline_ms
    }

    /// Arms a key, or moves its deadline. A deadline that has passed fires at the next
    /// [`fire`](Self::fire); [`NEVER`] cancels.
    pub fn set(&mut self, key: u32, deadline_ms: u64) {
        self.cancel(key);
        if deadline_ms != NEVER {
            self.entry_mut(key).deadline_ms = deadline_ms;
            self.link(key, tick_of(deadline_ms));
        }
    }

    /// Disarms a key, if it is armed.
    pub fn cancel(&mut self, key: u32) {
        if self.entry(key).deadline_ms != NEVER {
            self.unlink(key);
            self.entry_mut(key).deadline_ms = NEVER;
        }
    }

    /// Disarms one key whose deadline has passed, and says which; nothing fires before its
    /// deadline, and everything less than a tick after it.
    ///
    /// `moves` bounds the work: each entry that is looked at takes one. When it is used up, what
    /// is left over comes with later calls, and [`next_ms`](Self::next_ms) says that they are due.
    pub fn fire(&mut self, now_ms: u64, moves: &mut usize) -> Option<u32> {
        let now = now_ms / TIMER_TICK_MS;
        loop {
            // What comes down a level lands in a slot that is still ahead, or has fired: it differs
            // from the current tick in the digit of its new level.
            for level in 0..LEVELS {
                let slot = slot_of(self.current, level);
                while self.occupied[level] & (1 << slot) != 0 {
                    *moves = moves.checked_sub(1)?;
                    let key = self.heads[level][slot];
                    self.unlink(key);
                    let entry = self.entry_mut(key);
                    let tick = tick_of(entry.deadline_ms);
                    if tick <= self.current {
                        self.entry_mut(key).deadline_ms = NEVER;
                        return Some(key);
                    }
                    self.link(key, tick);
                }
            }
            match self.next_slot_tick() {
                Some(tick) if tick <= now => self.current = tick,
                _ => {
                    // No slot begins between here and now, so that every entry is still on the
                    // level that it would be put on now.
                    self.current = self.current.max(now);
                    return None;
                }
            }
        }
    }

    /// When [`fire`](Self::fire) next has something to do, at the latest; nothing fires before.
    /// `None` if no key is armed.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        let due = (0..LEVELS)
            .any(|level| self.occupied[level] & (1 << slot_of(self.current, level)) != 0);
        let tick = if due { self.current } else { self.next_slot_tick()? };
        Some(tick * TIMER_TICK_MS)
    }

    /// The tick at which the next slot begins that is not empty. The slots of a lower level come
    /// before those of a higher one, since a level's slots lie all within one slot of the next.
    fn next_slot_tick(&self) -> Option<u64> {
        (0..LEVELS).find_map(|level| {
            let here = slot_of(self.current, level);
            let later = self.occupied[level] & (u64::MAX << here << 1);
            if later == 0 {
                return None;
            }
            let shift = level * SLOT_BITS;
            let above = self.current >> shift >> SLOT_BITS << SLOT_BITS << shift;
            Some(above | (u64::from(later.trailing_zeros()) << shift))
        })
    }

    fn link(&mut self, key: u32, tick: u64) {
        let tick = tick.max(self.current);
        let differing = (tick ^ self.current) | (SLOTS as u64 - 1);
        let level = differing.ilog2() as usize / SLOT_BITS;
        let slot = slot_of(tick, level);
        let next = std::mem::replace(&mut self.heads[level][slot], key);
        self.occupied[level] |= 1 << slot;
        if next != NONE {
            self.entry_mut(next).previous = key;
        }
        let entry = self.entry_mut(key);
        (entry.next, entry.previous) = (next, NONE);
        (entry.level, entry.slot) = (level as u8, slot as u8);
    }

    fn unlink(&mut self, key: u32) {
        let Entry { next, previous, level, slot, .. } = *self.entry(key);
        let (level, slot) = (usize::from(level), usize::from(slot));
        if next != NONE {
            self.entry_mut(next).previous = previous;
        }
        if previous != NONE {
            self.entry_mut(previous).next = next;
        } else {
            self.heads[level][slot] = next;
            if next == NONE {
                self.occupied[level] &= !(1 << slot);
            }
        }
    }

    fn entry(&self, key: u32) -> &Entry {
        &self.entries[key as usize]
    }

    fn entry_mut(&mut self, key: u32) -> &mut Entry {
        &mut self.entries[key as usize]
    }
}

/// The first tick that is not before a deadline: late by less than a tick, early never.
fn tick_of(deadline_ms: u64) -> u64 {
    // The last few milliseconds before `u64::MAX` have no tick after them.
    deadline_ms.min(u64::MAX - (TIMER_TICK_MS - 1)).div_ceil(TIMER_TICK_MS)
}

fn slot_of(tick: u64, level: usize) -> usize {
    (tick >> (level * SLOT_BITS)) as usize & (SLOTS - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    const KEYS: u32 = 12;
    const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;

    #[derive(Clone, Debug)]
    enum Step {
        Set(u32, u64),
        Cancel(u32),
        Pass(u64),
        PassToNext,
        FireSome(usize),
    }

    /// Spans of every size: within a tick, around the edges of levels, years.
    fn span_ms() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..4 * TIMER_TICK_MS,
            (0..8u32, 0..5u64).prop_map(|(level, near)| {
                ((64u64.pow(level)) * TIMER_TICK_MS + near).saturating_sub(2)
            }),
            0..100_000u64,
            0..40 * YEAR_MS,
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..KEYS, span_ms()).prop_map(|(key, ms)| Step::Set(key, ms)),
            1 => (0..KEYS).prop_map(Step::Cancel),
            2 => span_ms().prop_map(Step::Pass),
            2 => Just(Step::PassToNext),
            1 => (0..4usize).prop_map(Step::FireSome),
        ]
    }

    fn due_ms(deadline_ms: u64) -> u64 {
        deadline_ms.div_ceil(TIMER_TICK_MS) * TIMER_TICK_MS
    }

    proptest! {
        #[test]
        fn what_fires_is_what_a_sorted_map_says_is_due(
            start_ms in prop_oneof![Just(0), 0..1_000_000u64, 0..1000 * YEAR_MS],
            steps in proptest::collection::vec(step(), 1..120),
        ) {
            let mut timers = Timers::new(KEYS as usize);
            let mut model = BTreeMap::new();
            let mut now_ms = start_ms;
            for step in steps {
                match step {
                    Step::Set(key, span_ms) => {
                        timers.set(key, now_ms + span_ms);
                        model.insert(key, now_ms + span_ms);
                    }
                    Step::Cancel(key) => {
                        timers.cancel(key);
                        model.remove(&key);
                    }
                    Step::Pass(span_ms) => now_ms += span_ms,
                    Step::PassToNext => now_ms = timers.next_ms().unwrap_or(0).max(now_ms),
                    Step::FireSome(mut moves) => {
                        while let Some(key) = timers.fire(now_ms, &mut moves) {
                            let deadline_ms = model.remove(&key).expect("armed");
                            prop_assert!(deadline_ms <= now_ms, "never early");
                        }
                        continue;
                    }
                }
                let mut moves = usize::MAX;
                let mut fired = BTreeSet::new();
                while let Some(key) = timers.fire(now_ms, &mut moves) {
                    prop_assert!(fired.insert(key), "once");
                    prop_assert_eq!(timers.deadline_ms(key), NEVER);
                }
                let mut due = BTreeSet::new();
                model.retain(|&key, &mut deadline_ms| {
                    let is_due = due_ms(deadline_ms) <= now_ms;
                    if is_due {
                        due.insert(key);
                    }
                    !is_due
                });
                prop_assert_eq!(&fired, &due);
                for key in 0..KEYS {
                    let deadline_ms = model.get(&key).copied().unwrap_or(NEVER);
                    prop_assert_eq!(timers.deadline_ms(key), deadline_ms);
                }
                let first_ms = model.values().copied().map(due_ms).min();
                prop_assert_eq!(timers.next_ms().is_some(), first_ms.is_some());
                if let (Some(next_ms), Some(first_ms)) = (timers.next_ms(), first_ms) {
                    prop_assert!(next_ms <= first_ms, "nobody sleeps through a deadline");
                    prop_assert!(next_ms > now_ms || first_ms <= now_ms, "nor wakes for nothing");
                }
            }
        }

        #[test]
        fn however_little_a_call_may_do_calls_do_it_all(
            deadlines in proptest::collection::vec(span_ms(), 1..30),
            moves_each in 1..4usize,
        ) {
            let mut timers = Timers::new(deadlines.len());
            for (key, &deadline_ms) in deadlines.iter().enumerate() {
                timers.set(key as u32, deadline_ms);
            }
            let now_ms = 10_000 * YEAR_MS;
            let mut fired = Vec::new();
            // Each entry is looked at once a level at the most.
            for _ in 0..deadlines.len() * LEVELS {
                let mut moves = moves_each;
                while let Some(key) = timers.fire(now_ms, &mut moves) {
                    fired.push(key);
                }
                let left = fired.len() < deadlines.len();
                prop_assert_eq!(timers.next_ms().is_some_and(|next_ms| next_ms <= now_ms), left);
            }
            // Those of one tick come in any order; earlier ticks come first.
            let ticks: Vec<u64> =
                fired.iter().map(|&key| due_ms(deadlines[key as usize])).collect();
            prop_assert!(ticks.is_sorted());
            prop_assert_eq!(fired.len(), deadlines.len());
        }
    }

    #[test]
    fn the_end_of_time_can_be_waited_for() {
        let mut timers = Timers::new(2);
        timers.set(0, u64::MAX - 1);
        timers.set(1, NEVER);
        let mut moves = 100;
        assert_eq!(timers.fire(u64::MAX / 2, &mut moves), None);
        assert_eq!(timers.fire(u64::MAX, &mut moves), Some(0));
        assert_eq!(timers.fire(u64::MAX, &mut moves), None);
        assert_eq!(timers.next_ms(), None);
    }

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 24);
    }
}
