//! How long replies are held back from those who are to be slowed down: the control law. Not here:
//! holding them (the timer wheel), or whom to slow down.
//!
//! A held reply costs its peer time and this server a slot, so slots that nobody else asks for are
//! spent on it, and others are not. With `load` the share of connections that are open:
//!
//! ```text
//! delay = TARPIT_MS_MAX · (1 - load / threshold)²   below the threshold, TARPIT_LOAD_PERCENT
//! delay = 0                                         from it on
//! ```
//!
//! Squared, so that it is nearly over well before the slots are needed.

use super::load::Load;
use crate::limits::{TARPIT_LOAD_PERCENT, TARPIT_MS_MAX};

/// How long the next reply is to be held back, in milliseconds, at a load of connections.
#[must_use]
pub fn delay_ms(connections: Load) -> u64 {
    let threshold = u128::from(connections.most) * u128::from(TARPIT_LOAD_PERCENT);
    let left = threshold.saturating_sub(u128::from(connections.used) * 100);
    if left == 0 {
        return 0;
    }
    // In thousandths, so that the square of no count is too large.
    let free = (left * 1000 / threshold) as u64;
    TARPIT_MS_MAX * free * free / 1_000_000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_law_is_as_published() {
        let delay = |used| delay_ms(Load { used, most: 1000 });
        assert_eq!(delay(0), TARPIT_MS_MAX);
        assert_eq!(delay(250), TARPIT_MS_MAX / 4);
        assert_eq!(delay(400), TARPIT_MS_MAX / 25);
        assert_eq!((delay(500), delay(1000), delay(u64::MAX)), (0, 0, 0));
        assert_eq!(delay_ms(Load { used: 0, most: 0 }), 0, "nothing is not idle");
    }

    proptest! {
        #[test]
        fn more_load_is_never_more_delay(
            most in any::<u64>(), one in any::<u64>(), other in any::<u64>(),
        ) {
            let delay = |used| delay_ms(Load { used, most });
            prop_assert!(delay(one.max(other)) <= delay(one.min(other)));
            prop_assert!(delay(one) <= TARPIT_MS_MAX);
            let busy = Load { used: one, most };
            prop_assert!(!busy.reaches(TARPIT_LOAD_PERCENT) || delay(one) == 0);
        }
    }
}
