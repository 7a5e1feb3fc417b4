//! How large the guard's tables are, and what that takes. Not here: what is in them.

use super::banned_subjects::BannedSubjects;
use super::repeats::Repeats;
use super::sources::Sources;
use crate::limits::{
    GUARD_BODY_SETS, GUARD_MEMORY_BYTES_FULL, GUARD_SETS_MIN, GUARD_SOURCE_SETS, GUARD_SUBJECT_SETS,
};

/// Sizes of the tables, in sets: powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub(super) sources: usize,
    pub(super) subjects: usize,
    pub(super) bodies: usize,
}

impl Sizes {
    /// The largest that there are.
    pub const FULL: Self =
        Self { sources: GUARD_SOURCE_SETS, subjects: GUARD_SUBJECT_SETS, bodies: GUARD_BODY_SETS };

    /// Sizes in proportion to a server that keeps so many bytes of mail.
    #[must_use]
    pub fn for_memory(memory_bytes: usize) -> Self {
        let times = GUARD_MEMORY_BYTES_FULL.div_ceil(memory_bytes.max(1));
        let share = |sets: usize| {
            let halvings = times.next_power_of_two().trailing_zeros();
            sets.checked_shr(halvings).unwrap_or(0).max(GUARD_SETS_MIN)
        };
        Self {
            sources: share(GUARD_SOURCE_SETS),
            subjects: share(GUARD_SUBJECT_SETS),
            bodies: share(GUARD_BODY_SETS),
        }
    }

    /// So many sets for sources, subjects and bodies, each a power of two: for tests, which fill
    /// small tables.
    #[doc(hidden)]
    #[must_use]
    pub fn of_sets([sources, subjects, bodies]: [usize; 3]) -> Self {
        Self { sources, subjects, bodies }
    }

    /// What the tables take, by name, in bytes. The words have their own
    /// [`memory_bytes`](super::Words::memory_bytes).
    #[must_use]
    pub fn memory_terms(self) -> [(&'static str, usize); 4] {
        [
            ("guard: sources", Sources::memory_bytes(self.sources)),
            ("guard: subjects", Repeats::memory_bytes(self.subjects)),
            ("guard: bodies", Repeats::memory_bytes(self.bodies)),
            ("guard: banned subjects", BannedSubjects::MEMORY_BYTES),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MIB;

    #[test]
    fn each_table_has_its_term() {
        let terms = Sizes::of_sets([1, 2, 4]).memory_terms();
        assert_eq!(
            terms,
            [
                ("guard: sources", Sources::memory_bytes(1)),
                ("guard: subjects", Repeats::memory_bytes(2)),
                ("guard: bodies", Repeats::memory_bytes(4)),
                ("guard: banned subjects", BannedSubjects::MEMORY_BYTES),
            ]
        );
        assert!(terms.iter().all(|(_, bytes)| *bytes > 0));
    }

    #[test]
    fn tables_shrink_with_the_memory_and_never_to_nothing() {
        assert_eq!(Sizes::for_memory(usize::MAX), Sizes::FULL);
        assert_eq!(Sizes::for_memory(256 * MIB), Sizes::FULL);
        let sixteenth = Sizes::for_memory(16 * MIB);
        assert_eq!(
            (sixteenth.sources, sixteenth.subjects, sixteenth.bodies),
            (GUARD_SOURCE_SETS / 16, GUARD_SUBJECT_SETS / 16, GUARD_BODY_SETS / 16)
        );
        let mut last = usize::MAX;
        for shift in 0..40 {
            let sizes = Sizes::for_memory((1 << 40) >> shift);
            for sets in [sizes.sources, sizes.subjects, sizes.bodies] {
                assert!(sets.is_power_of_two() && sets >= GUARD_SETS_MIN);
            }
            let bytes = sizes.memory_terms().iter().map(|(_, bytes)| bytes).sum();
            assert!(bytes <= last);
            last = bytes;
        }
        assert_eq!(Sizes::for_memory(0), Sizes::for_memory(1));
    }
}
