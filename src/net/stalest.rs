//! Who has been silent longest, when somebody has to make way: the few that were at the last look,
//! in memory of fixed size. Not here: looking (`reactor`), or who may be asked to go ([`Protocol`]).
//!
//! Keeping all connections in the order of their last bytes would cost each visit the memory of its
//! neighbours. So it is found out when it is needed, by one look at all of them for as many as will
//! be needed in a while; whoever moved since is passed over.
//!
//! [`Protocol`]: super::Protocol

use std::collections::BinaryHeap;

use crate::limits::{MAKE_WAY_LOOK_MS, MAKE_WAY_MAX};

/// Those that had been silent longest, and when that was found out.
#[derive(Debug)]
pub(super) struct Stalest {
    /// While it is looked: the newest of the oldest first.
    oldest: BinaryHeap<(u64, u32)>,
    /// After that: the oldest last.
    found: Vec<(u64, u32)>,
    look_at_ms: u64,
}

impl Stalest {
    pub(super) fn new() -> Self {
        Self {
            oldest: BinaryHeap::with_capacity(MAKE_WAY_MAX),
            found: Vec::with_capacity(MAKE_WAY_MAX),
            look_at_ms: 0,
        }
    }

    /// The next that was found, the oldest first: when it had moved last, and its index.
    pub(super) fn next(&mut self) -> Option<(u64, u32)> {
        self.found.pop()
    }

    /// Whether it is time to look again: a look goes over all connections.
    pub(super) fn may_look(&self, now_ms: u64) -> bool {
        self.look_at_ms <= now_ms
    }

    /// Looks at connections, given by when they last moved and their indices.
    pub(super) fn look(&mut self, connections: impl Iterator<Item = (u64, u32)>, now_ms: u64) {
        self.look_at_ms = now_ms + MAKE_WAY_LOOK_MS;
        for connection in connections {
            if self.oldest.len() < MAKE_WAY_MAX {
                self.oldest.push(connection);
            } else if let Some(mut newest) = self.oldest.peek_mut()
                && connection < *newest
            {
                *newest = connection;
            }
        }
        self.found.clear();
        while let Some(connection) = self.oldest.pop() {
            self.found.push(connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_oldest_are_found_in_their_order(
            moved in prop::collection::vec(0_u64..1000, 0..4 * MAKE_WAY_MAX),
        ) {
            let all: Vec<_> = moved.iter().copied().zip(0_u32..).collect();
            let mut stalest = Stalest::new();
            // What an earlier look found is forgotten.
            stalest.look([(0, 7), (5, 8)].into_iter(), 0);
            prop_assert_eq!(stalest.next(), Some((0, 7)));
            prop_assert!(!stalest.may_look(MAKE_WAY_LOOK_MS - 1) && stalest.may_look(MAKE_WAY_LOOK_MS));
            stalest.look(all.iter().copied(), MAKE_WAY_LOOK_MS);
            let found: Vec<_> = std::iter::from_fn(|| stalest.next()).collect();
            let mut sorted = all;
            sorted.sort_unstable();
            sorted.truncate(MAKE_WAY_MAX);
            prop_assert_eq!(found, sorted);
        }
    }
}
