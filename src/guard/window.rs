//! Counts of what happened lately: windows that slide, in a few bytes. Not here: what is counted,
//! or how much is too much.
//!
//! Time is cut into parts of equal length, the grain, and a ring keeps a count for each of the
//! newest parts:
//!
//! ```text
//!     ------------- window --------------
//! ... | part | part | part | part | part | now   in the ring: all parts but one, and the one
//!     |<------ at most one grain more ------>|   that is being filled
//! ```
//!
//! The grain is the window divided by one part fewer than there are, rounded up. So what the ring
//! holds is never less than happened within the window, and never more than happened within a
//! window that is [`Ring::span_ms`] long: nobody slips past an edge, and nobody is charged with
//! what is older than that.

use crate::limits::GUARD_WINDOW_PARTS;

/// The counts of the newest parts of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ring<T, const PARTS: usize> {
    parts: [T; PARTS],
    /// The number of the part that was filled last.
    newest: u64,
}

/// How many times something happened.
pub(super) type Window = Ring<u16, GUARD_WINDOW_PARTS>;

impl<T: Copy, const PARTS: usize> Ring<T, PARTS> {
    pub(super) const fn new(nothing: T) -> Self {
        Self { parts: [nothing; PARTS], newest: 0 }
    }

    const fn grain_ms(window_ms: u64) -> u64 {
        let grain = window_ms.div_ceil(PARTS as u64 - 1);
        if grain == 0 { 1 } else { grain }
    }

    /// What is older than this is not in the ring.
    #[cfg(test)]
    pub(super) const fn span_ms(window_ms: u64) -> u64 {
        Self::grain_ms(window_ms) * PARTS as u64
    }

    /// The count of the part that is now; those that have slid out are `nothing` from here on.
    pub(super) fn now_mut(&mut self, window_ms: u64, now_ms: u64, nothing: T) -> &mut T {
        let passed = self.passed(window_ms, now_ms);
        for step in 1..=passed.min(PARTS as u64) {
            self.parts[Self::index(self.newest + step)] = nothing;
        }
        self.newest += passed;
        &mut self.parts[Self::index(self.newest)]
    }

    /// The counts that have not slid out, newest first, each with when it will.
    pub(super) fn counts(&self, window_ms: u64, now_ms: u64) -> impl Iterator<Item = (T, u64)> {
        let passed = self.passed(window_ms, now_ms);
        let grain_ms = Self::grain_ms(window_ms);
        let next_ms = (now_ms / grain_ms + 1).saturating_mul(grain_ms);
        (passed..PARTS as u64).map(move |age| {
            // In a ring that is younger than its parts, those before it was made are empty.
            let index = Self::index(self.newest.wrapping_sub(age - passed));
            let out_ms = next_ms.saturating_add((PARTS as u64 - 1 - age) * grain_ms);
            (self.parts[index], out_ms)
        })
    }

    /// How many parts have begun since the newest. Time does not go back; if it did, none.
    fn passed(&self, window_ms: u64, now_ms: u64) -> u64 {
        (now_ms / Self::grain_ms(window_ms)).saturating_sub(self.newest)
    }

    fn index(part: u64) -> usize {
        (part % PARTS as u64) as usize
    }
}

impl Window {
    /// A window in which nothing has happened.
    pub(super) const EMPTY: Self = Self::new(0);

    /// It happened `times` more.
    pub(super) fn add(&mut self, window_ms: u64, now_ms: u64, times: u16) {
        let part = self.now_mut(window_ms, now_ms, 0);
        *part = part.saturating_add(times);
    }

    /// How often it happened within the window.
    pub(super) fn count(&self, window_ms: u64, now_ms: u64) -> u32 {
        self.counts(window_ms, now_ms).map(|(count, _)| u32::from(count)).sum()
    }

    /// When no more than `limit` will be left of it, if it does not happen again.
    pub(super) fn falls_to_ms(&self, limit: u32, window_ms: u64, now_ms: u64) -> u64 {
        let mut sum = 0;
        for (count, out_ms) in self.counts(window_ms, now_ms) {
            sum += u32::from(count);
            if sum > limit {
                // This one and all that are older have to go.
                return out_ms;
            }
        }
        now_ms
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All events ever, each by its time.
    fn exact(events: &[(u64, u16)], since_ms: u64) -> u32 {
        events.iter().filter(|(at, _)| *at > since_ms).map(|(_, times)| u32::from(*times)).sum()
    }

    fn before(now_ms: u64, window_ms: u64) -> u64 {
        now_ms - window_ms
    }

    proptest! {
        #[test]
        fn a_window_counts_no_less_than_it_should_and_no_more_than_its_span(
            window_ms in 1_u64..5000, start in 0_u64..1 << 45,
            steps in prop::collection::vec((0_u64..2000, 0_u16..5), 1..200),
        ) {
            let mut window = Window::EMPTY;
            let mut events = Vec::new();
            let mut now = start + 100_000;
            for (step, times) in steps {
                now += step;
                window.add(window_ms, now, times);
                events.push((now, times));
                for later in [0, 1, window_ms / 2, window_ms] {
                    let at = now + later;
                    let count = window.count(window_ms, at);
                    prop_assert!(count >= exact(&events, before(at, window_ms)));
                    prop_assert!(count <= exact(&events, before(at, Window::span_ms(window_ms))));
                }
            }
        }

        #[test]
        fn the_span_is_the_window_and_at_most_a_seventh_more_but_for_rounding(
            window_ms in 1000_u64..1 << 40,
        ) {
            let span = Window::span_ms(window_ms);
            prop_assert!(span > window_ms && span <= window_ms + window_ms / 7 + 8);
        }

        #[test]
        fn a_count_falls_to_its_limit_when_it_was_said_to_and_not_before(
            window_ms in 1_u64..5000, limit in 0_u32..20,
            steps in prop::collection::vec((0_u64..1000, 0_u16..5), 1..50),
        ) {
            let mut window = Window::EMPTY;
            let mut now = 0;
            for (step, times) in steps {
                now += step;
                window.add(window_ms, now, times);
            }
            let falls = window.falls_to_ms(limit, window_ms, now);
            prop_assert!(window.count(window_ms, falls) <= limit);
            prop_assert!(falls == now || window.count(window_ms, falls - 1) > limit);
            prop_assert!(falls - now <= Window::span_ms(window_ms));
        }
    }

    #[test]
    fn a_count_stays_where_it_is_when_it_is_full() {
        let mut window = Window::EMPTY;
        window.add(1000, 0, u16::MAX);
        window.add(1000, 0, 1);
        assert_eq!(window.count(1000, 0), u32::from(u16::MAX));
    }
}
