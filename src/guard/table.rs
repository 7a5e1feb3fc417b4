//! A table of fixed size from a key to what is known under it, for keys that peers choose. Not
//! here: what is known, and what of it is worth keeping.
//!
//! ```text
//! set    tags [ u64 × 16 ]   entries [ E × 16 ]      a key can lie in 16 places
//! set    tags [ u64 × 16 ]   entries [ E × 16 ]
//! ...
//! ```
//!
//! A keyed hash of 64 bits picks the set and is itself the tag that the entry is known by. The key
//! itself is not kept: two of n keys share a hash with a chance of n² in 2⁶⁵, and nobody can look
//! for them without the hash's key.
//!
//! A newcomer takes the place in its set that is worth least, and none that has to stay. Since
//! nobody can tell which keys share a set, an entry can be pushed out only with others that are
//! each worth as much, and one that has to stay cannot be pushed out at all: where all of a set has
//! to stay, the newcomer finds no place. What happens to it then is for its owner to say.

use std::hash::Hasher;
use std::num::NonZeroU64;

use siphasher::sip::SipHasher13;

use crate::limits::GUARD_WAYS;

#[derive(Debug)]
pub(super) struct Table<E> {
    /// 0 where there is no entry.
    tags: Vec<u64>,
    entries: Vec<E>,
    empty: E,
    hash_key: (u64, u64),
}

/// A key, hashed for one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(NonZeroU64);

/// What an entry is worth, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// As much as it has counted, and of such as have counted the same, the more the newer it is.
    Counted { count: u32, seen_ms: u64 },
    /// It has to stay.
    Kept,
}

impl Key {
    pub(super) fn hash(self) -> u64 {
        self.0.get()
    }

    /// One of so many, chosen by other bits than the set is.
    pub(super) fn one_of(self, count: usize) -> usize {
        (self.0.get() >> 32) as usize % count
    }
}

impl<E: Copy> Table<E> {
    /// What so many sets take, in bytes.
    pub(super) const fn memory_bytes(sets: usize) -> usize {
        sets * GUARD_WAYS * (size_of::<E>() + size_of::<u64>())
    }

    /// `sets` is a power of two.
    pub(super) fn new(sets: usize, empty: E, seed: u128) -> Self {
        debug_assert!(sets.is_power_of_two());
        Self {
            tags: vec![0; sets * GUARD_WAYS],
            entries: vec![empty; sets * GUARD_WAYS],
            empty,
            hash_key: (seed as u64, (seed >> 64) as u64),
        }
    }

    pub(super) fn key(&self, bytes: &[u8]) -> Key {
        let mut hasher = SipHasher13::new_with_keys(self.hash_key.0, self.hash_key.1);
        hasher.write(bytes);
        Key(NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN))
    }

    /// Which set a key is in, below the number of sets.
    pub(super) fn set(&self, key: Key) -> usize {
        key.0.get() as usize & (self.tags.len() / GUARD_WAYS - 1)
    }

    pub(super) fn find(&self, key: Key) -> Option<&E> {
        self.position(key).map(|index| &self.entries[index])
    }

    pub(super) fn find_mut(&mut self, key: Key) -> Option<&mut E> {
        self.position(key).map(|index| &mut self.entries[index])
    }

    /// The key's entry, or an empty one in the place that is worth least. `None`: all that is there
    /// has to stay.
    pub(super) fn place(&mut self, key: Key, worth: impl Fn(&E) -> Worth) -> Option<&mut E> {
        let index = match self.position(key) {
            Some(index) => index,
            None => {
                let index = self.least(key, worth)?;
                self.tags[index] = key.0.get();
                self.entries[index] = self.empty;
                index
            }
        };
        Some(&mut self.entries[index])
    }

    /// Whether a newcomer with this key would find a place.
    pub(super) fn has_place(&self, key: Key, worth: impl Fn(&E) -> Worth) -> bool {
        self.least(key, worth).is_some()
    }

    fn position(&self, key: Key) -> Option<usize> {
        let first = self.set(key) * GUARD_WAYS;
        let tags = &self.tags[first..first + GUARD_WAYS];
        tags.iter().position(|tag| *tag == key.0.get()).map(|way| first + way)
    }

    fn least(&self, key: Key, worth: impl Fn(&E) -> Worth) -> Option<usize> {
        let first = self.set(key) * GUARD_WAYS;
        let mut least = (Worth::Kept, None);
        for index in first..first + GUARD_WAYS {
            if self.tags[index] == 0 {
                return Some(index);
            }
            let worth = worth(&self.entries[index]);
            if worth < least.0 {
                least = (worth, Some(index));
            }
        }
        least.1
    }

    /// All that is known.
    pub(super) fn entries(&self) -> impl Iterator<Item = &E> {
        let used = self.tags.iter().zip(&self.entries);
        used.filter(|(tag, _)| **tag != 0).map(|(_, entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// What the tests keep: which key it is, and its worth.
    type Known = (u64, Worth);

    const NOTHING: Known = (0, Worth::Counted { count: 0, seen_ms: 0 });

    fn counted(count: u32, seen_ms: u64) -> Worth {
        Worth::Counted { count, seen_ms }
    }

    fn put(table: &mut Table<Known>, key: u64, worth: Worth) -> bool {
        let hashed = table.key(&key.to_le_bytes());
        let entry = table.place(hashed, |known| known.1);
        entry.map(|entry| *entry = (key, worth)).is_some()
    }

    fn known(table: &Table<Known>, key: u64) -> Option<Worth> {
        let entry = table.find(table.key(&key.to_le_bytes()))?;
        assert_eq!(entry.0, key, "no key is taken for another");
        Some(entry.1)
    }

    proptest! {
        #[test]
        fn what_is_found_was_put_there_and_what_must_stay_stays(
            seed in any::<u128>(),
            puts in prop::collection::vec((0_u64..100, 0_u32..20, any::<bool>()), 1..400),
        ) {
            let mut table = Table::new(2, NOTHING, seed);
            let mut model = HashMap::new();
            for (at, (key, count, kept)) in puts.into_iter().enumerate() {
                let worth = if kept { Worth::Kept } else { counted(count, at as u64) };
                let had = known(&table, key);
                let placed = put(&mut table, key, worth);
                prop_assert!(placed || had.is_none(), "what is there has its place");
                if placed {
                    model.insert(key, worth);
                }
                for (&key, &worth) in &model {
                    match known(&table, key) {
                        Some(found) => prop_assert_eq!(found, worth),
                        None => prop_assert!(worth != Worth::Kept),
                    }
                }
                model.retain(|&key, _| known(&table, key).is_some());
                prop_assert_eq!(model.len(), table.entries().count());
            }
        }

        #[test]
        fn the_one_that_is_worth_least_gives_way(seed in any::<u128>(), least in 0_u64..16) {
            let mut table = Table::new(1, NOTHING, seed);
            for key in 0..16 {
                put(&mut table, key, if key == least { counted(4, 1) } else { counted(4, 2) });
            }
            put(&mut table, 16, counted(9, 0));
            for key in 0..17 {
                prop_assert_eq!(known(&table, key).is_some(), key != least);
            }
        }
    }

    #[test]
    fn it_takes_what_is_counted_for_it() {
        for sets in [1, 2, 64] {
            let table = Table::new(sets, NOTHING, 7);
            let taken = size_of_val(&table.tags[..]) + size_of_val(&table.entries[..]);
            assert_eq!(Table::<Known>::memory_bytes(sets), taken);
        }
    }

    #[test]
    fn where_all_have_to_stay_a_newcomer_finds_no_place() {
        let mut table = Table::new(1, NOTHING, 7);
        for key in 0..16 {
            assert!(put(&mut table, key, Worth::Kept));
        }
        let has_place = |table: &Table<Known>| {
            table.has_place(table.key(&16_u64.to_le_bytes()), |known| known.1)
        };
        assert!(!has_place(&table) && !put(&mut table, 16, Worth::Kept));
        assert!(put(&mut table, 3, counted(1, 1)), "what is there is found");
        assert!(has_place(&table) && put(&mut table, 16, Worth::Kept));
        assert_eq!(known(&table, 3), None);
    }

    #[test]
    fn which_keys_share_a_set_is_known_only_with_the_seed() {
        let sets = |seed| {
            let table = Table::new(16, NOTHING, seed);
            (0_u64..64).map(|key| table.set(table.key(&key.to_le_bytes()))).collect::<Vec<_>>()
        };
        assert_eq!(sets(1), sets(1));
        assert_ne!(sets(1), sets(2));
        assert_ne!(sets(1), sets(1 << 64 | 1));
    }
}
