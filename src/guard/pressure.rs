//! How hard pressed the server is, and what it asks of its clients then: shorter deadlines, fewer
//! faults forgiven, as Postfix does under stress. Not here: closing anything.
//!
//! ```text
//!           75 %              90 %        up, of connections or of drafts, whichever is more
//!  Calm ----------> High ----------> Critical
//!       <----------      <----------
//!           65 %              80 %        down, both of them
//! ```
//!
//! What lies between the marks of a step changes nothing, so that a load that hovers at a mark does
//! not make deadlines waver.

use super::load::Load;
use crate::limits::{PRESSURE_CRITICAL_PERCENT, PRESSURE_DEADLINE_MS_MIN, PRESSURE_HIGH_PERCENT};

/// How hard pressed the server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// There is room.
    #[default]
    Calm,
    /// Room is getting scarce: clients are given a fifth of the time.
    High,
    /// There is next to none: clients are given the least time, no second chance, and whoever has
    /// been idle longest makes way.
    Critical,
}

impl Pressure {
    /// The pressure after a look at both loads.
    #[must_use]
    pub fn next(self, connections: Load, drafts: Load) -> Self {
        let reaches = |percent| connections.reaches(percent) || drafts.reaches(percent);
        // A step that has been taken is left at its lower mark.
        let holds = |step, [up, down]: [u32; 2]| reaches(if self >= step { down } else { up });
        if holds(Self::Critical, PRESSURE_CRITICAL_PERCENT) {
            Self::Critical
        } else if holds(Self::High, PRESSURE_HIGH_PERCENT) {
            Self::High
        } else {
            Self::Calm
        }
    }

    /// What becomes of a deadline, in milliseconds: never longer than it was, and not shorter than
    /// [`PRESSURE_DEADLINE_MS_MIN`] unless it was that already.
    #[must_use]
    pub fn deadline_ms(self, calm_ms: u64) -> u64 {
        let pressed_ms = match self {
            Self::Calm => calm_ms,
            Self::High => calm_ms / 5,
            Self::Critical => 0,
        };
        pressed_ms.max(PRESSURE_DEADLINE_MS_MIN).min(calm_ms)
    }

    /// After how many faults a session is closed: at least one.
    #[must_use]
    pub fn faults_max(self, calm: u8) -> u8 {
        match self {
            Self::Calm => calm,
            Self::High => (calm / 3).max(1),
            Self::Critical => 1,
        }
    }

    /// Whether the connection that has been idle longest makes way for a new one.
    #[must_use]
    pub fn closes_idle(self) -> bool {
        self == Self::Critical
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IDLE: Load = Load { used: 0, most: 100 };

    fn load(used: u64) -> Load {
        Load { used, most: 100 }
    }

    fn run(loads: &[u64]) -> Vec<Pressure> {
        let mut pressure = Pressure::Calm;
        loads
            .iter()
            .map(|used| {
                pressure = pressure.next(load(*used), IDLE);
                pressure
            })
            .collect()
    }

    #[test]
    fn a_step_is_taken_at_its_upper_mark_and_left_below_its_lower_one() {
        use Pressure::{Calm, Critical, High};
        assert_eq!(run(&[74, 75, 74, 65, 64, 74]), [Calm, High, High, High, Calm, Calm]);
        assert_eq!(run(&[89, 90, 80, 79, 89]), [High, Critical, Critical, High, High]);
        assert_eq!(run(&[100, 0]), [Critical, Calm]);
        assert_eq!(run(&[90, 79, 64]), [Critical, High, Calm]);
        assert_eq!(Calm.next(IDLE, load(95)), Critical, "drafts press as connections do");
        assert_eq!(Critical.next(IDLE, IDLE), Calm);
    }

    #[test]
    fn pressure_leaves_a_little_time_and_one_fault() {
        let minutes = 5 * 60 * 1000;
        assert_eq!(Pressure::Calm.deadline_ms(minutes), minutes);
        assert_eq!(Pressure::High.deadline_ms(minutes), minutes / 5);
        assert_eq!(Pressure::Critical.deadline_ms(minutes), PRESSURE_DEADLINE_MS_MIN);
        assert_eq!(Pressure::High.deadline_ms(20_000), PRESSURE_DEADLINE_MS_MIN);
        assert_eq!(Pressure::Critical.deadline_ms(2000), 2000);
        assert_eq!(Pressure::Calm.deadline_ms(2000), 2000);
        let faults = [Pressure::Calm, Pressure::High, Pressure::Critical].map(|p| p.faults_max(10));
        assert_eq!(faults, [10, 3, 1]);
        assert_eq!(Pressure::High.faults_max(1), 1);
        assert!(Pressure::Critical.closes_idle() && !Pressure::High.closes_idle());
    }

    proptest! {
        #[test]
        fn more_load_is_never_less_pressure_and_more_pressure_never_more_time(
            before in 0_u64..=100, one in 0_u64..=100, other in 0_u64..=100,
            calm_ms in any::<u64>(),
        ) {
            let before = Pressure::Calm.next(load(before), IDLE);
            let less = before.next(load(one.min(other)), IDLE);
            let more = before.next(load(one.max(other)), IDLE);
            prop_assert!(less <= more);
            prop_assert!(more.deadline_ms(calm_ms) <= less.deadline_ms(calm_ms));
            prop_assert!(more.faults_max(10) <= less.faults_max(10));
            prop_assert_eq!(more.next(load(one.max(other)), IDLE), more, "the same load, the same");
        }
    }
}
